"""Personal tokens, and the keys that the database keeps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import credentials
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from core.model import Credential, PersonId


class CredentialRows(Lanes):
    """Implements `core.ports.Credentials` and `core.ports.Secrets`."""

    async def credential(self, token_hash: str) -> Credential | None:
        return await self._read.run(partial(credentials.by_hash, token_hash=token_hash))

    async def credential_by_id(self, credential_id: str, session: str) -> Credential | None:
        return await self._read.run(partial(credentials.by_id, credential_id=credential_id, session=session))

    async def end_session(self, credential_id: str, session: str) -> None:
        await self._write.run(partial(credentials.end_session, credential_id=credential_id, session=session))

    async def add_credential(self, credential: Credential) -> None:
        await self._write.run(partial(credentials.add, new=credential))

    async def revoke_credentials(self, person: PersonId) -> int:
        return await self._write.run(partial(credentials.revoke, person=person))

    async def secret(self, name: str) -> bytes:
        return await self._write.run(partial(credentials.secret, name=name))
