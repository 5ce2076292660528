"""Tasks: stored at submission, moved on by the runner, found again after a restart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, insert, literal_column, null, or_, select, text, update

from core.errors import Forbidden, KeyReused, NotFound, StaleRun
from core.events import (
    DecisionsCarried,
    ReviewRequested,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskSubmitted,
)
from core.jsontext import to_json, to_sorted_json
from core.lifecycle import after
from core.model import LOCAL, TRACEPARENT, Party, Point, Position, Status, Task, TaskId, TaskPage
from core.store import carrying, checkpoints, reviews
from core.store.deliveries import say, shown_in
from core.store.history import append
from core.store.rows import (
    TASK_COLUMNS,
    micros,
    moment,
    place_text,
    task_of,
)
from core.store.statements import Statement, p
from core.store.tables import idempotency, task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from core.events import Event
    from core.model import Checkpoint, Json, Person, PersonId, Step, Submission, TaskFilter
    from core.ports import Sequel
    from core.store.transaction import Row, Transaction

RUNNABLE_STATUSES = frozenset({Status.PENDING, Status.RUNNING})
POISON = 3
"""A node found running at so many starts in a row fails its task: it may be what stops the service."""

PARKED = frozenset({Point.REVIEW, Point.BEFORE, Point.AFTER})
"""Where one closed review is to be applied; at INSIDE there may be several."""

RUN_COLUMNS = ("seq", "version", "begun", "starts", "tries", "due_at", "holder")
RUN = len(TASK_COLUMNS)
NODE, POINT = TASK_COLUMNS.index("node"), TASK_COLUMNS.index("point")
SEQ, VERSION, BEGUN, STARTS, TRIES, DUE, HOLDER = range(RUN, RUN + len(RUN_COLUMNS))

_all = select(*(task.c[name] for name in (*TASK_COLUMNS, *RUN_COLUMNS)))
# Word for word the condition of the partial index, or SQLite would not use it.
_runnable = text("status IN ('pending', 'running')")

INSERT = Statement(insert(task), (*TASK_COLUMNS, *RUN_COLUMNS))
BY_ID = Statement(_all.where(task.c.id == p("id")))
LOCK = Statement(select(task.c.id).where(task.c.id == p("id")).with_for_update())
_page = (
    _all.where(
        or_(
            task.c.created_at < p("created_at"),
            and_(task.c.created_at == p("created_at"), task.c.id < p("id")),
        ),
        or_(p("status") == literal_column("''"), task.c.status == p("status")),
        or_(p("flow") == literal_column("''"), task.c.flow == p("flow")),
    )
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(p("limit"))
)
_by_anybody = or_(p("submitter") == literal_column("''"), task.c.submitter == p("submitter"))
PAGE = Statement(_page.where(_by_anybody))
# Two that an index answers, for who has few tasks among many and for what is seldom.
PAGE_OF_SUBMITTER = Statement(_page.where(task.c.submitter == p("submitter")))
PAGE_OF_RUNNABLE = Statement(_page.where(_runnable, _by_anybody))
COUNTS = Statement(select(task.c.status, func.count()).group_by(task.c.status))
RUNNABLE = Statement(select(task.c.id, task.c.due_at).where(_runnable).order_by(task.c.created_at))
FOUND_BEGUN = Statement(
    update(task)
    .where(_runnable, task.c.begun == literal_column("1"))
    .values(starts=task.c.starts + literal_column("1"))
)
# Taken off beforehand, since the next start adds one. `begun` itself stays: without it the task would look
# parked, and its last review would be applied once more.
PUT_BACK = Statement(
    update(task)
    .where(_runnable, task.c.begun == literal_column("1"), task.c.id == p("id"))
    .values(starts=task.c.starts - literal_column("1"))
)
POISONED = Statement(
    _all.where(_runnable, task.c.begun == literal_column("1"), task.c.starts >= literal_column(str(POISON)))
)
_moved: dict[str, Any] = {
    "status": p("status"),
    "attempt": p("attempt"),
    "updated_at": p("now"),
    "seq": p("new_seq"),
    "version": task.c.version + literal_column("1"),
    "node": p("node"),
    "begun": p("begun"),
    "starts": p("starts"),
    "tries": p("tries"),
    "due_at": p("due_at"),
    "point": p("point"),
}
_this = and_(task.c.id == p("id"), task.c.version == p("version"))
MOVE = Statement(update(task).where(_this).values(_moved))
PARK = Statement(update(task).where(_this).values({**_moved, "draft": p("draft"), "review_id": p("review")}))
END = Statement(
    update(task)
    .where(_this)
    .values(
        {
            **_moved,
            "final_result": p("final_result"),
            "error": p("error"),
            "review_id": null(),
            "ended_at": p("now"),
        }
    )
)
INSERT_KEY = Statement(insert(idempotency), ("submitter", "key", "task_id", "fingerprint", "created_at"))
BY_KEY = Statement(
    select(idempotency.c.task_id, idempotency.c.fingerprint).where(
        idempotency.c.submitter == p("submitter"), idempotency.c.key == p("key")
    )
)
FIRST_CURSOR = (2**62, "~")


def create(
    tx: Transaction,
    task_id: TaskId,
    new: Submission,
    *,
    title: str,
    name: str,
    sequel: Sequel | None = None,
) -> tuple[Task, bool]:
    """Store the task as pending, or find the one that the same idempotency key made before."""
    mark = "" if new.idempotency_key is None else fingerprint(new)
    if (made_before := by_key(tx, new.submitter, new.idempotency_key, mark)) is not None:
        return made_before, False
    holder = tx.holder()
    task = _insert(tx, task_id, new, title, name, holder)
    append(tx, task_id, 0, [TaskSubmitted(submitter=new.submitter)], None)
    keep_key(tx, new.submitter, new.idempotency_key, mark, task_id)
    if tx.place(task_id, 1, holder):
        tx.position = _beginning(task)
    follow(tx, sequel)
    return task, True


def follow(tx: Transaction, sequel: Sequel | None) -> TaskCompleted | None:
    """Store what follows from the unit at once, in place of leaving its task to a runner; the task's end,
    where it is that."""
    step = None if sequel is None or tx.position is None else sequel(tx.position)
    if step is None:
        return None
    store_step(tx, step)
    tx.position = None
    last = step.events[-1]
    return last if isinstance(last, TaskCompleted) else None


def by_key(tx: Transaction, person: PersonId, key: str | None, mark: str) -> Task | None:
    """The task of an earlier request with this idempotency key; raises `KeyReused` where it was another."""
    row = None if key is None else tx.one(BY_KEY, submitter=person, key=key)
    if row is None:
        return None
    if row[1] != mark:
        raise KeyReused("This Idempotency-Key came with another request before.")
    return one(tx, row[0])


def keep_key(tx: Transaction, person: PersonId, key: str | None, mark: str, task_id: str) -> None:
    if key is not None:
        tx.insert(
            INSERT_KEY,
            submitter=person,
            key=key,
            task_id=task_id,
            fingerprint=mark,
            created_at=micros(tx.now),
        )


def _beginning(task: Task) -> Position:
    """Where a new task stands."""
    return Position(
        task=task,
        version=1,
        seq=1,
        node=None,
        state=None,
        checkpoints=0,
        cause=f"Submitted by {task.submitter_name}.",
        begun=False,
        starts=0,
        tries=0,
        due_at=None,
        review=None,
    )


def fingerprint(new: Submission) -> str:
    """SHA-256 over what the submitter asked for."""
    # The same request, sent again, is part of another trace.
    metadata = {name: value for name, value in new.metadata.items() if name != TRACEPARENT}
    asked = [new.input, new.flow, new.title, new.on_behalf_of, new.callback_url, metadata]
    if new.policy is not None:  # keys of the release before, which knew none, stay what they were
        asked.append(new.policy)
    return hashlib.sha256(to_sorted_json(asked).encode()).hexdigest()


def _insert(
    tx: Transaction, task_id: TaskId, new: Submission, title: str, name: str, holder: str | None
) -> Task:
    now = micros(tx.now)
    tx.insert(
        INSERT,
        id=task_id,
        flow=new.flow,
        title=title,
        status=Status.PENDING.value,
        outcome=None,
        attempt=0,
        review_id=None,
        input=to_json(new.input),
        draft=None,
        final_result=None,
        error=None,
        submitter=new.submitter,
        submitter_name=name,
        on_behalf_of=new.on_behalf_of,
        callback_url=new.callback_url,
        metadata=to_json(dict(new.metadata)),
        created_at=now,
        updated_at=now,
        seq=1,
        version=1,
        node=None,
        begun=0,
        starts=0,
        tries=0,
        due_at=None,
        point=Point.RUN.value,
        ended_at=None,
        parent_id=None,
        parent_checkpoint=None,
        policy=new.policy,
        tell=place_text(new.tell),
        holder=holder,
    )
    return Task(
        id=task_id,
        flow=str(new.flow),
        title=title,
        status=Status.PENDING,
        outcome=None,
        attempt=0,
        review=None,
        input=new.input,
        draft=None,
        final_result=None,
        error=None,
        submitter=new.submitter,
        submitter_name=name,
        on_behalf_of=new.on_behalf_of,
        callback_url=new.callback_url,
        metadata=dict(new.metadata),
        created_at=tx.now,
        updated_at=tx.now,
        policy=new.policy,
        tell=new.tell,
    )


def insert_fork(
    tx: Transaction, of: Task, child: TaskId, number: int, by: Person, task_input: Json, at: Checkpoint
) -> None:
    """A pending task that stands at the checkpoint of another."""
    now = micros(tx.now)
    holder = tx.holder()
    tx.insert(
        INSERT,
        id=child,
        flow=of.flow,
        title=of.title,
        status=Status.PENDING.value,
        outcome=None,
        attempt=0,
        review_id=None,
        input=to_json(task_input),
        draft=None,
        final_result=None,
        error=None,
        submitter=by.id,
        submitter_name=by.name,
        on_behalf_of=of.on_behalf_of,
        callback_url=None,
        metadata=to_json(dict(of.metadata)),
        created_at=now,
        updated_at=now,
        ended_at=None,
        parent_id=of.id,
        parent_checkpoint=number,
        policy=of.policy,
        tell=None,
        seq=2,
        version=1,
        node=at.following,
        point=at.point.value,
        begun=0,
        starts=0,
        tries=0,
        due_at=None,
        holder=holder,
    )
    tx.place(child, 1, holder)


def row_and_task(tx: Transaction, task_id: str) -> tuple[Row, Task]:
    """Raises `NotFound`."""
    row = _row(tx, task_id)
    return row, task_of(row)


def _row(tx: Transaction, task_id: str) -> Row:
    row = tx.one(BY_ID, id=task_id)
    if row is None:
        raise NotFound("There is no such task.")
    return row


def one(tx: Transaction, task_id: str) -> Task:
    """Raises `NotFound`."""
    return task_of(_row(tx, task_id))


def page(tx: Transaction, wanted: TaskFilter, *, cursor: tuple[int, str] | None, limit: int) -> TaskPage:
    """Newest first; the cursor is the creation time and id of the last task of the page before."""
    created_at, task_id = cursor or FIRST_CURSOR
    rows = tx.all(
        _page_statement(wanted),
        created_at=created_at,
        id=task_id,
        status=wanted.status.value if wanted.status else "",
        submitter=wanted.submitter or "",
        flow=wanted.flow or "",
        limit=limit + 1,
    )
    tasks = tuple(task_of(row) for row in rows[:limit])
    more = len(rows) > limit
    return TaskPage(tasks=tasks, cursor=f"{micros(tasks[-1].created_at)}-{tasks[-1].id}" if more else None)


def _page_statement(wanted: TaskFilter) -> Statement:
    if wanted.submitter is not None:
        return PAGE_OF_SUBMITTER
    return PAGE_OF_RUNNABLE if wanted.status in RUNNABLE_STATUSES else PAGE


def counts(tx: Transaction) -> dict[Status, int]:
    return {Status(status): count for status, count in tx.all(COUNTS)}


def position(tx: Transaction, task_id: str, *, replica: str | None = None) -> Position | None:
    """Where a runner takes the task up; None where no work is stored, or another `replica` holds it."""
    row = tx.one(BY_ID, id=task_id)
    if row is None or row[3] not in ("pending", "running") or replica not in (None, row[HOLDER]):
        return None
    last = checkpoints.last(tx, task_id)
    of, point = task_of(row), Point(row[POINT])
    # A task that parked stands at a node that is neither begun nor to be tried again.
    parked = point in PARKED and not row[BEGUN] and not row[TRIES]
    asked = parked or point is Point.INSIDE
    answers = reviews.answers_since(tx, of, last.number) if asked else ()
    return Position(
        task=of,
        version=row[VERSION],
        seq=row[SEQ],
        node=row[NODE],
        point=point,
        action=last.action,
        frames=last.frames,
        cause=last.leads_to or f"Submitted by {of.submitter_name}.",
        state=last.state,
        checkpoints=last.number,
        schema=last.schema,
        begun=bool(row[BEGUN]),
        starts=row[STARTS],
        tries=row[TRIES],
        due_at=None if row[DUE] is None else moment(row[DUE]),
        review=answers[-1] if parked and answers else None,
        answers=answers,
    )


def store_step(tx: Transaction, step: Step) -> int:
    """Move the task on, with its checkpoints, events and review; its new version. Raises `StaleRun`."""
    rows = carrying.carried(tx, step)
    step = carrying.told(step, rows)
    if not _move(tx, step):
        raise StaleRun(f"The task was moved on from version {step.version} by something else.")
    checkpoints.insert_checkpoints(tx, step.task, step.first_checkpoint, step.checkpoints)
    append(tx, step.task, step.seq, step.events, step.callback_url, step.tell)
    if step.status.is_final:
        tx.attempts.append(step.attempt)
    _open_review(tx, step)
    _tell_the_end(tx, step)
    if step.review is not None:
        carrying.carry(tx, step.review, rows)
        if rows or (step.attempt > 1 and Party.EDITOR in step.review.policy.distinct_from):
            reviews.mark_if_stuck(tx, step.review.id)
    return step.version + 1


def _move(tx: Transaction, step: Step) -> int:
    moved = {
        "id": step.task,
        "version": step.version,
        "status": step.status.value,
        "attempt": step.attempt,
        "now": micros(tx.now),
        "new_seq": step.seq + len(step.events),
        "node": step.node,
        "begun": int(step.begun),
        "starts": step.starts,
        "tries": step.tries,
        "due_at": None if step.due_at is None else micros(step.due_at),
        "point": step.point.value,
    }
    match next((event for event in reversed(step.events) if not isinstance(event, DecisionsCarried)), None):
        case ReviewRequested(draft=draft, review=review_id):
            return tx.run(PARK, **moved, draft=to_json(draft), review=review_id)
        case TaskCompleted(final_result=result):
            return tx.run(END, **moved, final_result=to_json(result), error=None)
        case TaskFailed(error=error):
            return tx.run(END, **moved, final_result=None, error=error)
        case _:
            return tx.run(MOVE, **moved)


def _open_review(tx: Transaction, step: Step) -> None:
    for number, stored in enumerate(step.events, step.seq + 1):
        if isinstance(stored, ReviewRequested) and step.review is not None and step.node is not None:
            reviews.open_review(
                tx,
                step.task,
                number,
                step.review,
                attempt=step.attempt,
                node=step.node,
                draft=stored.draft,
            )


def _tell_the_end(tx: Transaction, step: Step) -> None:
    """In every thread, where it is news: people who have approved something want to know what came of it."""
    end = step.events[-1] if step.events else None
    if not isinstance(end, TaskCompleted | TaskFailed) or not (
        # where it was handed in its end is told in any case
        places := [place for place in shown_in(tx, step.task) if place != step.tell]
    ):
        return
    if isinstance(end, TaskFailed) or (
        # What was approved is on its card, and that nothing was, too.
        end.final_result is not None and end.final_result != reviews.last_approved(tx, step.task)
    ):
        say(tx, step.task, step.seq + len(step.events), places)


def cancel(tx: Transaction, task_id: str, person: PersonId) -> Task:
    """Raises `NotFound`, `Forbidden` or `TaskIsClosed`."""
    tx.lock(LOCK, id=task_id)
    row = _row(tx, task_id)
    if person not in (row[11], LOCAL):
        raise Forbidden("Only the person who submitted a task may cancel it.")
    end(tx, row, TaskCancelled(by=person))
    return one(tx, task_id)


def end(tx: Transaction, row: Row, event: Event) -> None:
    """End a task from outside its flow, with its open review, if there is one."""
    of = task_of(row)
    status = after(of.status, event)
    changed = tx.run(
        END,
        id=of.id,
        version=row[VERSION],
        status=status.value,
        attempt=of.attempt,
        now=micros(tx.now),
        new_seq=row[SEQ] + 1,
        node=row[NODE],
        begun=0,
        starts=row[STARTS],
        tries=row[TRIES],
        due_at=None,
        point=row[POINT],
        final_result=None,
        error=event.error if isinstance(event, TaskFailed) else None,
    )
    if not changed:
        raise StaleRun("The task was moved on at the same moment.")
    tx.attempts.append(of.attempt)
    reviews.close_undecided(tx, of)  # before: it drops what is still to be said, and the end is to be told
    append(tx, of.id, row[SEQ], [event], of.callback_url, of.tell)
    if of.review is None:  # else its cards say so
        say(tx, of.id, row[SEQ] + 1, [place for place in shown_in(tx, of.id) if place != of.tell])


def fail(tx: Transaction, task_id: str, error: str) -> None:
    """End a task that cannot be run; one that has ended already stays as it is."""
    tx.lock(LOCK, id=task_id)
    row = _row(tx, task_id)
    if not Status(row[3]).is_final:
        end(tx, row, TaskFailed(error=error))


def recover(tx: Transaction) -> list[str]:
    """At the start of the service: count what was found begun, and fail what was for the third time.

    Returns the ids of the tasks that were failed.
    """
    tx.run(FOUND_BEGUN)
    poisoned = tx.all(POISONED)
    for row in poisoned:
        sentence = f"Node {row[NODE]!r} was running at {POISON} starts of the service in a row."
        end(tx, row, TaskFailed(error=sentence))
    return [row[0] for row in poisoned]


def put_back(tx: Transaction, task_ids: Sequence[str]) -> None:
    """At a stop in good order: the next start is not to count the nodes that it cut off."""
    for task_id in task_ids:
        tx.run(PUT_BACK, id=task_id)


def runnable(tx: Transaction) -> list[tuple[TaskId, datetime | None]]:
    """Every task with stored work, oldest first, and when it may run (None: now)."""
    return [(TaskId(row[0]), None if row[1] is None else moment(row[1])) for row in tx.all(RUNNABLE)]
