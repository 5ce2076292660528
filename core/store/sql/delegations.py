"""Who decides for whom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import delegations
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Delegation, PersonId


class DelegationRows(Lanes):
    """Implements `core.ports.DelegationStore`."""

    async def delegate(self, new: Delegation) -> None:
        await self._write.run(partial(delegations.add, new=new))

    async def revoke_delegation(self, person: PersonId) -> bool:
        return await self._write.run(partial(delegations.revoke, person=person))

    async def delegations(self) -> Sequence[Delegation]:
        return await self._read.run(delegations.standing)
