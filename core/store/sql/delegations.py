"""Who decides for whom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import delegations, opening, reviews
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Delegation, PersonId, ReviewId


class DelegationRows(Lanes):
    """Implements `core.ports.DelegationStore`, and what `CallStore` asks besides."""

    async def delegate(self, new: Delegation) -> None:
        await self._write.run(partial(delegations.add, new=new))

    async def revoke_delegation(self, person: PersonId) -> bool:
        return await self._write.run(partial(delegations.revoke, person=person))

    async def delegations(self) -> Sequence[Delegation]:
        return await self._read.run(delegations.standing)

    async def moved_calls(
        self, before: Sequence[Delegation], *, after: str | None, limit: int
    ) -> tuple[Sequence[ReviewId], str | None]:
        return await self._read.run(partial(reviews.moved_calls, before=before, after=after, limit=limit))

    async def show_calls(self, review_ids: Sequence[str]) -> None:
        await self._write.run(partial(opening.show_calls, ids=review_ids))
