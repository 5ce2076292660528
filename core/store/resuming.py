"""Going back to a checkpoint: in place, or as a new task."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import func, literal_column, null, select, update

from core.errors import Invalid, StaleRun, TaskIsRunning
from core.events import TaskForked, TaskRewound, TaskSubmitted
from core.jsontext import to_json, to_sorted_json
from core.lifecycle import after
from core.model import Checkpoint, Fork, Point, Status, TaskId
from core.states import MAX_STATE, SCHEMA, check_edits
from core.store import checkpoints, opening, reviews, submissions, tasks
from core.store.deliveries import raise_cards
from core.store.history import append
from core.store.policies import policy_of_row
from core.store.rows import micros, moment
from core.store.statements import Statement, p
from core.store.tables import checkpoint, review, task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json, Person, StoredCheckpoint, Task
    from core.store.transaction import Row, Transaction

LISTED = 100
"""Forks of one task: the newest."""

BRANCHES = Statement(
    select(checkpoint.c.number, checkpoint.c.parent, checkpoint.c.superseded_by).where(
        checkpoint.c.task_id == p("task")
    )
)
FORKS = Statement(
    select(task.c.id, task.c.parent_checkpoint, task.c.submitter_name, task.c.status, task.c.created_at)
    .where(task.c.parent_id == p("task"))
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(literal_column(str(LISTED)))
)
STAND = Statement(
    update(checkpoint)
    .where(checkpoint.c.task_id == p("task"), checkpoint.c.number == p("number"))
    .values(superseded_by=null())
)
_later = review.alias("later")
_replaced_by = (
    select(func.min(_later.c.attempt))
    .where(
        _later.c.task_id == review.c.task_id,
        _later.c.node == review.c.node,
        _later.c.point == review.c.point,
        _later.c.undone == literal_column("0"),
        _later.c.attempt > review.c.attempt,
        _later.c.checkpoint > review.c.checkpoint,
    )
    .scalar_subquery()
)
HOLD = Statement(
    update(review)
    .where(
        review.c.task_id == p("task"),
        review.c.undone == literal_column("0"),
        review.c.outcome == literal_column("'approved'"),
        func.coalesce(review.c.superseded_by, literal_column("0"))
        != func.coalesce(_replaced_by, literal_column("0")),
    )
    .values(superseded_by=_replaced_by)
    .returning(review.c.id, review.c.policy, review.c.escalated)
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
        holder=p("holder"),
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
    key: str | None = None,
) -> Task:
    """Go on from checkpoint `number` with its state and `edits` over it, at `node` where one is named.

    What came after it is superseded, open reviews among it are closed. Where the same `key` came before, with
    the same request, nothing is done again. Raises `NotFound`, `Invalid` or `TaskIsRunning`.
    """
    tx.lock(tasks.LOCK, id=task_id)
    mark = _mark([task_id, number, dict(edits), node, "here"])
    if (made_before := submissions.by_key(tx, by.id, key, mark)) is not None:
        return made_before
    row, of, source = _source(tx, task_id, number, edits, node)
    state = _text({**source.state, **edits})
    attempt = max(of.attempt, 1)
    last = checkpoints.last(tx, task_id)
    common, since = _left(tx, task_id, number) if source.superseded else (number, {})
    if opening.undo_since(tx, task_id, common, attempt + 1):
        attempt += 1
    checkpoints.leave_behind(tx, task_id, common, last.number + 1)
    _take_up(tx, task_id, since)
    _let_hold(tx, task_id)
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
        state,
        node,
        attempt,
        f"Resumed from checkpoint {number} by {by.name}.",
    )
    holder = tx.holder()
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
        holder=holder,
    )
    if not moved:
        raise StaleRun("The task was moved on at the same moment.")
    tx.place(task_id, row[tasks.VERSION] + 1, holder)
    checkpoints.insert_checkpoints(tx, task_id, last.number + 1, [made], parent=number)
    append(tx, task_id, row[tasks.SEQ], [event], of.callback_url)
    submissions.keep_key(tx, by.id, key, mark, task_id)
    return tasks.one(tx, task_id)


def _left(tx: Transaction, task_id: str, number: int) -> tuple[int, dict[int, bool]]:
    """Where the branch that goes on has left the one that stands, and its checkpoints since then, each with
    whether it followed the one before it, rather than a resume."""
    known = {at: (parent, superseded) for at, parent, superseded in tx.all(BRANCHES, task=task_id)}
    at, since = number, dict[int, bool]()
    while at and known[at][1] is not None:
        parent = known[at][0]
        since[at] = parent is None
        at = at - 1 if parent is None else parent
    return at, since


def _take_up(tx: Transaction, task_id: str, since: Mapping[int, bool]) -> None:
    """Let these checkpoints stand again, and what was decided on the way to them."""
    for at, followed in since.items():
        tx.run(STAND, task=task_id, number=at)
        if followed:
            opening.reinstate(tx, task_id, at - 1)


def _let_hold(tx: Transaction, task_id: str) -> None:
    """What is approved on the branch that goes on holds, unless it was asked anew there; cards say so."""
    for review_id, policy, escalated in tx.changed(HOLD, task=task_id):
        raise_cards(tx, task_id, review_id, policy_of_row(policy, escalated))


def fork(
    tx: Transaction,
    task_id: str,
    *,
    number: int,
    edits: Mapping[str, Json],
    node: str | None,
    by: Person,
    child: TaskId,
    key: str | None = None,
) -> Task:
    """A new pending task of `by`'s that goes on from there; the old one is left as it is.

    Raises `NotFound` or `Invalid`.
    """
    tx.lock(tasks.LOCK, id=task_id)
    mark = _mark([task_id, number, dict(edits), node, "fork"])
    if (made_before := submissions.by_key(tx, by.id, key, mark)) is not None:
        return made_before
    _, of, source = _source(tx, task_id, number, edits, node, may_run=True)
    state = {**_first_attempt(source.state), **edits, "task_id": child}
    cause = f"Forked from checkpoint {number} of task {task_id} by {by.name}."
    made = _checkpoint(tx, source, _text(state), node, 1, cause)
    submissions.insert_fork(tx, of, child, number, by, state.get("task_input", of.input), made)
    checkpoints.insert_checkpoints(tx, child, 1, [made])
    forked = TaskForked(parent=task_id, checkpoint=number, by=by.id, by_name=by.name, edited=[*edits])
    append(tx, child, 0, [TaskSubmitted(submitter=by.id), forked], None)
    submissions.keep_key(tx, by.id, key, mark, child)
    return tasks.one(tx, child)


def _first_attempt(state: Mapping[str, Json]) -> Mapping[str, Json]:
    """The state as a new task has it, whose attempts are counted anew."""
    count = state.get("current_attempt")
    return {**state, "current_attempt": 1} if isinstance(count, int) and count > 1 else state


def forks(tx: Transaction, task_id: str) -> list[Fork]:
    """The newest of those made of the task, oldest first."""
    rows = tx.all(FORKS, task=task_id)
    return [
        Fork(task=TaskId(row[0]), checkpoint=row[1], by_name=row[2], status=Status(row[3]), at=moment(row[4]))
        for row in reversed(rows)
    ]


def _source(
    tx: Transaction,
    task_id: str,
    number: int,
    edits: Mapping[str, Json],
    node: str | None,
    *,
    may_run: bool = False,
) -> tuple[Row, Task, StoredCheckpoint]:
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
    state: str,
    node: str | None,
    attempt: int,
    cause: str,
) -> Checkpoint:
    """The first of the new branch: the old one's state as edited, and where it goes on."""
    return Checkpoint(
        node=source.node or "/",
        action=source.action,
        attempt=attempt,
        state=state,
        following=node or source.following,
        point=Point.RUN if node is not None else source.point,
        frames=None if node is not None else checkpoints.frames_of(tx, source.task, source.number),
        cause=cause,
    )


def _mark(asked: list[Json]) -> str:
    """SHA-256 over what was asked for."""
    return hashlib.sha256(to_sorted_json(asked).encode()).hexdigest()


def _text(state: Mapping[str, Json]) -> str:
    """As it is stored; raises `Invalid` where an edit made it too large."""
    text = to_json(dict(state))
    if len(text) > MAX_STATE:
        raise Invalid(f"With these changes the state has {len(text)} characters, over {MAX_STATE}.")
    return text
