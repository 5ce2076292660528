"""The one door of every decision: judged and counted, and settled in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, update

from core import amendments, counting
from core import policy as rules
from core.differences import diff
from core.errors import Forbidden, Invalid, NotWaiting, Refused
from core.events import DecisionRecorded, DecisionWithdrawn
from core.jsontext import to_json
from core.model import Decision, Outcome, Verdict, name_of
from core.states import check_shape
from core.store import delegations, marks, timers
from core.store.deliveries import adopt_copy, say
from core.store.holding import held, held_or_closed, locked
from core.store.policies import policy_text
from core.store.reviews import EVENT_SEQ, SEQ
from core.store.rows import DECISION_COLUMNS, micros
from core.store.settling import DELETE_DECISION, drop, settle
from core.store.statements import Statement, p
from core.store.steps import follow
from core.store.tables import decision, review

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.errors import CountersignError
    from core.events import Event, TaskCompleted
    from core.model import (
        MessageRef,
        NewDecision,
        OpenReview,
        Person,
        PersonId,
        Policy,
        Recipient,
        ReviewRequest,
    )
    from core.ports import Sequel
    from core.store.transaction import Row, Transaction

INSERT_DECISION = Statement(insert(decision), ("review_id", "number", *DECISION_COLUMNS))
CONFINE = Statement(update(review).where(review.c.id == p("id")).values(policy=p("policy")))


def decide(
    tx: Transaction,
    which: str | OpenReview,
    new: NewDecision,
    *,
    policies: Mapping[str, Policy],
    people: Mapping[PersonId, Person],
    sequel: Sequel | None = None,
) -> tuple[ReviewRequest, CountersignError | None, TaskCompleted | None]:
    """Judge and record one answer, and its `sequel`, where it has one: its task's end, if that is it.

    A refusal comes back as a value, for what it heals must be committed: the pressed card, if no delivery
    knows it, is adopted in either case. Raises as `held`.
    """
    row, request = held(tx, which, new.reviewer.id, policies, may_go_on=True)
    request, refusal = _judged(tx, row, request, _decision(tx, new), policies, people)
    if new.copy is not None and not isinstance(refusal, Forbidden):
        adopt_copy(tx, request.task.id, row[EVENT_SEQ], request.id, *new.copy)
    return request, refusal, follow(tx, sequel)


def withdraw(
    tx: Transaction, which: str | OpenReview, reviewer: Person, *, via: str, policies: Mapping[str, Policy]
) -> tuple[ReviewRequest, CountersignError | None]:
    """Take one's own answer back while the review is open; who was struck may not.

    No card shows it then, so the threads say so. Raises as `held_or_closed`.
    """
    row, request = held_or_closed(tx, which)
    try:
        mine = _theirs(request, reviewer.id)
        rules.check_may_withdraw(request, mine, policies)
        rules.check_open(request)
        rules.check_in_time(request, tx.now)
        rules.check_assurance(request, via)
    except (Refused, Forbidden) as error:
        return request, error
    rest = tuple(made for made in request.decisions if made is not mine)
    tx.send(DELETE_DECISION, review=request.id, reviewer=mine.reviewer)
    taken_back = _withdrawn(request, mine, reviewer.id, reviewer.name, via)
    settled = settle(tx, row, request, [taken_back], rest, Outcome.OPEN)
    say(tx, request.task.id, row[SEQ] + 1, request.policy.recipients)
    _mark_if_stuck(tx, request, settled, policies)
    return settled, None


def _theirs(request: ReviewRequest, person: PersonId) -> Decision:
    """What stands as this person's answer, or was given by them; raises `NotWaiting`.

    A reviewer is told first that the review is closed, with which their answer may have been dropped; nobody
    else hears of it.
    """
    found = next((made for made in request.decisions if person in {made.reviewer, made.seat}), None)
    if found is None and person in request.policy.reviewers:
        rules.check_open(request)
    if found is None:
        raise NotWaiting("You have not decided on this review.")
    return found


def adopt(tx: Transaction, review_id: str, copy: tuple[Recipient, MessageRef]) -> None:
    """A card that was pressed, if no delivery knows it. Raises `NotFound`."""
    row, _ = locked(tx, review_id)
    adopt_copy(tx, row[0], row[EVENT_SEQ], review_id, *copy)


def _decision(tx: Transaction, new: NewDecision) -> Decision:
    return Decision(
        reviewer=new.reviewer.id,
        reviewer_name=new.reviewer.name,
        verdict=new.verdict,
        comment=new.comment,
        content=new.content,
        via=new.via,
        at=tx.now,
    )


def _judged(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    made: Decision,
    policies: Mapping[str, Policy],
    people: Mapping[PersonId, Person],
) -> tuple[ReviewRequest, CountersignError | None]:
    """The review with this answer in it, or as it was and why not."""
    try:
        seat = rules.check_may_decide(
            request, made.reviewer, policies, delegations.delegators(tx, request.policy, made.reviewer)
        )
        if seat != made.reviewer:
            made = replace(made, person=seat, person_name=name_of(seat, people))
        rules.check_answer(request, made)
        if made.verdict is Verdict.EDIT:
            check_shape(request.draft, made.content)
    except (Refused, Forbidden, Invalid) as error:
        return request, error
    return _record(tx, row, request, made, policies), None


def _record(
    tx: Transaction, row: Row, request: ReviewRequest, made: Decision, policies: Mapping[str, Policy]
) -> ReviewRequest:
    """Store an answer in place of the one that the same person gave before, if any."""
    before = counting.decision_of(request, made.seat)
    events: list[Event] = []
    standing = request.decisions
    if before is not None:
        standing = tuple(other for other in standing if other is not before)
        tx.send(DELETE_DECISION, review=request.id, reviewer=before.reviewer)
        events.append(_withdrawn(request, before, made.reviewer, made.reviewer_name, made.via))
    rest = request if before is None else replace(request, decisions=standing)
    now = counting.as_it_counts(rest, policies)
    stage = counting.stage_for(now.policy, now.decisions, made.seat, before)
    if stage != made.stage:
        made = replace(made, stage=stage)
    if now.policy is not request.policy and request.policy.keeps_removed:
        request = _confined(tx, request, made.seat, now.policy)
    events.append(_recorded(request, made))
    tx.insert(INSERT_DECISION, **_columns(request, made, row[SEQ] + len(events)))
    outcome = counting.outcome(now.policy, [*now.decisions, made])
    if outcome is not Outcome.OPEN:
        events += drop(tx, request, standing, now.decisions)
        standing = now.decisions
    settled = settle(tx, row, request, events, (*standing, made), outcome)
    settled = marks.forget(tx, settled, made.reviewer)
    _mark_if_stuck(tx, request, settled, policies)
    return settled


def _mark_if_stuck(
    tx: Transaction, before: ReviewRequest, now: ReviewRequest, policies: Mapping[str, Policy]
) -> None:
    """Have it said where this answer, or its taking back, leaves too few."""
    if now.is_open and counting.is_stuck(now, policies) and not counting.is_stuck(before, policies):
        timers.mark_stuck(tx, [now.id])


def _confined(tx: Transaction, request: ReviewRequest, seat: PersonId, now: Policy) -> ReviewRequest:
    """The review, whose text has the seat where it is today: it is to count there only, tomorrow too."""
    before = request.kept or request.policy
    policy = amendments.confined(before, seat, now)
    if policy == before:
        return request
    tx.send(CONFINE, id=request.id, policy=policy_text(policy))
    if request.kept is None:
        return replace(request, policy=policy)
    return replace(request, policy=amendments.escalated(policy), kept=policy)


def _recorded(request: ReviewRequest, made: Decision) -> DecisionRecorded:
    return DecisionRecorded(
        review=request.id,
        reviewer=made.reviewer,
        reviewer_name=made.reviewer_name,
        verdict=made.verdict.value,
        comment=made.comment,
        via=made.via,
        content=made.content,
        diff=diff(request.draft, made.content) if made.verdict is Verdict.EDIT else None,
        person=made.person,
        person_name=made.person_name,
    )


def _withdrawn(
    request: ReviewRequest, made: Decision, by: PersonId, by_name: str, via: str
) -> DecisionWithdrawn:
    is_own = by == made.reviewer
    return DecisionWithdrawn(
        review=request.id,
        reviewer=made.reviewer,
        reviewer_name=made.reviewer_name,
        via=via,
        by=None if is_own else by,
        by_name=None if is_own else by_name,
    )


def _columns(request: ReviewRequest, made: Decision, number: int) -> dict[str, object]:
    """`number` is that of its event: decisions of one review are ordered by it."""
    return {
        "review_id": request.id,
        "number": number,
        "reviewer": made.reviewer,
        "reviewer_name": made.reviewer_name,
        "verdict": made.verdict.value,
        "comment": made.comment,
        "via": made.via,
        "at": micros(made.at),
        "content": None if made.verdict is not Verdict.EDIT else to_json(made.content),
        "stage": made.stage,
        "person": made.person,
        "person_name": made.person_name,
    }
