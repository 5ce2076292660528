"""What has happened to an open review, stored with its cards, its timers and, where it closes, its task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, literal_column, update

from core.errors import ReviewIsClosed
from core.events import (
    DecisionsDropped,
    ReminderSnoozed,
    ReviewApproved,
    ReviewEdited,
    ReviewerReminded,
    ReviewRejected,
    ReviewStuck,
)
from core.lifecycle import after
from core.model import Outcome, Point, Position
from core.store import checkpoints, opening, timers
from core.store.deliveries import drop_words, raise_cards
from core.store.history import append
from core.store.reviews import NODE, SEQ, SNOOZES, VERSION, answers_since
from core.store.rows import micros
from core.store.statements import Statement, p
from core.store.tables import decision, task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.events import Event
    from core.model import Decision, Json, ReviewRequest, Status
    from core.store.transaction import Row, Transaction

TOLD = frozenset({Outcome.APPROVED, Outcome.REJECTED, Outcome.EXPIRED})
"""What a task's `outcome` may be."""
OFF_CARDS = (ReviewerReminded, ReminderSnoozed, ReviewStuck)
"""What is said in a card's thread, and is not on the card. Where it moves what the card says of the next
reminder, whoever tells it raises the card (`deliveries.raise_at_leisure`)."""

DELETE_DECISION = Statement(
    delete(decision).where(
        decision.c.review_id == p("review"),
        decision.c.reviewer == p("reviewer"),
    )
)
MOVED = Statement(
    update(task)
    .where(task.c.id == p("id"), task.c.seq == p("seq"))
    .values(
        status=p("status"),
        outcome=p("outcome"),
        review_id=p("review"),
        seq=p("new_seq"),
        version=task.c.version + literal_column("1"),
        updated_at=p("now"),
        holder=p("holder"),
    )
)


def settle(
    tx: Transaction,
    row: Row,
    request: ReviewRequest,
    events: Sequence[Event],
    decisions: tuple[Decision, ...],
    outcome: Outcome,
    *,
    at_once: Event | None = None,
) -> ReviewRequest:
    """Store what happened to an open review, `outcome` being what it adds up to; every card shows it, but
    for `OFF_CARDS`.

    `at_once` is the review event, where it is not the one that follows from the outcome.
    Raises `ReviewIsClosed` where the task or its review was changed meanwhile.
    """
    closing = at_once or _review_event(request, outcome)
    happened = list(events) if closing is None else [*events, closing]
    status = after(request.task.status, *happened)
    settled = _settled(tx, request, decisions, outcome, status)
    holder = None if settled.is_open else tx.holder()
    _compare_and_set(tx, row[SEQ], settled, len(happened), holder)
    append(tx, request.task.id, row[SEQ], happened, request.task.callback_url)
    if not all(isinstance(event, OFF_CARDS) for event in happened):
        raise_cards(tx, request.task.id, request.id, request.policy, gives_way=not settled.is_open)
    if not settled.is_open:
        timers.drop(tx, request)
        drop_words(tx, request, was_snoozed=row[SNOOZES] is not None)
        is_ours = tx.place(request.task.id, row[VERSION] + 1, holder)
        if is_ours and settled.point is not Point.INSIDE:
            tx.position = _parked(tx, row, settled, len(happened))
    return settled


def drop(
    tx: Transaction, request: ReviewRequest, standing: Sequence[Decision], counted: Sequence[Decision]
) -> list[Event]:
    """What stands on a review that closes is what counted; the history keeps the rest."""
    dropped = [made for made in standing if made not in counted]
    for made in dropped:
        tx.send(DELETE_DECISION, review=request.id, reviewer=made.reviewer)
    if not dropped:
        return []
    names: list[Json] = [made.person_name or made.reviewer_name for made in dropped]
    return [DecisionsDropped(review=request.id, people=names, ids=[made.seat for made in dropped])]


def _review_event(request: ReviewRequest, outcome: Outcome) -> Event | None:
    match outcome:
        case Outcome.APPROVED:
            return ReviewApproved(review=request.id, attempt=request.attempt)
        case Outcome.REJECTED:
            return ReviewRejected(review=request.id, attempt=request.attempt)
        case Outcome.EDITED:
            return ReviewEdited(review=request.id, attempt=request.attempt)
        case _:
            return None


def _settled(
    tx: Transaction,
    request: ReviewRequest,
    decisions: tuple[Decision, ...],
    outcome: Outcome,
    status: Status,
) -> ReviewRequest:
    """The review and its task as they are about to be stored."""
    closes = outcome is not Outcome.OPEN
    of = replace(
        request.task,
        status=status,
        outcome=outcome if outcome in TOLD else request.task.outcome,
        review=None if closes else request.id,
        updated_at=tx.now,
    )
    return replace(
        request,
        task=of,
        outcome=outcome,
        closed_at=tx.now if closes else None,
        decisions=decisions,
        claims=() if closes else request.claims,
        snoozes=() if closes else request.snoozes,
    )


def _compare_and_set(
    tx: Transaction, seq: int, settled: ReviewRequest, events: int, holder: str | None
) -> None:
    of = settled.task
    now = micros(tx.now)
    lost = ReviewIsClosed("Somebody else was first.")
    tx.must(
        MOVED,
        lost,
        id=of.id,
        seq=seq,
        status=of.status.value,
        outcome=None if of.outcome is None else of.outcome.value,
        review=of.review,
        new_seq=seq + events,
        now=now,
        holder=holder,
    )
    if not settled.is_open:
        tx.must(opening.CLOSE, lost, id=settled.id, outcome=settled.outcome.value, now=now)


def _parked(tx: Transaction, row: Row, settled: ReviewRequest, events: int) -> Position:
    """Where the flow goes on: at the node that asked for this review."""
    last = checkpoints.last(tx, settled.task.id)
    # What was closed at this checkpoint before is edits that others had to approve; whether that was read
    # before this one was closed or after it must not matter.
    is_only_one = settled.attempt == 1 or not (last.was_edited or settled.outcome is Outcome.EDITED)
    answers = (settled,) if is_only_one else answers_since(tx, settled.task, last.number)
    return Position(
        task=settled.task,
        version=row[VERSION] + 1,
        seq=row[SEQ] + events,
        node=row[NODE],
        point=settled.point,
        action=last.action,
        frames=last.frames,
        state=last.state,
        checkpoints=last.number,
        schema=last.schema,
        begun=False,
        starts=0,
        tries=0,
        due_at=None,
        review=settled,
        answers=answers,
    )
