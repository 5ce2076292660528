"""Open reviews, once who may decide has changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import admitting, firing, looked_over, opening, reviews
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from core.model import PersonId, Policy, ReviewRequest


class OpenReviewRows(Lanes):
    """Implements `core.ports.OpenReviewStore`."""

    async def open_reviews(
        self, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ReviewRequest]:
        return await self._read.run(partial(reviews.open_page, after=after, limit=limit))

    async def policies_changed(
        self, policies: Mapping[str, Policy], besides: Collection[str]
    ) -> frozenset[str] | None:
        # Behind what waits to be written: a segment may have asked for its policy before another was in
        # force, and the review that it opens is to be there for the look that follows.
        return await self._write.run(partial(looked_over.changed, policies=policies, besides=besides))

    async def policies_seem_changed(self, policies: Mapping[str, Policy], besides: Collection[str]) -> bool:
        changed = await self._read.run(partial(looked_over.changed, policies=policies, besides=besides))
        return changed is None or bool(changed)

    async def looked_over(
        self, policies: Mapping[str, Policy], besides: Collection[str], again: Collection[str] = ()
    ) -> None:
        await self._write.run(partial(looked_over.note, policies=policies, besides=besides, again=again))

    async def last_looked_over(self) -> Mapping[str, str]:
        return await self._write.run(looked_over.noted)

    async def mark_stuck(self, reviews: Sequence[str]) -> None:
        await self._write.run(partial(firing.mark_stuck, reviews=reviews))

    async def show_again(self, review_ids: Sequence[str]) -> None:
        await self._write.run(partial(opening.show_again, ids=review_ids))

    async def admit(self, members: Mapping[str, Sequence[PersonId]]) -> int:
        return await self._write.run(partial(admitting.admit, members=members))
