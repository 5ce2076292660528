"""Replicas on one PostgreSQL database: which live, what they hold, and what nobody does.

One lives while the heartbeat of its Procrastinate worker is fresh by the database's clock. SQLite knows none.
After an outage all heartbeats are old: who may tell from them that another is dead has been answered itself
for so long, without a gap, that whoever lives has beaten again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    DateTime,
    String,
    and_,
    column,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    table,
    text,
    update,
)

from core.clock import seconds
from core.events import TaskFailed
from core.model import Replica, TaskId
from core.store import jobs, recovery, steps, tasks
from core.store.rows import micros, moment
from core.store.statements import Statement, p, since_1970
from core.store.tables import HAS_WORK, replica, task

if TYPE_CHECKING:
    from datetime import datetime

    from core.store.transaction import Transaction

STALLED = 15
"""Seconds after its last heartbeat when a replica's work may be taken from it. It beats every 5."""
GAP = 10
"""Seconds between two heartbeats of one's own after which there may have been an outage."""
NEVER = 2**61
"""Later than all that there will be."""
BURIED = 60
"""Seconds after which it is forgotten."""

worker = table("procrastinate_workers", column("id", BigInteger), column("last_heartbeat", DateTime))
job = table(
    "procrastinate_jobs",
    column("id", BigInteger),
    column("status", String),
    column("queueing_lock", String),
)
_runnable = text("task.status IN ('pending', 'running')")
_fresh = worker.c.last_heartbeat >= text(f"now() - interval '{STALLED} seconds'")
_living = select(replica.c.id).join(worker, worker.c.id == replica.c.worker).where(_fresh)
_holder_lives = exists(_living.where(replica.c.id == task.c.holder).correlate(task))
_now = since_1970(func.now())
_steady = and_(
    p("since") <= _now - literal_column(f"{STALLED}000000"),
    exists(
        select(worker.c.id)
        .join(replica, replica.c.worker == worker.c.id)
        .where(
            replica.c.id == p("me"),
            worker.c.last_heartbeat >= text(f"now() - interval '{GAP} seconds'"),
            # Else an outage may have ended with a heartbeat that was stored and has not been heard of.
            since_1970(worker.c.last_heartbeat) <= p("last") + literal_column(f"{GAP}000000"),
        )
        .correlate(None)
    ),
)
"""Whether `me`, answered without a gap `since` then, may take others for dead; in the statement that asks
for them, as the database may stand still between two."""
_its_job = exists(
    select(job.c.id)
    .where(
        job.c.queueing_lock
        == func.concat(
            literal_column(f"'{jobs.SEGMENT}/'"), task.c.id, literal_column("'/'"), task.c.version
        ),
        job.c.status.in_([literal_column("'todo'"), literal_column("'doing'")]),
    )
    .correlate(task)
)

ENLIST = Statement(insert(replica), ("id", "worker", "name", "release", "configuration", "started_at"))
AGAIN = Statement(update(replica).where(replica.c.id == p("id")).values(worker=p("worker")))
ENLISTED = Statement(
    select(since_1970(worker.c.last_heartbeat))
    .join(replica, replica.c.worker == worker.c.id)
    .where(worker.c.id == p("worker"), replica.c.id == p("id"))
)
OTHERS = Statement(
    select(replica.c.id, replica.c.name, replica.c.release, replica.c.configuration)
    .join(worker, worker.c.id == replica.c.worker)
    .where(_fresh, replica.c.id != p("me"))
    .order_by(replica.c.started_at, replica.c.name)
)
STEADY = Statement(select(_steady))
LIVING = Statement(_living.limit(literal_column("1")))
RECONFIGURE = Statement(
    update(replica).where(replica.c.id == p("id")).values(configuration=p("configuration"))
)
# A node that was begun by another holder, which is dead, or let go of it, may be what ended it. One that was
# put back in good order has had one taken off beforehand.
TAKE = Statement(
    update(task)
    .where(
        task.c.id == p("id"),
        HAS_WORK,
        or_(task.c.holder.is_(None), and_(task.c.holder != p("me"), _steady, ~_holder_lives)),
    )
    .values(
        holder=p("me"),
        version=task.c.version + literal_column("1"),
        starts=task.c.starts + task.c.begun,
    )
    .returning(task.c.starts)
)
MINE = Statement(select(task.c.id).where(task.c.id == p("id"), HAS_WORK, task.c.holder == p("me")))
HELD = Statement(
    select(task.c.id, task.c.due_at).where(_runnable, task.c.holder == p("me")).order_by(task.c.created_at)
)
UNCOVERED = Statement(
    select(task.c.id, task.c.version)
    .where(
        _runnable,
        or_(task.c.holder.is_(None), and_(_steady, ~_holder_lives)),
        ~_its_job,
    )
    .order_by(task.c.created_at)
    .limit(p("limit"))
)
LET_GO = Statement(
    update(task)
    .where(_runnable, task.c.holder == p("me"))
    .values(
        holder=null(),
        version=task.c.version + literal_column("1"),
        starts=task.c.starts - task.c.begun,
    )
    .returning(task.c.id, task.c.version)
)
LEAVE = Statement(
    update(task)
    .where(task.c.id == p("id"), HAS_WORK, task.c.holder == p("me"))
    .values(
        holder=null(),
        version=task.c.version + literal_column("1"),
        # it ran nothing, so that its taking over is not one more end of a server
        starts=task.c.starts - task.c.begun,
    )
)
TIME = Statement(select(since_1970(func.clock_timestamp())))
RETIRE = Statement(delete(replica).where(replica.c.id == p("id")))
BURY = Statement(
    delete(replica).where(
        ~exists(
            select(worker.c.id).where(
                worker.c.id == replica.c.worker,
                worker.c.last_heartbeat >= text(f"now() - interval '{BURIED} seconds'"),
            )
        )
    )
)


class Watch:
    """Since when this replica has been answered without a gap.

    By the database's clock alone: that of a machine may be set, and stands still where the machine does.
    """

    def __init__(self) -> None:
        self.since = NEVER
        self.last = NEVER

    def begin(self, at: int) -> None:
        """A worker's first heartbeat, in microseconds: the one before it may have ended in an outage."""
        self.since = self.last = at

    def go_on(self, at: int) -> None:
        """A further one."""
        if at - self.last > GAP * 1_000_000:
            self.since = at
        self.last = at


def enlist(tx: Transaction, me: Replica, worker: int) -> int:
    """Say whose heartbeat is this replica's; again whenever it has a new one.

    When the last was, in microseconds.
    """
    if not tx.run(AGAIN, id=me.id, worker=worker):
        tx.insert(
            ENLIST,
            id=me.id,
            worker=worker,
            name=me.name,
            release=me.release,
            configuration=me.configuration,
            started_at=micros(tx.now),
        )
    found = last_beat(tx, me.id, worker)
    return NEVER if found is None else found


def reconfigure(tx: Transaction, me: str, configuration: str) -> None:
    tx.run(RECONFIGURE, id=me, configuration=configuration)


def others(tx: Transaction, me: str) -> list[Replica]:
    """All that live but this one, the eldest first."""
    return [
        Replica(id=row[0], name=row[1], release=row[2], configuration=row[3]) for row in tx.all(OTHERS, me=me)
    ]


def are_there(tx: Transaction) -> bool:
    """Whether any lives at all."""
    return tx.one(LIVING) is not None


def last_beat(tx: Transaction, me: str, worker: int) -> int | None:
    """When, in microseconds; None where others do not know it as ours: forgotten after long."""
    row = tx.one(ENLISTED, id=me, worker=worker)
    return None if row is None else int(row[0])


def time(tx: Transaction) -> tuple[datetime, float, float]:
    """By the database's clock, and between which two moments of a counter it was read."""
    asked = seconds()
    row = tx.one(TIME)
    answered = seconds()
    if row is None:
        raise RuntimeError("The database has no time.")
    return moment(row[0]), asked, answered


def may_judge(tx: Transaction, me: str, since: int, last: int) -> bool:
    """Whether this replica may take others for dead that seem so, at this moment."""
    row = tx.one(STEADY, me=me, since=since, last=last)
    return row is not None and bool(row[0])


def take(tx: Transaction, me: str, task_id: str, since: int, last: int) -> bool:
    """Become the holder of a task with stored work, unless another that lives is; whether this one is.

    A node that is found begun for the third time fails its task: it may be what ends replicas.
    """
    taken = tx.changed(TAKE, me=me, id=task_id, since=since, last=last)
    if not taken:
        return tx.one(MINE, me=me, id=task_id) is not None
    if taken[0][0] < recovery.POISON:
        return True
    row, _ = tasks.row_and_task(tx, task_id)
    sentence = f"Node {row[tasks.NODE]!r} was running at {recovery.POISON} ends of a server in a row."
    steps.end(tx, row, TaskFailed(error=sentence))
    return False


def held(tx: Transaction, me: str) -> list[tuple[TaskId, datetime | None]]:
    """What this replica is to run, oldest first, and when (None: now)."""
    return [(TaskId(row[0]), None if row[1] is None else moment(row[1])) for row in tx.all(HELD, me=me)]


def uncovered(tx: Transaction, me: str, since: int, last: int, *, limit: int) -> list[tuple[TaskId, int]]:
    """Tasks with stored work, and their versions, that neither a job nor a holder that lives covers."""
    rows = tx.all(UNCOVERED, me=me, since=since, last=last, limit=limit)
    return [(TaskId(row[0]), row[1]) for row in rows]


def retire(tx: Transaction, me: str) -> None:
    """Leave what this replica holds to jobs, so that it does not count as found begun. Idempotent."""
    for task_id, version in tx.changed(LET_GO, me=me):
        tx.defer(task_id, version)
    tx.run(RETIRE, id=me)


def leave(tx: Transaction, me: str, task_id: str) -> None:
    """Hold the task no more: a sweep, seconds later, leaves it to a job, which may come to another."""
    tx.run(LEAVE, me=me, id=task_id)


def bury(tx: Transaction) -> None:
    tx.run(BURY)
