"""Reviews and decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, func, insert, literal_column, null, or_, select, tuple_, update

from core import counting
from core import policy as rules
from core.errors import Forbidden, NotFound, Refused
from core.jsontext import from_json, to_json
from core.model import LOCAL, Earlier, Outcome, Party, Point, Timer, TimerKind, Verdict
from core.store import delegations, timers
from core.store.deliveries import at_message, end_words, open_cards, raise_cards
from core.store.policies import policy_of_row, policy_text
from core.store.rows import (
    DECISION_COLUMNS,
    REVIEW_COLUMNS,
    TASK_COLUMNS,
    decision_of,
    micros,
    review_of,
    task_of,
)
from core.store.statements import Statement, p
from core.store.tables import decision, review, task
from core.timetable import expiry, timetable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from core.model import (
        Decision,
        Json,
        NewReview,
        PersonId,
        Policy,
        ReviewRequest,
        Task,
    )
    from core.store.transaction import Row, Transaction

_review = [review.c[name] for name in REVIEW_COLUMNS]
_task = [task.c[name] for name in TASK_COLUMNS]
_both = select(*_task, task.c.seq, review.c.event_seq, task.c.version, task.c.node, *_review).join(
    task, task.c.id == review.c.task_id
)
MAY_STILL_COME = timedelta(minutes=1)
"""How long a review waits for reviewers from outside before it says that they are too few: at the start of a
server they may be not known yet."""
SIEVED = 100
"""Open reviews looked at in one go for somebody's inbox."""
SEQ, EVENT_SEQ, VERSION, NODE, REVIEW = range(len(TASK_COLUMNS), len(TASK_COLUMNS) + 5)
SNOOZES = REVIEW + REVIEW_COLUMNS.index("snoozes")

BY_ID = Statement(_both.where(review.c.id == p("id")))
OF_TASK = Statement(_both.where(review.c.task_id == p("task")).order_by(review.c.event_seq))
OPEN_BY_TASK = Statement(_both.where(task.c.id == p("task"), review.c.id == task.c.review_id))
BEFORE_IT = Statement(
    select(review.c.id)
    .where(review.c.task_id == p("task"), review.c.attempt == p("attempt"), review.c.event_seq < p("before"))
    .limit(literal_column("1"))
)
STATUS_OF_TASK = Statement(select(task.c.status).where(task.c.id == p("id")))
_stands = review.c.undone == literal_column("0")
CLOSED_SINCE = Statement(
    select(*_review)
    .where(
        review.c.task_id == p("task"),
        review.c.checkpoint == p("checkpoint"),
        review.c.closed_at.is_not(None),
        review.c.outcome != literal_column("'cancelled'"),
        _stands,
    )
    .order_by(review.c.event_seq)
)
LAST_APPROVED = Statement(
    select(review.c.id, review.c.draft)
    .where(
        review.c.task_id == p("task"),
        review.c.outcome == literal_column("'approved'"),
        _stands,
    )
    .order_by(review.c.event_seq.desc())
    .limit(literal_column("1"))
)
LAST_OUTCOME = Statement(
    select(review.c.outcome)
    .where(
        review.c.task_id == p("task"),
        review.c.checkpoint < p("checkpoint"),
        _stands,
        review.c.outcome.in_([literal_column(f"'{word}'") for word in ("approved", "rejected", "expired")]),
    )
    .order_by(review.c.event_seq.desc())
    .limit(literal_column("1"))
)
UNDO = Statement(
    update(review)
    .where(
        review.c.task_id == p("task"),
        review.c.checkpoint >= p("checkpoint"),
        _stands,
    )
    .values(
        undone=literal_column("1"),
        superseded_by=func.coalesce(review.c.superseded_by, p("by")),
        outcome=case((review.c.closed_at.is_(None), literal_column("'cancelled'")), else_=review.c.outcome),
        closed_at=func.coalesce(review.c.closed_at, p("now")),
        claims=null(),
        snoozes=null(),
    )
    .returning(review.c.id, review.c.policy, review.c.escalated)
)
REINSTATE = Statement(
    update(review)
    .where(
        review.c.task_id == p("task"),
        review.c.checkpoint == p("checkpoint"),
        review.c.undone == literal_column("1"),
        review.c.outcome != literal_column("'cancelled'"),
    )
    .values(undone=literal_column("0"))
)
# As one pair, which both databases find in the index; of an OR, PostgreSQL reads every page from the start.
_later = tuple_(review.c.opened_at, review.c.id) > tuple_(p("opened_at"), p("id"))
WAITING = Statement(
    _both.where(
        review.c.closed_at.is_(None),
        # A first sieve; the policy itself is asked for each that passes.
        review.c.policy.like(p("like")),
        _later,
    )
    .order_by(review.c.opened_at, review.c.id)
    .limit(p("limit"))
)
ANSWERED = Statement(
    _both.join(decision, decision.c.review_id == review.c.id)
    .where(
        review.c.closed_at.is_(None),
        or_(decision.c.reviewer == p("person"), decision.c.person == p("person")),
    )
    .order_by(review.c.opened_at, review.c.id)
    .limit(p("limit"))
)
CLOSED = Statement(
    _both.where(
        review.c.closed_at.is_not(None),
        _stands,
        _later,
    )
    .order_by(review.c.opened_at, review.c.id)
    .limit(p("limit"))
)
DECISIONS = Statement(
    select(*(decision.c[name] for name in DECISION_COLUMNS))
    .where(decision.c.review_id == p("review"))
    .order_by(decision.c.number)
)
_against = decision.c.verdict.in_((literal_column("'reject'"), literal_column("'edit'")))
_last_against = (
    select(review.c.id)
    .join(decision, review.c.id == decision.c.review_id)
    .where(review.c.task_id == p("task"), review.c.event_seq < p("before"), _stands, _against)
    .order_by(review.c.event_seq.desc())
    .limit(literal_column("1"))
    .correlate(None)
    .scalar_subquery()
)
LAST_REJECTIONS = Statement(
    select(*(decision.c[name] for name in DECISION_COLUMNS))
    .where(decision.c.review_id == _last_against, _against)
    .order_by(decision.c.number)
)
EARLIER = Statement(
    select(review.c.attempt, review.c.draft)
    .where(
        review.c.task_id == p("task"),
        review.c.node == p("node"),
        review.c.point == p("point"),
        review.c.attempt < p("attempt"),
    )
    .order_by(review.c.event_seq.desc())
    .limit(literal_column("1"))
)
INSERT = Statement(insert(review), (*REVIEW_COLUMNS, "event_seq", "checkpoint"))
CLOSE = Statement(
    update(review)
    .where(review.c.id == p("id"), review.c.closed_at.is_(None))
    .values(outcome=p("outcome"), closed_at=p("now"), claims=null(), snoozes=null())
)
SUPERSEDE = Statement(
    update(review)
    .where(
        review.c.task_id == p("task"),
        review.c.attempt < p("by"),
        review.c.closed_at.is_not(None),
        review.c.superseded_by.is_(None),
        # What was approved holds until the same is asked anew, at another visit of its node.
        or_(
            review.c.outcome != literal_column("'approved'"),
            and_(
                review.c.node == p("node"),
                review.c.point == p("point"),
                review.c.checkpoint < p("checkpoint"),
            ),
        ),
    )
    .values(superseded_by=p("by"))
    .returning(review.c.id, review.c.policy, review.c.escalated)
)


def open_review(
    tx: Transaction, of: str, seq: int, new: NewReview, *, attempt: int, node: str, draft: Json
) -> None:
    """Store the review and its cards; those that it replaces say so from now on."""
    supersede(tx, of, attempt, new, node)
    expires_at = expiry(new.policy, tx.now)
    tx.insert(
        INSERT,
        id=new.id,
        task_id=of,
        event_seq=seq,
        attempt=attempt,
        node=node,
        policy=policy_text(new.policy),
        draft=to_json(draft),
        outcome=Outcome.OPEN.value,
        opened_at=micros(tx.now),
        closed_at=None,
        superseded_by=None,
        point=new.point.value,
        checkpoint=new.checkpoint,
        expires_at=None if expires_at is None else micros(expires_at),
        escalated=0,
        claims=None,
        snoozes=None,
        questions=0,
    )
    open_cards(tx, of, seq, new.id, new.policy.recipients, draft)
    timers.schedule(tx, timetable(new.policy, new.id, tx.now))
    if new.is_hopeless:
        soon = tx.now + (MAY_STILL_COME if new.policy.outside else timedelta(0))
        stuck = Timer(review=new.id, kind=TimerKind.STUCK, number=1, due_at=soon)
        timers.schedule(tx, [stuck])


def mark_if_stuck(tx: Transaction, review_id: str) -> None:
    """Have it said where what was decided before leaves too few: an edit, or answers that are carried.

    Not in open mode, where whoever sits at the machine stands in no policy.
    """
    found = one(tx, review_id)
    people = {found.task.submitter, *(() if found.previous is None else (found.previous.reviewer,))}
    if LOCAL not in people and counting.is_stuck(found):
        timers.mark_stuck(tx, [review_id])


def supersede(tx: Transaction, of: str, attempt: int, new: NewReview, node: str) -> None:
    """Reviews of the attempts before give way to that of `attempt`, on every card; approvals of something
    else still hold."""
    if attempt == 1:
        return
    asked = {"node": node, "point": new.point.value, "checkpoint": new.checkpoint}
    for review_id, policy, escalated in tx.changed(SUPERSEDE, task=of, by=attempt, **asked):
        raise_cards(tx, of, review_id, policy_of_row(policy, escalated))


def close_undecided(tx: Transaction, of: Task) -> None:
    """The task was called off or failed while it waited."""
    if of.review is not None:
        found = one(tx, of.review)
        tx.run(CLOSE, id=of.review, outcome=Outcome.CANCELLED.value, now=micros(tx.now))
        raise_cards(tx, of.id, of.review, found.policy)
        tx.send(timers.DROP, review=of.review)
        end_words(tx, of.id, of.review, found.policy)


def show_again(tx: Transaction, ids: Sequence[str]) -> None:
    for review_id in ids:
        found = one(tx, review_id)
        if found.is_open:
            raise_cards(tx, found.task.id, found.id, found.policy)


def one(tx: Transaction, review_id: str) -> ReviewRequest:
    """Raises `NotFound`."""
    row = tx.one(BY_ID, id=review_id)
    if row is None:
        raise NotFound("There is no such review.")
    return _request(tx, row)


def on_card(tx: Transaction, review_id: str) -> ReviewRequest:
    """The review with what a card shows of its attempt: how it differs from the one before.

    That is the last one seen in the same place of the flow, also where somebody has resumed the task from
    before it. What a node asks itself may be another question each time, unless it is an edit of the last.
    """
    found = one(tx, review_id)
    if found.attempt == 1:
        return found
    edited = found.previous is not None and found.previous.verdict is Verdict.EDIT
    if found.point is Point.INSIDE and not edited:
        return found
    row = tx.one(EARLIER, task=found.task.id, node=found.node, point=found.point.value, attempt=found.attempt)
    return found if row is None else replace(found, earlier=Earlier(attempt=row[0], draft=from_json(row[1])))


def of_task(tx: Transaction, task_id: str) -> list[ReviewRequest]:
    return [_request(tx, row) for row in tx.all(OF_TASK, task=task_id)]


def answers_since(tx: Transaction, of: Task, checkpoint: int) -> tuple[ReviewRequest, ...]:
    """Every closed review since the task's last checkpoint, oldest first, without what led to it."""
    return tuple(
        review_of(row, of, _decisions(tx, row[0]), previous=None)
        for row in tx.all(CLOSED_SINCE, task=of.id, checkpoint=checkpoint)
    )


def last_approved(tx: Transaction, task_id: str) -> Json:
    """What the task's last approved review approved; None where there is none."""
    row = tx.one(LAST_APPROVED, task=task_id)
    if row is None:
        return None
    edits = [made.content for made in _decisions(tx, row[0]) if made.verdict is Verdict.EDIT]
    draft: Json = from_json(row[1])
    return edits[-1] if edits else draft


def undo_since(tx: Transaction, task_id: str, checkpoint: int, attempt: int) -> int:
    """Close and supersede what was asked at a checkpoint or after it, on every card; how many it was."""
    undone = tx.changed(UNDO, task=task_id, checkpoint=checkpoint, by=attempt, now=micros(tx.now))
    for review_id, text, escalated in undone:
        policy = policy_of_row(text, escalated)
        raise_cards(tx, task_id, review_id, policy)
        tx.send(timers.DROP, review=review_id)
        end_words(tx, task_id, review_id, policy)
    return len(undone)


def reinstate(tx: Transaction, task_id: str, checkpoint: int) -> None:
    """What was decided at a checkpoint counts again: somebody went back to the branch that it led to."""
    tx.run(REINSTATE, task=task_id, checkpoint=checkpoint)


def outcome_before(tx: Transaction, task_id: str, checkpoint: int) -> Outcome | None:
    """Of the last review that was closed before a checkpoint."""
    row = tx.one(LAST_OUTCOME, task=task_id, checkpoint=checkpoint)
    return None if row is None else Outcome(row[0])


def waiting_for(
    tx: Transaction, person: PersonId, *, everybody: bool, policies: Mapping[str, Policy], limit: int
) -> list[ReviewRequest]:
    """Open reviews that wait for `person`'s answer, their own or as a delegate; with `everybody` the policy
    names no one in particular."""
    deciding_for = () if everybody else delegations.to(tx, person)
    names = ("%",) if everybody else tuple(f'%"{name}"%' for name in (person, *deciding_for))
    found = {
        request.id: request
        for like in names
        for request in _passing(tx, like, person, deciding_for, policies=policies, limit=limit)
    }
    return sorted(found.values(), key=lambda request: (request.opened_at, request.id))[:limit]


def _passing(
    tx: Transaction,
    like: str,
    person: PersonId,
    delegators: tuple[PersonId, ...],
    *,
    policies: Mapping[str, Policy],
    limit: int,
) -> list[ReviewRequest]:
    """The oldest open reviews that pass the sieve and that the person may decide."""
    found: list[ReviewRequest] = []
    after = (-1, "")
    while len(found) < limit:
        rows = tx.all(WAITING, like=like, limit=SIEVED, opened_at=after[0], id=after[1])
        requests = [_request(tx, row) for row in rows]
        found += [
            request for request in requests if _may_decide(request, person, policies, delegators, at=tx.now)
        ]
        if len(rows) < SIEVED:
            break
        after = (micros(requests[-1].opened_at), requests[-1].id)
    return found[:limit]


def answered_by(tx: Transaction, person: PersonId, *, limit: int) -> list[ReviewRequest]:
    """Open reviews on which somebody decided, or a delegate in their place."""
    found = {row[REVIEW]: row for row in tx.all(ANSWERED, person=person, limit=limit)}
    return [_request(tx, row) for row in found.values()]


def shown_at(tx: Transaction, channel: str, message: str) -> ReviewRequest | None:
    """What a message of ours shows; of a notice, its task's newest review."""
    found = at_message(tx, channel, message)
    if found is None:
        return None
    of, review_id = found
    return next(iter(of_task(tx, of)[-1:]), None) if review_id is None else one(tx, review_id)


def open_page(tx: Transaction, *, after: tuple[datetime, str] | None, limit: int) -> list[ReviewRequest]:
    """Open reviews, oldest first, as they stand."""
    opened_at, last = (-1, "") if after is None else (micros(after[0]), after[1])
    return [
        as_it_stands(tx, row) for row in tx.all(WAITING, like="%", limit=limit, opened_at=opened_at, id=last)
    ]


def closed_page(
    tx: Transaction, *, after: tuple[int, str] | None, limit: int
) -> tuple[list[ReviewRequest], tuple[int, str] | None]:
    """Closed reviews, oldest first, and where the next page begins (None at the end)."""
    opened_at, last = (-1, "") if after is None else after
    rows = tx.all(CLOSED, limit=limit, opened_at=opened_at, id=last)
    page = [_request(tx, row) for row in rows]
    return page, (micros(page[-1].opened_at), page[-1].id) if len(page) == limit else None


def _decisions(tx: Transaction, review_id: str) -> list[Decision]:
    return [decision_of(found) for found in tx.all(DECISIONS, review=review_id)]


def as_it_stands(tx: Transaction, row: Row) -> ReviewRequest:
    """The review and its decisions, without what led to it."""
    found = review_of(row[REVIEW:], task_of(row), (), previous=None)
    if not found.is_open or found.policy.approvals > 1 or found.policy.rejections > 1:
        # An open review that asks for one decision has none.
        found = replace(found, decisions=tuple(_decisions(tx, found.id)))
    if found.attempt > 1 and Party.EDITOR in found.policy.distinct_from:
        found = _with_previous(tx, row, found)
    return found


def _request(tx: Transaction, row: Row) -> ReviewRequest:
    found = as_it_stands(tx, row)
    return found if found.attempt == 1 or found.previous is not None else _with_previous(tx, row, found)


def _with_previous(tx: Transaction, row: Row, found: ReviewRequest) -> ReviewRequest:
    against = [decision_of(one) for one in tx.all(LAST_REJECTIONS, task=row[0], before=row[EVENT_SEQ])]
    return replace(found, previous=against[-1], before_previous=tuple(against[:-1])) if against else found


def _may_decide(
    request: ReviewRequest,
    person: PersonId,
    policies: Mapping[str, Policy],
    delegators: tuple[PersonId, ...],
    *,
    at: datetime,
) -> bool:
    """Whether the review waits for this person's answer: who has given one waits for others."""
    try:
        seat = rules.check_may_decide(request, person, policies, delegators)
        rules.check_in_time(request, at)
    except (Refused, Forbidden):
        return False
    return counting.decision_of(request, seat) is None
