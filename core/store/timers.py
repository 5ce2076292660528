"""Timers of open reviews: rows until they have fired, or their review is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, literal_column, select

from core.model import TIMERS, ReviewId, Timer, TimerKind
from core.store.rows import micros, moment
from core.store.statements import Statement, p
from core.store.tables import timer
from core.timetable import has_timers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from core.model import ReviewRequest
    from core.store.transaction import Transaction

COLUMNS = ("review_id", "kind", "number", "due_at")
INSERT = Statement(insert(timer), COLUMNS)
DROP = Statement(delete(timer).where(timer.c.review_id == p("review")))
TAKE = Statement(
    delete(timer).where(
        timer.c.review_id == p("review"),
        timer.c.kind == p("kind"),
        timer.c.number == p("number"),
        timer.c.due_at <= p("now"),
    )
)
DROP_REMINDERS = Statement(
    delete(timer).where(
        timer.c.review_id == p("review"),
        timer.c.kind == literal_column("'reminder'"),
        timer.c.due_at <= p("now"),
    )
)
DROP_KIND = Statement(delete(timer).where(timer.c.review_id == p("review"), timer.c.kind == p("kind")))
DUE = Statement(
    select(*(timer.c[name] for name in COLUMNS))
    .where(timer.c.due_at <= p("now"))
    .order_by(timer.c.due_at, timer.c.review_id, timer.c.kind, timer.c.number)
    .limit(p("limit"))
)
NEXT = Statement(select(func.min(timer.c.due_at)))
OF_REVIEW = Statement(
    select(*(timer.c[name] for name in COLUMNS))
    .where(timer.c.review_id == p("review"))
    .order_by(timer.c.due_at)
)
# Whose reminders somebody may be spared, or get: what was put off has a timer of its own.
REMINDED = Statement(
    select(timer.c.review_id)
    .where(
        timer.c.kind.in_((literal_column("'reminder'"), literal_column("'snooze'"))),
        timer.c.review_id > p("after"),
    )
    .distinct()
    .order_by(timer.c.review_id)
    .limit(p("limit"))
)


def schedule(tx: Transaction, timers: Iterable[Timer]) -> None:
    rows = [
        {
            "review_id": new.review,
            "kind": new.kind.value,
            "number": new.number,
            "due_at": micros(new.due_at),
        }
        for new in timers
    ]
    if rows:
        tx.insert_many(INSERT, rows)
        tx.due.add(TIMERS)


def mark_stuck(tx: Transaction, reviews: Iterable[str]) -> None:
    """Have it said of these open reviews that nobody is left to decide them. Idempotent until it is."""
    for review in reviews:
        if all(known.kind is not TimerKind.STUCK for known in of_review(tx, review)):
            stuck = Timer(review=ReviewId(review), kind=TimerKind.STUCK, number=1, due_at=tx.now)
            schedule(tx, [stuck])


def rearm(tx: Transaction, review: ReviewId, kind: TimerKind, due_at: datetime | None) -> None:
    """The one timer of this kind is due then; None is never."""
    tx.send(DROP_KIND, review=review, kind=kind.value)
    if due_at is not None:
        schedule(tx, [Timer(review=review, kind=kind, number=1, due_at=due_at)])


def drop(tx: Transaction, review: ReviewRequest) -> None:
    """Nothing more is to happen to it: it is closed."""
    if (
        has_timers(review.policy)
        or review.policy.outside
        or review.expires_at is not None
        or review.claims
        or review.snoozes
    ):
        tx.send(DROP, review=review.id)


def take(tx: Transaction, wanted: Timer) -> bool:
    """Remove a timer that is due; False where it has fired, or its review was closed, or it was put off."""
    return bool(
        tx.run(TAKE, review=wanted.review, kind=wanted.kind.value, number=wanted.number, now=micros(tx.now))
    )


def due(tx: Transaction, limit: int) -> list[Timer]:
    """What has fallen due, longest ago first."""
    return [
        Timer(review=ReviewId(row[0]), kind=TimerKind(row[1]), number=row[2], due_at=moment(row[3]))
        for row in tx.all(DUE, now=micros(tx.now), limit=limit)
    ]


def of_review(tx: Transaction, review: str) -> list[Timer]:
    """What is still to happen to a review, next first."""
    return [
        Timer(review=ReviewId(row[0]), kind=TimerKind(row[1]), number=row[2], due_at=moment(row[3]))
        for row in tx.all(OF_REVIEW, review=review)
    ]


def next_due(tx: Transaction) -> datetime | None:
    """When the next timer of all falls due."""
    row = tx.one(NEXT)
    return None if row is None or row[0] is None else moment(row[0])
