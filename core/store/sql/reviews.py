"""Reviews: found, decided, looked at."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import deciding, earlier, looking, reviews
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from core.errors import CountersignError
    from core.events import TaskCompleted
    from core.model import (
        ChannelName,
        Earlier,
        MessageRef,
        NewDecision,
        OpenReview,
        Person,
        PersonId,
        Policy,
        Recipient,
        ReviewId,
        ReviewRequest,
    )
    from core.ports import Sequel


class ReviewRows(Lanes):
    """Implements what `core.ports.Store` says of reviews."""

    async def decide(
        self,
        which: str | OpenReview,
        new: NewDecision,
        *,
        policies: Mapping[str, Policy] = {},
        people: Mapping[PersonId, Person] = {},
        sequel: Sequel | None = None,
    ) -> tuple[ReviewRequest, CountersignError | None, TaskCompleted | None]:
        return await self._write.run(
            partial(
                deciding.decide,
                which=which,
                new=new,
                policies=policies,
                people=people,
                sequel=sequel,
            ),
            urgent=True,
        )

    async def adopt_copy(self, review_id: str, copy: tuple[Recipient, MessageRef]) -> None:
        await self._write.run(partial(deciding.adopt, review_id=review_id, copy=copy))

    async def review(self, review_id: str) -> ReviewRequest:
        return await self._read.run(partial(reviews.one, review_id=review_id))

    async def reviews(self, task_id: str) -> Sequence[ReviewRequest]:
        return await self._read.run(partial(reviews.of_task, task_id=task_id))

    async def waiting_for(
        self, person: PersonId, *, everybody: bool, policies: Mapping[str, Policy] = {}, limit: int
    ) -> Sequence[ReviewRequest]:
        return await self._read.run(
            partial(reviews.waiting_for, person=person, everybody=everybody, policies=policies, limit=limit)
        )

    async def earlier(self, of: Sequence[ReviewId]) -> Mapping[ReviewId, Earlier]:
        return await self._read.run(partial(earlier.of_many, reviews=of))

    async def answered_by(self, person: PersonId, *, limit: int) -> Sequence[ReviewRequest]:
        return await self._read.run(partial(reviews.answered_by, person=person, limit=limit))

    async def shown_at(self, channel: ChannelName, message: MessageRef) -> ReviewRequest | None:
        return await self._read.run(partial(reviews.shown_at, channel=channel, message=message))

    async def withdraw(
        self, which: str | OpenReview, reviewer: Person, *, via: str, policies: Mapping[str, Policy] = {}
    ) -> tuple[ReviewRequest, CountersignError | None]:
        return await self._write.run(
            partial(deciding.withdraw, which=which, reviewer=reviewer, via=via, policies=policies)
        )

    async def claim(
        self, which: str | OpenReview, person: Person, *, via: str, policies: Mapping[str, Policy] = {}
    ) -> tuple[ReviewRequest, CountersignError | None]:
        return await self._write.run(
            partial(looking.claim, which=which, person=person, via=via, policies=policies)
        )

    async def release(self, review_id: str, person: Person) -> ReviewRequest:
        return await self._write.run(partial(looking.release, review_id=review_id, person=person))

    async def snooze(
        self,
        which: str | OpenReview,
        person: Person,
        until: datetime,
        *,
        via: str,
        policies: Mapping[str, Policy] = {},
    ) -> tuple[ReviewRequest, CountersignError | None]:
        return await self._write.run(
            partial(looking.snooze, which=which, person=person, until=until, via=via, policies=policies)
        )

    async def wake(self, review_id: str, person: Person, *, via: str) -> ReviewRequest:
        return await self._write.run(partial(looking.wake, review_id=review_id, person=person, via=via))
