"""What people may say of an open review without deciding: I am looking; remind me later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core import counting
from core import policy as rules
from core.errors import AlreadyDecided, Forbidden, Refused
from core.events import ClaimEnded, ReminderSnoozed, ReviewClaimed
from core.model import Claim, Outcome, Snooze, timestamp
from core.store import delegations, marks
from core.store.deliveries import raise_at_leisure
from core.store.firing import tell
from core.store.holding import held, locked
from core.store.reviews import next_call
from core.store.settling import settle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from core.errors import CountersignError
    from core.model import OpenReview, Person, PersonId, Policy, ReviewRequest
    from core.store.transaction import Row, Transaction

RENEWED_AFTER = timedelta(minutes=1)
"""Somebody who says the same again sooner, or nearly, changes nothing: each time is told in every chat."""


def claim(
    tx: Transaction, which: str | OpenReview, person: Person, *, via: str, policies: Mapping[str, Policy]
) -> tuple[ReviewRequest, CountersignError | None]:
    """Show everybody that this person is looking; who may not decide may not. A refusal is a value.

    Raises as `held`.
    """
    row, request = held(tx, which, person.id, policies)
    try:
        _seat(tx, request, person.id, policies)
    except (Refused, Forbidden) as error:
        return request, error
    mine = Claim(person=person.id, name=person.name, until=tx.now + request.policy.claim)
    before = next((one for one in request.claims if one.person == person.id), None)
    if before is not None and mine.until - before.until < RENEWED_AFTER:
        return request, None
    kept = [mine if one is before else one for one in request.claims]
    told = ReviewClaimed(
        review=request.id,
        attempt=request.attempt,
        person=person.id,
        person_name=person.name,
        until=timestamp(mine.until),
        via=via,
    )
    request = marks.claimed(tx, request, kept if before is not None else [*kept, mine])
    return settle(tx, row, request, [told], request.decisions, Outcome.OPEN), None


def release(tx: Transaction, review_id: str, person: Person) -> ReviewRequest:
    """The person looks no more. Idempotent."""
    row, request = locked(tx, review_id)
    rest = [one for one in request.claims if one.person != person.id]
    if len(rest) == len(request.claims):
        return request
    ended = ClaimEnded(review=request.id, person=person.id, person_name=person.name, reason="released")
    request = marks.claimed(tx, request, rest)
    return settle(tx, row, request, [ended], request.decisions, Outcome.OPEN)


def snooze(
    tx: Transaction,
    which: str | OpenReview,
    person: Person,
    until: datetime,
    *,
    via: str,
    policies: Mapping[str, Policy],
) -> tuple[ReviewRequest, CountersignError | None]:
    """Remind this person then, and not before; who may not decide, or has, is not reminded anyway.

    Raises as `held`.
    """
    row, request = held(tx, which, person.id, policies)
    try:
        seat = _seat(tx, request, person.id, policies)
        if counting.decision_of(request, seat) is not None:
            raise AlreadyDecided("You have already decided; the review waits for others.")
    except (Refused, Forbidden) as error:
        return request, error
    mine = Snooze(person=person.id, until=until)
    if any(one.person == person.id and abs(one.until - until) < RENEWED_AFTER for one in request.snoozes):
        return request, None
    return _snoozed(tx, row, request, person, mine, via), None


def wake(tx: Transaction, review_id: str, person: Person, *, via: str) -> ReviewRequest:
    """Remind this person when everybody is. Idempotent."""
    row, request = locked(tx, review_id)
    if all(one.person != person.id for one in request.snoozes):
        return request
    return _snoozed(tx, row, request, person, None, via)


def _snoozed(
    tx: Transaction, row: Row, request: ReviewRequest, person: Person, mine: Snooze | None, via: str
) -> ReviewRequest:
    """The threads are told of a wait, which explains a silence; not of its end, which needs no words."""
    others = [one for one in request.snoozes if one.person != person.id]
    before = next_call(tx, request)
    request = marks.snoozed(tx, request, others if mine is None else [*others, mine])
    told = ReminderSnoozed(
        review=request.id,
        person=person.id,
        person_name=person.name,
        until=None if mine is None else timestamp(mine.until),
        via=via,
    )
    if mine is None:
        request = settle(tx, row, request, [told], request.decisions, Outcome.OPEN)
    else:
        request = tell(tx, row, request, told)
    if next_call(tx, request) != before:
        raise_at_leisure(tx, request)
    return request


def _seat(
    tx: Transaction, request: ReviewRequest, person: PersonId, policies: Mapping[str, Policy]
) -> PersonId:
    """Whose answer it would be; raises as a decision would that is given now."""
    seat = rules.check_may_decide(
        request, person, policies, delegations.delegators(tx, request.policy, person)
    )
    rules.check_in_time(request, tx.now)
    return seat
