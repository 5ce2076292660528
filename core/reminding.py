"""Who is reminded of an open review, and when somebody next is: pure arithmetic over what is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from core import counting
from core.model import LOCAL, Timer, TimerKind
from core.timetable import timetable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from core.model import Delegation, PersonId, Policy, ReviewRequest

CALLS = frozenset({TimerKind.REMINDER, TimerKind.ESCALATION})
"""What calls people. Of postponed reminders the review itself has all, and a timer for the first one only."""


def is_called(review: ReviewRequest) -> bool:
    """Whether anybody may still be called, as far as the review itself tells."""
    escalation = None if review.is_escalated else review.policy.escalation
    escalates = escalation is not None and escalation.after is not None
    return review.is_open and (bool(review.policy.reminders) or escalates or bool(review.snoozes))


def reminded(
    review: ReviewRequest,
    at: datetime,
    away: Iterable[Delegation],
    policies: Mapping[str, Policy] | None = None,
    *,
    everybody: bool,
) -> list[PersonId]:
    """`everybody` who is waited for, or those who wanted to be by then; not who wants to be later."""
    later = {one.person for one in review.snoozes if one.until > at}
    woken = {one.person for one in review.snoozes} - later
    delegates = {of.person: of.delegate for of in away if of.until > at}
    # In open mode whoever sits at the machine is waited for, too, but stands in no policy.
    here = [(one.person, one.person) for one in review.snoozes if one.person == LOCAL]
    asked = here + counting.asked(review, delegates, policies)
    return list(
        dict.fromkeys(
            who
            for person, who in asked
            if (everybody or not woken.isdisjoint((person, who))) and who not in later
        )
    )


def next_call(review: ReviewRequest, timers: Iterable[Timer], away: Sequence[Delegation]) -> Timer | None:
    """The reminder, of whatever kind, or the escalation that calls somebody next, by what is known now.

    Not one for which nobody is left: all have put it off, or are away without a delegate.
    """
    snoozes = [
        Timer(review=review.id, kind=TimerKind.SNOOZE, number=1, due_at=one.until) for one in review.snoozes
    ]
    coming = [timer for timer in timers if timer.kind in CALLS] + snoozes
    for timer in sorted(coming, key=lambda timer: (timer.due_at, timer.kind)):  # as they happen
        at = timer.due_at
        if review.expires_at is not None and at >= review.expires_at:
            return None
        everybody = timer.kind is TimerKind.REMINDER
        if timer.kind is TimerKind.ESCALATION or reminded(review, at, away, everybody=everybody):
            return timer
        review = replace(review, snoozes=tuple(one for one in review.snoozes if one.until > at))
    return None


def next_reminder(
    review: ReviewRequest, person: PersonId, now: datetime, away: Sequence[Delegation]
) -> datetime | None:
    """When everybody is reminded of it next, and this person is among them, by what is known now."""
    if not review.is_open:
        return None
    coming = [
        timer.due_at
        for timer in timetable(review.policy, review.id, review.opened_at)
        if timer.kind is TimerKind.REMINDER and timer.due_at > now
    ]
    theirs = (at for at in sorted(coming) if person in reminded(review, at, away, everybody=True))
    return next(theirs, None)
