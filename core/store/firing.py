"""What happens to an open review when one of its timers falls due: each once, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from core import amendments, counting
from core.errors import NotFound
from core.events import ClaimEnded, ReviewerReminded, ReviewEscalated, ReviewExpired, ReviewStuck
from core.explaining import why_stuck
from core.model import OnExpiry, Outcome, Timer, TimerKind, Verdict, name_of
from core.reminding import reminded
from core.store import delegations, marks, steps, timers
from core.store.deliveries import open_cards, raise_at_leisure, say
from core.store.history import event_numbered
from core.store.holding import LOCK_TASK, locked
from core.store.reviews import EVENT_SEQ, SEQ
from core.store.rows import micros
from core.store.settling import drop, settle
from core.store.statements import Statement, p
from core.store.tables import STANDS_OPEN, review
from core.timetable import expiry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.events import Event
    from core.model import Person, PersonId, Policy, ReviewRequest
    from core.store.transaction import Row, Transaction

TASK_OF = Statement(select(review.c.task_id).where(review.c.id == p("id")))
ESCALATE = Statement(
    update(review).where(review.c.id == p("id"), STANDS_OPEN).values(escalated=1, expires_at=p("expires_at"))
)

BEFORE_THE_END = frozenset({TimerKind.REMINDER, TimerKind.SNOOZE, TimerKind.ESCALATION, TimerKind.STUCK})


def fire(
    tx: Transaction, timer: Timer, policies: Mapping[str, Policy], people: Mapping[PersonId, Person]
) -> bool:
    """False where it has fired before, its review is closed, or it was put off: nothing happens then.

    Nor does it where the deadline is over, as nothing ran: it is the deadline's turn.
    """
    try:
        row, request = locked(tx, timer.review)
    except NotFound:
        return False
    if not timers.take(tx, timer) or not request.is_open:
        return False
    if _is_too_late(tx, timer, request):
        return False
    match timer.kind:
        case TimerKind.REMINDER:
            _remind(tx, row, request, policies, people, everybody=True)
        case TimerKind.SNOOZE:
            _remind(tx, row, request, policies, people, everybody=False)
        case TimerKind.CLAIM:
            _end_claims(tx, row, request)
        case TimerKind.ESCALATION:
            escalate(tx, row, request, policies, people, reason=_so_far(request, policies, "yet"))
        case TimerKind.EXPIRY:
            _expire(tx, row, request, policies, people)
        case TimerKind.STUCK:
            _look_again(tx, row, request, policies, people)
    return True


def mark_stuck(tx: Transaction, reviews: Sequence[str]) -> None:
    """As `timers.mark_stuck`, for who holds none of these: one that is being looked at now is once more."""
    found = [tx.one(TASK_OF, id=review_id) for review_id in reviews]
    for (task_id,) in sorted({row for row in found if row is not None}):  # in one order, as `admitting` does
        tx.lock(LOCK_TASK, id=task_id)
    timers.mark_stuck(tx, reviews)


def _is_too_late(tx: Transaction, timer: Timer, request: ReviewRequest) -> bool:
    """Whether nobody is to be asked any more; who wanted to be by then is forgotten."""
    late = request.expires_at is not None and tx.now >= request.expires_at
    if late and timer.kind is TimerKind.SNOOZE:
        marks.snoozed(tx, request, [one for one in request.snoozes if one.until > tx.now])
    return late and timer.kind in BEFORE_THE_END


def _remind(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    policies: Mapping[str, Policy],
    people: Mapping[PersonId, Person],
    *,
    everybody: bool,
) -> None:
    """`everybody` who is waited for, or those who wanted to be reminded now; who wants to later is not.

    Reminders that fell due together, because nobody was at work or the service was down, are one.
    """
    everybody = tx.run(timers.DROP_REMINDERS, review=request.id, now=micros(tx.now)) > 0 or everybody
    asked = reminded(request, tx.now, delegations.standing(tx), policies, everybody=everybody)
    later = [one for one in request.snoozes if one.until > tx.now]
    if len(later) < len(request.snoozes):
        request = marks.snoozed(tx, request, later)
    if asked:
        told = ReviewerReminded(
            review=request.id,
            attempt=request.attempt,
            people=[name_of(one, people) for one in asked],
            ids=list(asked),
        )
        tell(tx, row, request, told)
    # Also where nobody was left to be reminded: the card has named this moment, and it is over.
    raise_at_leisure(tx, request)


def _end_claims(tx: Transaction, row: Row, request: ReviewRequest) -> None:
    """Those whose time is over look no more, as far as anybody knows."""
    over = [one for one in request.claims if one.until <= tx.now]
    request = marks.claimed(tx, request, [one for one in request.claims if one not in over])
    ended = [
        ClaimEnded(review=request.id, person=one.person, person_name=one.name, reason="expired")
        for one in over
    ]
    if ended:
        settle(tx, row, request, ended, request.decisions, Outcome.OPEN)


def escalate(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    policies: Mapping[str, Policy],
    people: Mapping[PersonId, Person],
    *,
    reason: str,
    anew: bool = False,
) -> ReviewRequest:
    """More people may decide, in every quorum; the card goes to more places. `anew`: so does the deadline.

    Somebody who has approved already may be among them: where that is enough now, the review is closed.
    """
    wider = request.policy.escalation
    if wider is None or request.is_escalated:
        return request
    policy = amendments.escalated(request.policy)
    escalated = replace(request, policy=policy, is_escalated=True, kept=request.policy)
    outcome = counting.comes_to(escalated, policies)
    expires_at = expiry(policy, tx.now) if anew and outcome is Outcome.OPEN else request.expires_at
    tx.run(
        ESCALATE,
        id=request.id,
        expires_at=None if expires_at is None else micros(expires_at),
    )
    tx.run(timers.DROP_KIND, review=request.id, kind=TimerKind.ESCALATION.value)
    asked = ReviewEscalated(
        review=request.id,
        attempt=request.attempt,
        people=[name_of(one, people) for one in wider.people],
        ids=list(wider.people),
        reason=reason,
    )
    if outcome is not Outcome.OPEN:
        return _close(tx, row, escalated, policies, outcome, asked)
    places = [place for place in wider.recipients if place not in request.policy.recipients]
    open_cards(tx, request.task.id, row[EVENT_SEQ], request.id, places, request.draft)
    if anew and expires_at is not None:
        again = Timer(review=request.id, kind=TimerKind.EXPIRY, number=2, due_at=expires_at)
        timers.schedule(tx, [again])
    return tell(tx, row, escalated, asked)


def _close(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    policies: Mapping[str, Policy],
    outcome: Outcome,
    *before: Event,
) -> ReviewRequest:
    """What counts is enough, without a new answer."""
    counted = counting.as_it_counts(request, policies).decisions
    dropped = drop(tx, request, request.decisions, counted)
    return settle(tx, row, request, [*before, *dropped], counted, outcome)


def _look_again(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    policies: Mapping[str, Policy],
    people: Mapping[PersonId, Person],
) -> None:
    """Reviewers changed: close what is decided by that; where too few are left, ask more people; where there
    are none to ask, say so for an administrator to see."""
    outcome = counting.comes_to(request, policies)
    if outcome is not Outcome.OPEN:
        _close(tx, row, request, policies, outcome)
        return
    if not counting.is_stuck(request, policies):
        return
    is_gone, reason = amendments.is_gone(request, policies), why_stuck(request, policies)
    if not is_gone and request.policy.escalation is not None and not request.is_escalated:
        escalated = escalate(tx, row, request, policies, people, reason=reason)
        if escalated.is_open and counting.is_stuck(escalated, policies):
            timers.mark_stuck(tx, [request.id])
    else:
        stuck = ReviewStuck(review=request.id, attempt=request.attempt, reason=reason)
        said = event_numbered(tx, request.task.id, row[SEQ])
        if said is None or said.event != stuck:  # else that is the last word already
            tell(tx, row, request, stuck)


def _expire(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    policies: Mapping[str, Policy],
    people: Mapping[PersonId, Person],
) -> None:
    on_expiry, so_far = request.policy.on_expiry, _so_far(request, policies, "in time")
    if on_expiry is OnExpiry.ESCALATE and request.policy.escalation is not None and not request.is_escalated:
        again = escalate(tx, row, request, policies, people, reason=so_far, anew=True)
        if again.is_open and counting.is_stuck(again, policies):
            timers.mark_stuck(tx, [request.id])
        return
    # Nobody could have said no to what opened under a policy that is gone.
    approves = on_expiry is OnExpiry.APPROVE and not amendments.is_gone(request, policies)
    outcome = Outcome.APPROVED if approves else Outcome.EXPIRED
    expired = ReviewExpired(review=request.id, attempt=request.attempt, outcome=outcome.value)
    counted = counting.as_it_counts(request, policies).decisions
    dropped = drop(tx, request, request.decisions, counted)
    settle(tx, row, request, dropped, counted, outcome, at_once=expired)
    if on_expiry is OnExpiry.FAIL:
        tx.position = None
        steps.fail(tx, request.task.id, so_far, is_on_cards=True)


def _so_far(request: ReviewRequest, policies: Mapping[str, Policy], when: str) -> str:
    """What came of a review that is not decided `yet`, or was not `in time`."""
    now = counting.as_it_counts(request, policies)
    if not now.decisions:
        return f"Nobody {'has decided' if when == 'yet' else 'decided'} {when}."
    counts = [f"{counting.approvals_given(now)} of {now.policy.approvals} approvals"]
    rejected = sum(1 for made in now.decisions if made.verdict is Verdict.REJECT)
    if rejected:
        counts.append(f"{rejected} of {now.policy.rejections} rejections")
    return f"It {'is' if when == 'yet' else 'was'} not decided {when}: {', '.join(counts)}."


def tell(tx: Transaction, row: Row, request: ReviewRequest, event: Event) -> ReviewRequest:
    """Something happened to a review that is open still: in its history, on its cards, in its threads."""
    told = settle(tx, row, request, [event], request.decisions, Outcome.OPEN)
    say(tx, request.task.id, row[SEQ] + 1, request.policy.recipients)
    return told
