"""Reviews and decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, func, insert, literal_column, or_, select, update

from core import policy as rules
from core.errors import Forbidden, Invalid, NotFound, NotWaiting, Refused, ReviewIsClosed, StaleReview
from core.events import DecisionRecorded, ReviewApproved, ReviewEdited, ReviewRejected
from core.jsontext import from_json, to_json
from core.lifecycle import after
from core.model import Decision, Outcome, Point, Position, Verdict
from core.states import check_shape, diff
from core.store import checkpoints
from core.store.deliveries import adopt_copy, open_cards, raise_cards
from core.store.history import append
from core.store.rows import (
    DECISION_COLUMNS,
    REVIEW_COLUMNS,
    TASK_COLUMNS,
    decision_of,
    micros,
    policy_of,
    policy_text,
    review_of,
    task_of,
)
from core.store.statements import Statement, p
from core.store.tables import decision, review, task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.errors import CountersignError
    from core.events import Event
    from core.model import (
        Json,
        MessageRef,
        NewReview,
        Person,
        PersonId,
        Policy,
        Recipient,
        ReviewRequest,
        Status,
        Task,
    )
    from core.store.transaction import Row, Transaction

_review = [review.c[name] for name in REVIEW_COLUMNS]
_task = [task.c[name] for name in TASK_COLUMNS]
_both = select(*_task, task.c.seq, review.c.event_seq, task.c.version, task.c.node, *_review).join(
    task, task.c.id == review.c.task_id
)
TOLD = frozenset({Outcome.APPROVED, Outcome.REJECTED, Outcome.EXPIRED})
"""What a task's `outcome` may be."""
SIEVED = 100
"""Open reviews looked at in one go for somebody's inbox."""
SEQ, EVENT_SEQ, VERSION, NODE, REVIEW = range(len(TASK_COLUMNS), len(TASK_COLUMNS) + 5)

BY_ID = Statement(_both.where(review.c.id == p("id")))
# The lock keeps two decisions of a quorum apart, and is the task's, as everywhere: one order, no deadlock.
LOCK_TASK_OF = Statement(
    select(task.c.id)
    .join(review, review.c.task_id == task.c.id)
    .where(review.c.id == p("id"))
    .with_for_update(of=task)
)
OF_TASK = Statement(_both.where(review.c.task_id == p("task")).order_by(review.c.event_seq))
OPEN_BY_TASK = Statement(_both.where(task.c.id == p("task"), review.c.id == task.c.review_id))
BEFORE_IT = Statement(
    select(review.c.id)
    .where(review.c.task_id == p("task"), review.c.attempt == p("attempt"), review.c.event_seq < p("before"))
    .limit(literal_column("1"))
)
STATUS_OF_TASK = Statement(select(task.c.status).where(task.c.id == p("id")))
LOCK_TASK = Statement(select(task.c.id).where(task.c.id == p("id")).with_for_update())
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
    )
    .returning(review.c.id, review.c.policy)
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
WAITING = Statement(
    _both.where(
        review.c.closed_at.is_(None),
        # A first sieve; the policy itself is asked for each that passes.
        review.c.policy.like(p("like")),
        or_(
            review.c.opened_at > p("opened_at"),
            and_(review.c.opened_at == p("opened_at"), review.c.id > p("id")),
        ),
    )
    .order_by(review.c.opened_at, review.c.id)
    .limit(p("limit"))
)
DECISIONS = Statement(
    select(*(decision.c[name] for name in DECISION_COLUMNS))
    .where(decision.c.review_id == p("review"))
    .order_by(decision.c.number)
)
LAST_REJECTION = Statement(
    select(*(decision.c[name] for name in DECISION_COLUMNS))
    .join(review, review.c.id == decision.c.review_id)
    .where(
        review.c.task_id == p("task"),
        review.c.event_seq < p("before"),
        _stands,
        decision.c.verdict.in_((literal_column("'reject'"), literal_column("'edit'"))),
    )
    .order_by(review.c.event_seq.desc(), decision.c.number.desc())
    .limit(literal_column("1"))
)
INSERT = Statement(insert(review), (*REVIEW_COLUMNS, "event_seq", "checkpoint"))
CLOSE = Statement(
    update(review)
    .where(review.c.id == p("id"), review.c.closed_at.is_(None))
    .values(outcome=p("outcome"), closed_at=p("now"))
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
    .returning(review.c.id, review.c.policy)
)
INSERT_DECISION = Statement(insert(decision), ("review_id", "number", *DECISION_COLUMNS))
DECIDED = Statement(
    update(task)
    .where(task.c.id == p("id"), task.c.seq == p("seq"))
    .values(
        status=p("status"),
        outcome=p("outcome"),
        review_id=p("review"),
        seq=p("new_seq"),
        version=task.c.version + literal_column("1"),
        updated_at=p("now"),
    )
)


def open_review(
    tx: Transaction, of: str, seq: int, new: NewReview, *, attempt: int, node: str, draft: Json
) -> None:
    """Store the review and its cards; those that it replaces say so from now on."""
    supersede(tx, of, attempt, new, node)
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
    )
    open_cards(tx, of, seq, new.id, new.policy)


def supersede(tx: Transaction, of: str, attempt: int, new: NewReview, node: str) -> None:
    """Reviews of the attempts before give way to that of `attempt`, on every card; approvals of something
    else still hold."""
    if attempt == 1:
        return
    asked = {"node": node, "point": new.point.value, "checkpoint": new.checkpoint}
    for review_id, policy in tx.changed(SUPERSEDE, task=of, by=attempt, **asked):
        raise_cards(tx, of, review_id, policy_of(policy))


def close_undecided(tx: Transaction, of: Task) -> None:
    """The task was called off or failed while it waited."""
    if of.review is not None:
        found = one(tx, of.review)
        tx.run(CLOSE, id=of.review, outcome=Outcome.CANCELLED.value, now=micros(tx.now))
        raise_cards(tx, of.id, of.review, found.policy)


def one(tx: Transaction, review_id: str) -> ReviewRequest:
    """Raises `NotFound`."""
    row = tx.one(BY_ID, id=review_id)
    if row is None:
        raise NotFound("There is no such review.")
    return _request(tx, row)


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
    for review_id, policy in undone:
        raise_cards(tx, task_id, review_id, policy_of(policy))
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
    """Open reviews that `person` may decide now; with `everybody` the policy names no one in particular."""
    like = "%" if everybody else f'%"{person}"%'
    found: list[ReviewRequest] = []
    after = (-1, "")
    while len(found) < limit:
        rows = tx.all(WAITING, like=like, limit=SIEVED, opened_at=after[0], id=after[1])
        requests = [_request(tx, row) for row in rows]
        found += [request for request in requests if _refusal(request, person, policies) is None]
        if len(rows) < SIEVED:
            break
        after = (micros(requests[-1].opened_at), requests[-1].id)
    return found[:limit]


def _decisions(tx: Transaction, review_id: str) -> list[Decision]:
    return [decision_of(found) for found in tx.all(DECISIONS, review=review_id)]


def _as_it_stands(tx: Transaction, row: Row) -> ReviewRequest:
    """The review and its decisions, without what led to it."""
    found = review_of(row[REVIEW:], task_of(row), (), previous=None)
    if not found.is_open or found.policy.approvals > 1:
        # An open review that asks for one decision has none.
        found = replace(found, decisions=tuple(_decisions(tx, found.id)))
    return found


def _request(tx: Transaction, row: Row) -> ReviewRequest:
    found = _as_it_stands(tx, row)
    if found.attempt > 1:
        rejection = tx.one(LAST_REJECTION, task=row[0], before=row[EVENT_SEQ])
        found = found if rejection is None else replace(found, previous=decision_of(rejection))
    return found


def decide_open(
    tx: Transaction,
    task_id: str,
    reviewer: Person,
    verdict: Verdict,
    *,
    review_id: str | None,
    attempt: int | None,
    comment: str | None,
    content: Json,
    via: str,
    policies: Mapping[str, Policy],
) -> tuple[ReviewRequest, CountersignError | None]:
    """Decide the task's open review, where it is the one that is meant.

    Raises `NotFound`, `NotWaiting`, or `StaleReview` for a `review_id` or `attempt` that is not the open one.
    """
    tx.lock(LOCK_TASK, id=task_id)
    row = tx.one(OPEN_BY_TASK, task=task_id)
    if row is None:
        raise _not_waiting(tx, task_id)
    request = _as_it_stands(tx, row)
    if review_id not in {None, request.id} or attempt not in {None, request.attempt}:
        raise StaleReview(f"That is not the open review; attempt {request.attempt} is.")
    if review_id is None and attempt is not None:
        _check_is_only_one(tx, row, attempt)
    made = _decision(tx, reviewer, verdict, comment, content, via)
    return _judged(tx, row, request, made, policies)


def _check_is_only_one(tx: Transaction, row: Row, attempt: int) -> None:
    """Where an attempt has several reviews, its number does not say which of them somebody has seen."""
    if tx.one(BEFORE_IT, task=row[0], attempt=attempt, before=row[EVENT_SEQ]) is not None:
        raise StaleReview(f"Attempt {attempt} has more than one review; name the open one's `review_id`.")


def _not_waiting(tx: Transaction, task_id: str) -> NotFound | NotWaiting:
    row = tx.one(STATUS_OF_TASK, id=task_id)
    if row is None:
        return NotFound("There is no such task.")
    return NotWaiting(f"This task is {row[0].replace('_', ' ')}; there is nothing to decide now.")


def decide(
    tx: Transaction,
    review_id: str,
    reviewer: Person,
    verdict: Verdict,
    *,
    comment: str | None,
    content: Json,
    via: str,
    copy: tuple[Recipient, MessageRef] | None,
    policies: Mapping[str, Policy],
) -> tuple[ReviewRequest, CountersignError | None]:
    """Judge and record one answer. A refusal comes back as a value, for what it heals must be committed:
    the pressed card, if no delivery knows it, is adopted in either case."""
    tx.lock(LOCK_TASK_OF, id=review_id)
    row = tx.one(BY_ID, id=review_id)
    if row is None:
        raise NotFound("There is no such review.")
    made = _decision(tx, reviewer, verdict, comment, content, via)
    request, refusal = _judged(tx, row, _as_it_stands(tx, row), made, policies)
    if copy is not None and not isinstance(refusal, Forbidden):
        adopt_copy(tx, request.task.id, row[EVENT_SEQ], review_id, *copy)
    return request, refusal


def _decision(
    tx: Transaction, reviewer: Person, verdict: Verdict, comment: str | None, content: Json, via: str
) -> Decision:
    return Decision(
        reviewer=reviewer.id,
        reviewer_name=reviewer.name,
        verdict=verdict,
        comment=comment,
        content=content,
        via=via,
        at=tx.now,
    )


def _judged(
    tx: Transaction, row: Row, request: ReviewRequest, made: Decision, policies: Mapping[str, Policy]
) -> tuple[ReviewRequest, CountersignError | None]:
    """The review with this answer in it, or as it was and why not."""
    refusal = _refusal(request, made.reviewer, policies)
    if refusal is None and made.verdict is Verdict.EDIT:
        refusal = _misfit(request, made)
    if refusal is not None:
        return request, refusal
    return _record(tx, row, request, made), None


def _misfit(request: ReviewRequest, made: Decision) -> Invalid | None:
    try:
        check_shape(request.draft, made.content)
    except Invalid as error:
        return error
    return None


def adopt(tx: Transaction, review_id: str, copy: tuple[Recipient, MessageRef]) -> None:
    """A card that was pressed, if no delivery knows it. Raises `NotFound`."""
    tx.lock(LOCK_TASK_OF, id=review_id)
    row = tx.one(BY_ID, id=review_id)
    if row is None:
        raise NotFound("There is no such review.")
    adopt_copy(tx, row[0], row[EVENT_SEQ], review_id, *copy)


def _refusal(
    request: ReviewRequest, person: PersonId, policies: Mapping[str, Policy]
) -> CountersignError | None:
    try:
        rules.check_may_decide(request, person, policies)
    except (Refused, Forbidden) as error:
        return error
    return None


def _record(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    made: Decision,
) -> ReviewRequest:
    outcome = rules.outcome(request.policy, (*request.decisions, made))
    events = _events(request, made, outcome)
    decided = _decided(request, made, outcome, after(request.task.status, *events))
    _compare_and_set(tx, row[SEQ], decided, len(events))
    _insert_decision(tx, request, made)
    append(tx, request.task.id, row[SEQ], events, request.task.callback_url)
    raise_cards(tx, request.task.id, request.id, request.policy)
    if not decided.is_open and decided.point is not Point.INSIDE:
        tx.position = _parked(tx, row, decided, len(events))
    return decided


def _parked(tx: Transaction, row: Row, decided: ReviewRequest, events: int) -> Position:
    """Where the flow goes on: at the node that asked for this review."""
    last = checkpoints.last(tx, decided.task.id)
    # Before the second attempt there was no edit that others had to approve.
    answers = (decided,) if decided.attempt == 1 else answers_since(tx, decided.task, last.number)
    return Position(
        task=decided.task,
        version=row[VERSION] + 1,
        seq=row[SEQ] + events,
        node=row[NODE],
        point=decided.point,
        action=last.action,
        frames=last.frames,
        state=last.state,
        checkpoints=last.number,
        schema=last.schema,
        begun=False,
        starts=0,
        tries=0,
        due_at=None,
        review=decided,
        answers=answers,
    )


def _decided(request: ReviewRequest, made: Decision, outcome: Outcome, status: Status) -> ReviewRequest:
    """The review and its task after the decision, as they are about to be stored."""
    closes = outcome is not Outcome.OPEN
    of = replace(
        request.task,
        status=status,
        outcome=outcome if outcome in TOLD else request.task.outcome,
        review=None if closes else request.id,
        updated_at=made.at,
    )
    return replace(
        request,
        task=of,
        outcome=outcome,
        closed_at=made.at if closes else None,
        decisions=(*request.decisions, made),
    )


def _compare_and_set(tx: Transaction, seq: int, decided: ReviewRequest, events: int) -> None:
    """Store what the decision changes, unless the task or its review was changed meanwhile."""
    of = decided.task
    now = micros(tx.now)
    moved = tx.run(
        DECIDED,
        id=of.id,
        seq=seq,
        status=of.status.value,
        outcome=None if of.outcome is None else of.outcome.value,
        review=of.review,
        new_seq=seq + events,
        now=now,
    )
    if not moved or (
        not decided.is_open and not tx.run(CLOSE, id=decided.id, outcome=decided.outcome.value, now=now)
    ):
        raise ReviewIsClosed("Somebody else was first.")


def _events(request: ReviewRequest, made: Decision, outcome: Outcome) -> list[Event]:
    recorded = DecisionRecorded(
        review=request.id,
        reviewer=made.reviewer,
        reviewer_name=made.reviewer_name,
        verdict=made.verdict.value,
        comment=made.comment,
        via=made.via,
        content=made.content,
        diff=diff(request.draft, made.content) if made.verdict is Verdict.EDIT else None,
    )
    match outcome:
        case Outcome.APPROVED:
            return [recorded, ReviewApproved(review=request.id, attempt=request.attempt)]
        case Outcome.REJECTED:
            return [recorded, ReviewRejected(review=request.id, attempt=request.attempt)]
        case Outcome.EDITED:
            return [recorded, ReviewEdited(review=request.id, attempt=request.attempt)]
        case _:
            return [recorded]


def _insert_decision(tx: Transaction, request: ReviewRequest, made: Decision) -> None:
    tx.insert(
        INSERT_DECISION,
        review_id=request.id,
        number=len(request.decisions) + 1,
        reviewer=made.reviewer,
        reviewer_name=made.reviewer_name,
        verdict=made.verdict.value,
        comment=made.comment,
        via=made.via,
        at=micros(made.at),
        content=None if made.verdict is not Verdict.EDIT else to_json(made.content),
    )
