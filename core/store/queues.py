"""What is due in a channel: place by place, changes before new cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, literal_column, or_, select, union_all, update

from core.store.rows import DELIVERY_COLUMNS, delivery_of, micros, moment
from core.store.statements import Statement, p, unindexed
from core.store.tables import delivery

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, FromClause, Select

    from core.model import Delivery
    from core.store.transaction import Transaction

HEADS = 200
"""Heads of queues looked at in one go; the rest follow as these are served."""

_older = delivery.alias("older")
_waits_for_older = exists().where(
    _older.c.task_id == delivery.c.task_id,
    _older.c.channel == delivery.c.channel,
    _older.c.address == delivery.c.address,
    or_(
        _older.c.event_seq < delivery.c.event_seq,
        # A draft's file follows its card.
        and_(_older.c.event_seq == delivery.c.event_seq, delivery.c.review_id.is_(None)),
    ),
    _older.c.review_id.is_not(None),
    _older.c.message.is_(None),
    _older.c.state == literal_column("'due'"),
)


def _heads(of: ColumnElement[bool], *, is_post: int) -> Select[Any]:
    """For each place the one of this kind whose turn it is: of posts, first those that still ask somebody.

    Place by place, each by a step in an index: to rank all that is due takes as long as the queues are.
    """
    place = (
        select(func.min(delivery.c.address).label("address"))
        .where(delivery.c.channel == p("channel"), delivery.c.due_at.is_not(None), of)
        .cte(f"place_{is_post}", recursive=True)
    )
    following = (
        select(func.min(delivery.c.address))
        .where(
            delivery.c.channel == p("channel"),
            delivery.c.due_at.is_not(None),
            of,
            delivery.c.address > place.c.address,
        )
        .correlate(place)
        .scalar_subquery()
    )
    place = place.union_all(select(following).where(place.c.address.is_not(None)))
    head = delivery.alias(f"head_{is_post}")
    # SQLite 3.46 takes a time for what narrows most, and would read and sort all that is due anywhere.
    due_at = unindexed(delivery.c.due_at) if is_post else delivery.c.due_at
    oldest = (
        select(delivery.c.id)
        .where(
            delivery.c.channel == p("channel"),
            delivery.c.address == place.c.address,
            delivery.c.due_at.is_not(None),
            due_at <= p("now"),
            of,
            # A reply needs its thread: what is new waits until the task's older cards there are posted.
            *([~_waits_for_older] if is_post else []),
        )
        .order_by(_turn(delivery, is_post), delivery.c.event_seq)
        .limit(literal_column("1"))
        .correlate(place)
        .scalar_subquery()
    )
    columns = [head.c[name] for name in DELIVERY_COLUMNS]
    turn = _turn(head, is_post).label("turn")
    return select(*columns, literal_column(str(is_post)).label("is_post"), turn).join_from(
        place, head, head.c.id == oldest
    )


def _turn(of: FromClause, is_post: int) -> ColumnElement[int]:
    """The least is the next."""
    return of.c.due_at + of.c.gives_way if is_post else of.c.due_at


# Changes of cards that people can see go before new cards, and never stand behind them.
_first = union_all(
    _heads(delivery.c.message.is_not(None), is_post=0), _heads(delivery.c.message.is_(None), is_post=1)
).subquery("first")

DUE = Statement(
    select(*(_first.c[name] for name in DELIVERY_COLUMNS))
    .order_by(_first.c.is_post, _first.c.turn)
    .limit(literal_column(str(HEADS)))
)
NEXT_DUE = Statement(
    select(func.min(delivery.c.due_at)).where(
        delivery.c.channel == p("channel"), delivery.c.due_at.is_not(None), delivery.c.due_at > p("after")
    )
)
# Only what failed: what was merely postponed keeps the time that the platform asked for.
RETRY_FAILED = Statement(
    update(delivery)
    .where(
        delivery.c.channel == p("channel"),
        delivery.c.due_at.is_not(None),
        delivery.c.due_at > p("now"),
        delivery.c.tries > literal_column("0"),
    )
    .values(due_at=p("now"))
)


def due(tx: Transaction, channel: str) -> list[Delivery]:
    """What may be shown now: for each recipient at most one change and one new card; all changes first."""
    return [delivery_of(row) for row in tx.all(DUE, channel=channel, now=micros(tx.now))]


def next_due(tx: Transaction, channel: str, after: datetime) -> datetime | None:
    row = tx.one(NEXT_DUE, channel=channel, after=micros(after))
    return None if row is None or row[0] is None else moment(row[0])


def retry_failed(tx: Transaction, channel: str) -> None:
    """What failed and waits for its next try is due now."""
    tx.run(RETRY_FAILED, channel=channel, now=micros(tx.now))
