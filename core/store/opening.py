"""Reviews opened, and what becomes of them besides decisions: superseded, closed undecided, undone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, func, insert, literal_column, null, or_, update

from core import counting
from core.jsontext import to_json
from core.model import LOCAL, Outcome, Timer, TimerKind
from core.store import timers
from core.store.deliveries import end_words, open_cards, raise_at_leisure, raise_cards
from core.store.policies import policy_of_row, policy_text
from core.store.reviews import one
from core.store.rows import REVIEW_COLUMNS, micros
from core.store.statements import Statement, p
from core.store.tables import STANDS_OPEN, review
from core.timetable import expiry, timetable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Json, NewReview, Task
    from core.store.transaction import Transaction

MAY_STILL_COME = timedelta(minutes=1)
"""How long a review waits for reviewers from outside before it says that they are too few: at the start of a
server they may be not known yet."""
UNDO = Statement(
    update(review)
    .where(
        review.c.task_id == p("task"),
        review.c.checkpoint >= p("checkpoint"),
        review.c.undone == literal_column("0"),
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
INSERT = Statement(insert(review), (*REVIEW_COLUMNS, "event_seq", "checkpoint"))
CLOSE = Statement(
    update(review)
    .where(review.c.id == p("id"), STANDS_OPEN)
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
        raise_cards(tx, of, review_id, policy_of_row(policy, escalated), gives_way=True)


def close_undecided(tx: Transaction, of: Task) -> None:
    """The task was called off or failed while it waited."""
    if of.review is not None:
        found = one(tx, of.review)
        tx.run(CLOSE, id=of.review, outcome=Outcome.CANCELLED.value, now=micros(tx.now))
        raise_cards(tx, of.id, of.review, found.policy, gives_way=True)
        tx.send(timers.DROP, review=of.review)
        end_words(tx, of.id, of.review, found.policy)


def show_again(tx: Transaction, ids: Sequence[str]) -> None:
    for review_id in ids:
        found = one(tx, review_id)
        if found.is_open:
            raise_cards(tx, found.task.id, found.id, found.policy)


def show_calls(tx: Transaction, ids: Sequence[str]) -> None:
    for review_id in ids:
        found = one(tx, review_id)
        if found.is_open:
            raise_at_leisure(tx, found)


def undo_since(tx: Transaction, task_id: str, checkpoint: int, attempt: int) -> int:
    """Close and supersede what was asked at a checkpoint or after it, on every card; how many it was."""
    undone = tx.changed(UNDO, task=task_id, checkpoint=checkpoint, by=attempt, now=micros(tx.now))
    for review_id, text, escalated in undone:
        policy = policy_of_row(text, escalated)
        raise_cards(tx, task_id, review_id, policy, gives_way=True)
        tx.send(timers.DROP, review=review_id)
        end_words(tx, task_id, review_id, policy)
    return len(undone)


def reinstate(tx: Transaction, task_id: str, checkpoint: int) -> None:
    """What was decided at a checkpoint counts again: somebody went back to the branch that it led to."""
    tx.run(REINSTATE, task=task_id, checkpoint=checkpoint)
