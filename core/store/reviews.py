"""Reviews and their decisions, as they are found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import literal_column, or_, select, tuple_

from core import counting, reminding
from core import policy as rules
from core.errors import Forbidden, NotFound, Refused
from core.events import TaskCancelled, TaskRewound, kind
from core.jsontext import from_json
from core.model import Outcome, Party, Verdict
from core.store import delegations, earlier, timers
from core.store.deliveries import at_message
from core.store.rows import (
    DECISION_COLUMNS,
    EVENT_COLUMNS,
    REVIEW_COLUMNS,
    TASK_COLUMNS,
    decision_of,
    event_of,
    micros,
    review_of,
    task_of,
)
from core.store.statements import Statement, p
from core.store.tables import decision, event, review, task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from core.model import (
        Decision,
        Delegation,
        Json,
        PersonId,
        Policy,
        ReviewId,
        ReviewRequest,
        Task,
        Timer,
    )
    from core.store.transaction import Row, Transaction

_review = [review.c[name] for name in REVIEW_COLUMNS]
_task = [task.c[name] for name in TASK_COLUMNS]
_both = select(*_task, task.c.seq, review.c.event_seq, task.c.version, task.c.node, *_review).join(
    task, task.c.id == review.c.task_id
)
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
# From the end: it was the last event then, and seldom is anything after it.
CALLED_OFF = Statement(
    select(*(event.c[name] for name in EVENT_COLUMNS))
    .where(
        event.c.task_id == p("task"),
        event.c.kind.in_([literal_column(f"'{kind(of)}'") for of in (TaskCancelled, TaskRewound)]),
        event.c.at == p("at"),
    )
    .order_by(event.c.seq.desc())
    .limit(literal_column("1"))
)


def one(tx: Transaction, review_id: str) -> ReviewRequest:
    """Raises `NotFound`."""
    row = tx.one(BY_ID, id=review_id)
    if row is None:
        raise NotFound("There is no such review.")
    return _request(tx, row)


def on_card(tx: Transaction, review_id: str) -> ReviewRequest:
    """The review with what only a card shows: what calls people next, and how its attempt differs from the
    one before."""
    found = one(tx, review_id)
    return replace(found, next_call=next_call(tx, found), earlier=earlier.of_one(tx, found))


def _with_closer(tx: Transaction, request: ReviewRequest) -> ReviewRequest:
    """With who called its task off, or resumed it from before this, where that closed it."""
    if request.closed_at is None:
        return request
    row = tx.one(CALLED_OFF, task=request.task.id, at=micros(request.closed_at))
    match None if row is None else event_of(row).event:
        case TaskCancelled(by=by, by_name=name):
            return replace(request, cancelled_by=request.task.canceller(by, name))
        case TaskRewound(by_name=resumed_by):
            return replace(request, taken_back_by=resumed_by)
        case _:
            return request


def next_call(tx: Transaction, request: ReviewRequest) -> Timer | None:
    """What next calls people to it; reads nothing where the review says that nothing does."""
    if not reminding.is_called(request):
        return None
    return reminding.next_call(request, timers.of_review(tx, request.id), delegations.standing(tx))


def moved_calls(
    tx: Transaction, *, before: Sequence[Delegation], after: str | None, limit: int
) -> tuple[list[ReviewId], str | None]:
    """Of a page of open reviews those whose next call is another than while these were away, and where the
    next page begins (None at the end)."""
    page: list[ReviewId] = [row[0] for row in tx.all(timers.REMINDED, after=after or "", limit=limit)]
    now, moved = delegations.standing(tx), []
    for review_id in page:
        found, to_come = one(tx, review_id), timers.of_review(tx, review_id)
        if reminding.next_call(found, to_come, before) != reminding.next_call(found, to_come, now):
            moved.append(review_id)
    return moved, page[-1] if len(page) == limit else None


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
    if found.outcome is Outcome.CANCELLED:
        found = _with_closer(tx, found)
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
