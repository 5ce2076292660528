"""Events: appended by every unit that changes a task, read again by every follower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, literal_column, not_, select

from core.codec import encode
from core.events import (
    ClaimEnded,
    DecisionRecorded,
    DecisionsCarried,
    DecisionsDropped,
    DecisionWithdrawn,
    ProgressReported,
    QuestionAnswered,
    QuestionAsked,
    ReminderSnoozed,
    ReviewClaimed,
    ReviewerReminded,
    ReviewEscalated,
    ReviewExpired,
    ReviewRequested,
    ReviewStuck,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskForked,
    TaskRewound,
    TextStreamed,
    kind,
)
from core.jsontext import to_json
from core.model import ChannelName, StoredEvent, Story, TaskId
from core.store.deliveries import end_unwanted, insert_deliveries, new_delivery
from core.store.rows import EVENT_COLUMNS, event_of, micros
from core.store.statements import Statement, p
from core.store.tables import event
from core.store.tables import task as task_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.events import Event
    from core.model import Recipient
    from core.store.transaction import Transaction

AT_ONCE = 100
"""Tasks that `LAST_NUMBERS` asks for: lists of any length would be a statement of their own each."""
LAST_NUMBERS = Statement(
    select(task_row.c.id, task_row.c.seq).where(
        task_row.c.id.in_([p(f"task{number}") for number in range(AT_ONCE)])
    )
)

WEBHOOK = ChannelName("webhook")
ENDS: tuple[type[Event], ...] = (TaskCompleted, TaskFailed, TaskCancelled)
NOTICED: frozenset[type[Event]] = frozenset({ReviewRequested, TaskCompleted, TaskFailed, TaskCancelled})
"""Events told to a task's `callback_url`: it waits, or it ended."""
TOLD: tuple[type[Event], ...] = (
    ReviewRequested,
    DecisionRecorded,
    DecisionWithdrawn,
    DecisionsCarried,
    DecisionsDropped,
    ReviewerReminded,
    ReviewClaimed,
    ClaimEnded,
    ReminderSnoozed,
    QuestionAsked,
    QuestionAnswered,
    ReviewEscalated,
    ReviewStuck,
    ReviewExpired,
    TaskRewound,
    TaskForked,
    TaskCancelled,
)
"""What people asked, and what they did, or failed to do in time."""
SAID: tuple[type[Event], ...] = (ProgressReported, TextStreamed)
"""What nodes say while they work: far more than all else."""
LATELY = 2_000
"""Of what the node at work has said, so many pieces are read: the newest."""

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
_seen = event.c.kind.in_([literal_column(f"'{kind(one)}'") for one in TOLD])
_said = event.c.kind.in_([literal_column(f"'{kind(one)}'") for one in SAID])
NEWEST = Statement(select(func.max(event.c.seq)).where(event.c.task_id == p("task")))
TURNS = Statement(
    select(*(event.c[name] for name in EVENT_COLUMNS))
    .where(event.c.task_id == p("task"), _seen)
    .order_by(event.c.seq)
)
LAST_OF_ANOTHER_KIND = Statement(
    select(event.c.seq)
    .where(event.c.task_id == p("task"), not_(_said))
    .order_by(event.c.seq.desc())
    .limit(literal_column("1"))
)
SAID_SINCE = Statement(
    select(*(event.c[name] for name in EVENT_COLUMNS))
    .where(event.c.task_id == p("task"), event.c.seq > p("after"))
    .order_by(event.c.seq.desc())
    .limit(literal_column(str(LATELY)))
)


def append(
    tx: Transaction,
    task: str,
    seq: int,
    events: Sequence[Event],
    callback_url: str | None,
    tell: Recipient | None = None,
) -> int:
    """Store `events` after number `seq`, and a delivery for each that the callback is to hear of.

    `tell` hears in a chat how the task ended. Returns the new highest number.
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
        if notices:
            end_unwanted(tx, task, WEBHOOK)
    if tell is not None:
        ends = [s for s in stored if isinstance(s.event, ENDS)]
        insert_deliveries(tx, [new_delivery(tx, task, s.seq, tell.channel, tell.address) for s in ends])
    return seq + len(events)


def events_after(tx: Transaction, task: str, after: int) -> list[StoredEvent]:
    return [event_of(row) for row in tx.all(AFTER, task=task, after=after)]


def last_numbers(tx: Transaction, tasks: Sequence[TaskId]) -> dict[TaskId, int]:
    """Of at most `AT_ONCE` tasks; of those that are not there nothing."""
    names = {f"task{number}": "" for number in range(AT_ONCE)}
    names |= {f"task{number}": name for number, name in enumerate(tasks)}
    return {TaskId(row[0]): row[1] for row in tx.all(LAST_NUMBERS, **names)}


def story(tx: Transaction, task: str) -> Story:
    """What a page tells of a task, without the thousands of events that say how its nodes got on."""
    newest = tx.one(NEWEST, task=task)
    last = tx.one(LAST_OF_ANOTHER_KIND, task=task)
    said = tx.all(SAID_SINCE, task=task, after=last[0]) if last else []
    return Story(
        seq=(newest and newest[0]) or 0,
        turns=tuple(event_of(row) for row in tx.all(TURNS, task=task)),
        said=tuple(event_of(row) for row in reversed(said)),
    )


def event_numbered(tx: Transaction, task: str, seq: int) -> StoredEvent | None:
    row = tx.one(ONE, task=task, seq=seq)
    return None if row is None else event_of(row)
