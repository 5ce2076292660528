"""What somebody says of an open review without deciding: I am looking; remind me later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from core.errors import Invalid
from core.submissions import checked_id, checked_review

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from core.errors import CountersignError
    from core.model import OpenReview, Person, PersonId, Policy, ReviewRequest
    from core.ports import Clock, LookingStore

log = structlog.get_logger()

SHORTEST_SNOOZE, LONGEST_SNOOZE = timedelta(minutes=1), timedelta(days=30)
ON_ITS_WAY = timedelta(seconds=10)
"""How long what somebody asked for may have been under way."""


class Looking:
    """What web and bots call; each for themselves."""

    def __init__(
        self,
        store: LookingStore,
        *,
        policies: Mapping[str, Policy],
        known: Callable[[PersonId], Person],
        with_others: Callable[[CountersignError, ReviewRequest], CountersignError],
        clock: Clock,
    ) -> None:
        """`policies` are those in force now; `known` raises for somebody whom the configuration lacks;
        `with_others` makes a refusal name who can instead."""
        self._store = store
        self._policies = policies
        self._known = known
        self._with_others = with_others
        self._clock = clock

    async def claim(self, which: str | OpenReview, person: PersonId, *, via: str) -> ReviewRequest:
        """Show on every card, for as long as the policy says, that this person is looking. It binds nobody.

        Again begins the time anew; within a minute it changes nothing, as each time changes every card.
        Raises `NotFound`, `NotAReviewer`, `SelfReview`, `ReviewIsClosed`, `NotYourTurn`, `Unavailable`; for a
        task's open review also `NotWaiting` and `StaleReview`, as `Service.decide`.
        """
        review, refusal = await self._store.claim(
            checked_review(which), self._known(person), via=via, policies=self._policies
        )
        return self._heard("review_claimed", review, refusal, person=person, via=via)

    async def release(self, review_id: str, person: PersonId, *, via: str) -> ReviewRequest:
        """This person looks no more; nothing happens where they did not. Raises `NotFound`."""
        review = await self._store.release(checked_id(review_id, "review"), self._known(person))
        return self._heard("claim_released", review, None, person=person, via=via)

    async def snooze(
        self, which: str | OpenReview, person: PersonId, until: datetime | timedelta, *, via: str
    ) -> ReviewRequest:
        """Remind this person then (or so long from now), and not before.

        A decision of theirs ends it, as does whatever closes the review.
        Raises as `claim`, `AlreadyDecided`, and `Invalid` for a time too soon or too far.
        """
        which, who = checked_review(which), self._known(person)
        at = self._checked_snooze(until)
        review, refusal = await self._store.snooze(which, who, at, via=via, policies=self._policies)
        return self._heard("reminder_snoozed", review, refusal, person=person, via=via)

    async def wake(self, review_id: str, person: PersonId, *, via: str) -> ReviewRequest:
        """Remind this person when everybody is. Never refused. Raises `NotFound`."""
        review = await self._store.wake(checked_id(review_id, "review"), self._known(person), via=via)
        return self._heard("reminder_snoozed", review, None, person=person, via=via)

    def _checked_snooze(self, until: datetime | timedelta) -> datetime:
        """Whoever names a moment has read the clock before."""
        now = self._clock.now()
        wait, late = (until, timedelta()) if isinstance(until, timedelta) else (until - now, ON_ITS_WAY)
        if not SHORTEST_SNOOZE - late <= wait <= LONGEST_SNOOZE:
            raise Invalid("A reminder can be put off by 1 minute at least, and by 30 days at most.")
        return now + wait

    def _heard(
        self,
        what: str,
        review: ReviewRequest,
        refusal: CountersignError | None,
        *,
        person: PersonId,
        via: str,
    ) -> ReviewRequest:
        """Log what was said of a review; raise its refusal, which says who can decide instead."""
        facts = {"task_id": review.task.id, "review_id": review.id, "person": person, "via": via}
        if refusal is not None:
            log.info(f"{what}_refused", reason=type(refusal).__name__, **facts)
            raise self._with_others(refusal, review)
        log.info(what, **facts)
        return review
