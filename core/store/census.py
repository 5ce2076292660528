"""What is stored and unfinished, counted without reading what has ended.

Finished tasks are most of a table that lasts for years, and no index holds a status: one that did would be
written four times for each task. So what waits is counted by its open reviews, in their own index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, case, func, literal_column, or_, select, text

from core.measures import Backlog, Census
from core.model import Status
from core.store.rows import micros, moment
from core.store.statements import Statement, p
from core.store.tables import delivery, review, task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.model import ChannelName
    from core.store.transaction import Transaction

COUNTED = 10_000
"""Deliveries of a channel that are counted: of more, it is enough to know that they are more."""

OPEN = Statement(select(func.count()).select_from(review).where(review.c.closed_at.is_(None)))
# Before somebody else's code is run it is noted as begun. What is to be tried again waits since its time.
_untouched = and_(
    task.c.begun == literal_column("0"), or_(task.c.due_at.is_(None), task.c.due_at <= p("now"))
)
# Word for word the condition of the partial index, or SQLite would not use it.
AT_WORK = Statement(
    select(
        task.c.status,
        func.count(),
        func.min(case((_untouched, func.coalesce(task.c.due_at, task.c.updated_at)))),
    )
    .where(text("status IN ('pending', 'running')"))
    .group_by(task.c.status)
)
_unshown = (
    select(func.coalesce(delivery.c.failing_since, delivery.c.due_at).label("since"))
    .where(delivery.c.channel == p("channel"), delivery.c.due_at.is_not(None))
    .order_by(delivery.c.due_at)
    .limit(literal_column(str(COUNTED)))
    .subquery()
)
UNSHOWN = Statement(select(func.count(), func.min(_unshown.c.since)))


def census(tx: Transaction, channels: Iterable[ChannelName]) -> Census:
    waiting = tx.one(OPEN)
    rows = tx.all(AT_WORK, now=micros(tx.now))
    at_work = {Status(status): count for status, count, _ in rows}
    since = min((row[2] for row in rows if row[2] is not None), default=None)
    return Census(
        tasks={
            Status.PENDING: at_work.get(Status.PENDING, 0),
            Status.RUNNING: at_work.get(Status.RUNNING, 0),
            Status.WAITING_FOR_REVIEW: 0 if waiting is None else waiting[0],
        },
        oldest=None if since is None else moment(since),
        backlogs={channel: _backlog(tx, channel) for channel in channels},
    )


def _backlog(tx: Transaction, channel: ChannelName) -> Backlog:
    waiting, since = tx.one(UNSHOWN, channel=channel) or (0, None)
    return Backlog(waiting=waiting, since=None if since is None else moment(since))
