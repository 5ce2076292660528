"""Replicas on one PostgreSQL database: which live, what they hold, and what nobody does.

One lives while the heartbeat of its Procrastinate worker is fresh by the database's clock. SQLite knows none.
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

from core.events import TaskFailed
from core.model import Replica, TaskId
from core.store import jobs, tasks
from core.store.rows import micros, moment
from core.store.statements import Statement, p
from core.store.tables import replica, task

if TYPE_CHECKING:
    from datetime import datetime

    from core.store.transaction import Transaction

STALLED = 15
"""Seconds after its last heartbeat when a replica's work may be taken from it. It beats every 5."""
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
    select(worker.c.id)
    .join(replica, replica.c.worker == worker.c.id)
    .where(worker.c.id == p("worker"), replica.c.id == p("id"))
)
OTHERS = Statement(
    select(replica.c.id, replica.c.name, replica.c.release, replica.c.configuration)
    .join(worker, worker.c.id == replica.c.worker)
    .where(_fresh, replica.c.id != p("me"))
    .order_by(replica.c.started_at)
)
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
        _runnable,
        or_(task.c.holder.is_(None), and_(task.c.holder != p("me"), ~_holder_lives)),
    )
    .values(
        holder=p("me"),
        version=task.c.version + literal_column("1"),
        starts=task.c.starts + task.c.begun,
    )
    .returning(task.c.starts)
)
MINE = Statement(select(task.c.id).where(task.c.id == p("id"), _runnable, task.c.holder == p("me")))
HELD = Statement(
    select(task.c.id, task.c.due_at).where(_runnable, task.c.holder == p("me")).order_by(task.c.created_at)
)
UNCOVERED = Statement(
    select(task.c.id, task.c.version)
    .where(
        _runnable,
        or_(
            task.c.holder.is_(None),
            and_(p("dead_too") == literal_column("1"), ~_holder_lives),
        ),
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
    .where(task.c.id == p("id"), _runnable, task.c.holder == p("me"))
    .values(
        holder=null(),
        version=task.c.version + literal_column("1"),
        # it ran nothing, so that its taking over is not one more end of a server
        starts=task.c.starts - task.c.begun,
    )
)
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


def enlist(tx: Transaction, me: Replica, worker: int) -> None:
    """Say whose heartbeat is this replica's; again whenever it has a new one."""
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


def is_enlisted(tx: Transaction, me: str, worker: int) -> bool:
    """Whether others see it so: what seemed dead for long was forgotten."""
    return tx.one(ENLISTED, id=me, worker=worker) is not None


def take(tx: Transaction, me: str, task_id: str) -> bool:
    """Become the holder of a task with stored work, unless another that lives is; whether this one is.

    A node that is found begun for the third time fails its task: it may be what ends replicas.
    """
    taken = tx.changed(TAKE, me=me, id=task_id)
    if not taken:
        return tx.one(MINE, me=me, id=task_id) is not None
    if taken[0][0] < tasks.POISON:
        return True
    row, _ = tasks.row_and_task(tx, task_id)
    sentence = f"Node {row[tasks.NODE]!r} was running at {tasks.POISON} ends of a server in a row."
    tasks.end(tx, row, TaskFailed(error=sentence))
    return False


def held(tx: Transaction, me: str) -> list[tuple[TaskId, datetime | None]]:
    """What this replica is to run, oldest first, and when (None: now)."""
    return [(TaskId(row[0]), None if row[1] is None else moment(row[1])) for row in tx.all(HELD, me=me)]


def uncovered(tx: Transaction, *, dead_too: bool, limit: int) -> list[tuple[TaskId, int]]:
    """Tasks with stored work, and their versions, that neither a job nor a holder that lives covers."""
    rows = tx.all(UNCOVERED, dead_too=int(dead_too), limit=limit)
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
