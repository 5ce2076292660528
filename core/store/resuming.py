"""Going back to a checkpoint: in place, or as a new task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column, null, select, update

from core.errors import Invalid, StaleRun, TaskIsRunning
from core.events import TaskForked, TaskRewound, TaskSubmitted
from core.lifecycle import after
from core.model import Checkpoint, Point, Status
from core.states import SCHEMA, check_edits
from core.store import checkpoints, reviews, tasks
from core.store.history import append
from core.store.rows import micros
from core.store.statements import Statement, p
from core.store.tables import checkpoint, task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json, Person, StoredCheckpoint, Task, TaskId
    from core.store.transaction import Row, Transaction

PARENTS = Statement(select(checkpoint.c.number, checkpoint.c.parent).where(checkpoint.c.task_id == p("task")))
STAND = Statement(
    update(checkpoint)
    .where(checkpoint.c.task_id == p("task"), checkpoint.c.number == p("number"))
    .values(superseded_by=null())
)
REWIND = Statement(
    update(task)
    .where(task.c.id == p("id"), task.c.version == p("version"))
    .values(
        status=p("status"),
        outcome=p("outcome"),
        attempt=p("attempt"),
        review_id=null(),
        final_result=null(),
        error=null(),
        ended_at=null(),
        updated_at=p("now"),
        seq=p("new_seq"),
        version=task.c.version + literal_column("1"),
        node=p("node"),
        point=p("point"),
        begun=literal_column("0"),
        starts=literal_column("0"),
        tries=literal_column("0"),
        due_at=null(),
    )
)


def rewind(
    tx: Transaction,
    task_id: str,
    *,
    number: int,
    edits: Mapping[str, Json],
    node: str | None,
    by: Person,
) -> Task:
    """Go on from checkpoint `number` with its state and `edits` over it, at `node` where one is named.

    What came after it is superseded, open reviews among it are closed. Raises `NotFound`, `Invalid` or
    `TaskIsRunning`.
    """
    row, of, source = _source(tx, task_id, number, edits, node)
    attempt = max(of.attempt, 1)
    last = checkpoints.last(tx, task_id)
    if reviews.undo_since(tx, task_id, number, attempt + 1):
        attempt += 1
    if source.superseded:
        _take_up(tx, task_id, number)
    outcome = reviews.outcome_before(tx, task_id, number)
    event = TaskRewound(
        checkpoint=number,
        node=node or source.following,
        attempt=attempt,
        by=by.id,
        by_name=by.name,
        edited=[*edits],
    )
    made = _checkpoint(
        tx,
        source,
        {**source.state, **edits},
        node,
        attempt,
        f"Resumed from checkpoint {number} by {by.name}.",
    )
    moved = tx.run(
        REWIND,
        id=task_id,
        version=row[tasks.VERSION],
        status=after(of.status, event).value,
        outcome=None if outcome is None else outcome.value,
        attempt=attempt,
        now=micros(tx.now),
        new_seq=row[tasks.SEQ] + 1,
        node=made.following,
        point=made.point.value,
    )
    if not moved:
        raise StaleRun("The task was moved on at the same moment.")
    checkpoints.insert_checkpoints(tx, task_id, last.number + 1, [made], parent=number)
    checkpoints.leave_behind(tx, task_id, number, last.number + 1)
    append(tx, task_id, row[tasks.SEQ], [event], of.callback_url)
    return tasks.one(tx, task_id)


def _take_up(tx: Transaction, task_id: str, number: int) -> None:
    """A branch that was left goes on: its checkpoints up to `number`, and what was decided on it, stand."""
    parents: dict[int, int | None] = dict(tx.all(PARENTS, task=task_id))
    at = number
    while at:
        tx.run(STAND, task=task_id, number=at)
        parent = parents[at]
        if parent is None:
            reviews.reinstate(tx, task_id, at - 1)
        at = at - 1 if parent is None else parent


def fork(
    tx: Transaction,
    task_id: str,
    *,
    number: int,
    edits: Mapping[str, Json],
    node: str | None,
    by: Person,
    child: TaskId,
) -> Task:
    """A new pending task of `by`'s that goes on from there; the old one is left as it is.

    Raises `NotFound` or `Invalid`.
    """
    _, of, source = _source(tx, task_id, number, edits, node, may_run=True)
    state = {**source.state, **edits, "task_id": child}
    made = _checkpoint(
        tx, source, state, node, 1, f"Forked from checkpoint {number} of task {task_id} by {by.name}."
    )
    tasks.insert_fork(tx, of, child, number, by, state.get("task_input", of.input), made)
    checkpoints.insert_checkpoints(tx, child, 1, [made])
    forked = TaskForked(parent=task_id, checkpoint=number, by=by.id, by_name=by.name, edited=[*edits])
    append(tx, child, 0, [TaskSubmitted(submitter=by.id), forked], None)
    return tasks.one(tx, child)


def _source(
    tx: Transaction,
    task_id: str,
    number: int,
    edits: Mapping[str, Json],
    node: str | None,
    *,
    may_run: bool = False,
) -> tuple[Row, Task, StoredCheckpoint]:
    tx.lock(tasks.LOCK, id=task_id)
    row, of = tasks.row_and_task(tx, task_id)
    if of.status in {Status.PENDING, Status.RUNNING} and not may_run:
        raise TaskIsRunning(f"The task is {of.status}; it can be resumed once it waits or has ended.")
    source = checkpoints.one(tx, of, number)
    if source.schema > SCHEMA:
        raise Invalid(f"Checkpoint {number} was stored by a newer release.")
    if node is None and source.following is None:
        raise Invalid(f"After checkpoint {number} the flow ends; name the `node` to go on with.")
    check_edits(source.state, edits)
    return row, of, source


def _checkpoint(
    tx: Transaction,
    source: StoredCheckpoint,
    state: Mapping[str, Any],
    node: str | None,
    attempt: int,
    cause: str,
) -> Checkpoint:
    """The first of the new branch: the old one's state as edited, and where it goes on."""
    return Checkpoint(
        node=source.node or "/",
        action=source.action,
        attempt=attempt,
        state=checkpoints.to_text(state),
        following=node or source.following,
        point=Point.RUN if node is not None else source.point,
        frames=None if node is not None else checkpoints.frames_of(tx, source.task, source.number),
        cause=cause,
    )
