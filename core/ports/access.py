"""What the store keeps so that callers can be known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from core.model import Credential, PersonId


class Credentials(Protocol):
    """Personal tokens, stored as hashes."""

    async def credential(self, token_hash: str) -> Credential | None:
        """The credential with this hash; None where there is none, or it is revoked."""
        ...

    async def credential_by_id(self, credential_id: str, session: str) -> Credential | None:
        """The same by its id, for a session with this hash; None, too, where that has been ended."""
        ...

    async def end_session(self, credential_id: str, session: str) -> None:
        """End the session with this hash, which that credential began; again is harmless."""
        ...

    async def add_credential(self, credential: Credential) -> None: ...

    async def revoke_credentials(self, person: PersonId) -> int:
        """Revoke all of a person's; how many there were."""
        ...


class Secrets(Protocol):
    """Random keys that the database keeps for us."""

    async def secret(self, name: str) -> bytes:
        """32 random bytes, made at the first call for `name` and the same ever after."""
        ...
