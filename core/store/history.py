"""Events: appended by every unit that changes a task, read again by every follower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from core.events import ReviewRequested, TaskCancelled, TaskCompleted, TaskFailed, encode, kind
from core.jsontext import to_json
from core.model import ChannelName, StoredEvent, TaskId
from core.store.deliveries import insert_deliveries, new_delivery
from core.store.rows import EVENT_COLUMNS, event_of, micros
from core.store.statements import Statement, p
from core.store.tables import event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.events import Event
    from core.store.transaction import Transaction

WEBHOOK = ChannelName("webhook")
NOTICED: frozenset[type[Event]] = frozenset({ReviewRequested, TaskCompleted, TaskFailed, TaskCancelled})
"""Events told to a task's `callback_url`: it waits, or it ended."""

INSERT = Statement(insert(event), EVENT_COLUMNS)
AFTER = Statement(
    select(*(event.c[name] for name in EVENT_COLUMNS))
    .where(event.c.task_id == p("task"), event.c.seq > p("after"))
    .order_by(event.c.seq)
)
ONE = Statement(
    select(*(event.c[name] for name in EVENT_COLUMNS)).where(
        event.c.task_id == p("task"), event.c.seq == p("seq")
    )
)


def append(tx: Transaction, task: str, seq: int, events: Sequence[Event], callback_url: str | None) -> int:
    """Store `events` after number `seq`, and a delivery for each that the callback is to hear of.

    Returns the new highest number.
    """
    if not events:
        return seq
    at = micros(tx.now)
    stored = [
        StoredEvent(task=TaskId(task), seq=n, at=tx.now, event=e) for n, e in enumerate(events, seq + 1)
    ]
    tx.insert_many(
        INSERT,
        [
            {
                "task_id": task,
                "seq": s.seq,
                "kind": kind(s.event),
                "at": at,
                "data": to_json(encode(s.event)),
            }
            for s in stored
        ],
    )
    tx.events += stored
    if callback_url is not None:
        notices = [s for s in stored if type(s.event) in NOTICED]
        insert_deliveries(tx, [new_delivery(tx, task, s.seq, WEBHOOK, callback_url) for s in notices])
    return seq + len(events)


def events_after(tx: Transaction, task: str, after: int) -> list[StoredEvent]:
    return [event_of(row) for row in tx.all(AFTER, task=task, after=after)]


def event_numbered(tx: Transaction, task: str, seq: int) -> StoredEvent | None:
    row = tx.one(ONE, task=task, seq=seq)
    return None if row is None else event_of(row)
