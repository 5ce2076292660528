"""What a flow left in `shared` after each node."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import exists, func, insert, literal_column, select, update

from core.errors import NotFound
from core.jsontext import from_json
from core.model import Point, StoredCheckpoint, TaskId, cause_of
from core.states import MAX_STATE, SCHEMA, changes, initial_state
from core.store.rows import micros, moment
from core.store.statements import Statement, p
from core.store.tables import checkpoint, review

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from core.model import Checkpoint, Json, Task
    from core.store.transaction import Row, Transaction

COLUMNS = (
    "number",
    "node",
    "action",
    "attempt",
    "state",
    "at",
    "following",
    "point",
    "frames",
    "cause",
    "parent",
    "schema",
    "superseded_by",
)
_columns = [checkpoint.c[name] for name in COLUMNS]

INSERT = Statement(insert(checkpoint), ("task_id", *COLUMNS))
_last = (
    select(
        *(
            checkpoint.c[name]
            for name in ("number", "state", "action", "frames", "schema", "node", "point", "cause")
        )
    )
    .where(checkpoint.c.task_id == p("task"))
    .order_by(checkpoint.c.number.desc())
    .limit(literal_column("1"))
    .subquery("last")
)
# Asked of that one row: for as many as PostgreSQL expects of a task it would read all reviews there are.
_edited_since = exists().where(
    review.c.task_id == p("task"),
    review.c.checkpoint == _last.c.number,
    review.c.outcome == literal_column("'edited'"),
    review.c.undone == literal_column("0"),
)
LAST = Statement(select(*_last.c, _edited_since))
SIZES = Statement(
    select(checkpoint.c.number, func.length(checkpoint.c.state))
    .where(checkpoint.c.task_id == p("task"), checkpoint.c.number < p("before"))
    .order_by(checkpoint.c.number.desc())
    .limit(p("limit"))
)
OF_TASK = Statement(
    select(*_columns)
    .where(
        checkpoint.c.task_id == p("task"),
        checkpoint.c.number >= p("since"),
        checkpoint.c.number < p("before"),
    )
    .order_by(checkpoint.c.number)
)
ONE = Statement(
    select(*_columns).where(checkpoint.c.task_id == p("task"), checkpoint.c.number == p("number"))
)
LEAVE = Statement(
    update(checkpoint)
    .where(
        checkpoint.c.task_id == p("task"),
        checkpoint.c.number > p("after"),
        checkpoint.c.number < p("by"),
        checkpoint.c.superseded_by.is_(None),
    )
    .values(superseded_by=p("by"))
)


BEYOND = 2**31 - 1
"""No checkpoint has this number."""
LISTED = MAX_STATE
"""Characters of state that are read for one list; a single state may have as many."""


class Last(NamedTuple):
    """What is known of a task's last checkpoint."""

    number: int
    state: Mapping[str, Json] | None
    action: str | None
    frames: tuple[Json, ...]
    schema: int
    leads_to: str
    """The cause of the checkpoint after it; empty before the first."""
    was_edited: bool
    """Whether others had to approve somebody's edit of what has been asked since, as far as that is known."""


def insert_checkpoints(
    tx: Transaction, task: str, first: int, made: Iterable[Checkpoint], *, parent: int | None = None
) -> None:
    """Store them under the numbers from `first`; `parent` is what the first of them came after."""
    tx.insert_many(
        INSERT,
        [
            {
                "task_id": task,
                "number": number,
                "node": one.node,
                "action": one.action,
                "attempt": one.attempt,
                "state": one.state,
                "at": micros(tx.now),
                "following": one.following,
                "point": one.point.value,
                "frames": one.frames,
                "cause": one.cause,
                "parent": parent if number == first else None,
                "schema": SCHEMA,
                "superseded_by": None,
            }
            for number, one in enumerate(made, first)
        ],
    )


def last(tx: Transaction, task_id: str) -> Last:
    """The task's last checkpoint; number 0 and no state before the first."""
    row = tx.one(LAST, task=task_id)
    if row is None:
        return Last(0, None, None, (), SCHEMA, "", was_edited=True)
    number, state, action, frames, schema, node, point, cause, was_edited = row
    # A node that was let past its `interrupt_before` runs because of those who let it.
    leads_to = cause if point == Point.BEFORE else cause_of(node, action)
    before = tuple(from_json(frames) or ())
    return Last(number, from_json(state), action, before, schema, leads_to or "", bool(was_edited))


def leave_behind(tx: Transaction, task_id: str, after: int, by: int) -> None:
    """Mark what came after a checkpoint as superseded by the one numbered `by`."""
    tx.send(LEAVE, task=task_id, after=after, by=by)


def of_task(tx: Transaction, task: Task, *, before: int | None, limit: int) -> list[StoredCheckpoint]:
    """The newest `limit` of those numbered below `before`, in the order in which they were stored.

    They are fewer, but one at least, where their states are large; and reach down to number 0, the task as
    submitted, where there are no more.
    """
    if before is not None and before <= 0:
        return []
    end = BEYOND if before is None else before
    sizes = tx.all(SIZES, task=task.id, before=end, limit=limit)
    listed = _fitting(sizes)
    found: dict[int, StoredCheckpoint] = {}
    if listed == len(sizes) < limit:
        found[0] = _beginning(task)
    for row in tx.all(OF_TASK, task=task.id, since=sizes[listed - 1][0], before=end) if sizes else ():
        parent = row[0] - 1 if row[10] is None else row[10]
        found[row[0]] = _stored(task.id, row, found.get(parent) or _parent(tx, task, parent))
    return list(found.values())


def _fitting(sizes: Sequence[Row]) -> int:
    """How many of the first are listed together."""
    left = LISTED
    for count, (_, size) in enumerate(sizes):
        left -= size
        if left < 0:
            return max(count, 1)
    return len(sizes)


def one(tx: Transaction, task: Task, number: int) -> StoredCheckpoint:
    """Raises `NotFound`."""
    if number == 0:
        return _beginning(task)
    row = tx.one(ONE, task=task.id, number=number)
    if row is None:
        raise NotFound(f"This task has no checkpoint {number}.")
    return _stored(task.id, row, _parent(tx, task, number - 1 if row[10] is None else row[10]))


def _parent(tx: Transaction, task: Task, number: int) -> StoredCheckpoint:
    """As `one`, without its own changes, for which one more state would have to be read."""
    row = tx.one(ONE, task=task.id, number=number) if number else None
    from_ = _beginning(task)
    return from_ if row is None else _stored(task.id, row, from_)


def frames_of(tx: Transaction, task_id: str, number: int) -> str | None:
    """What the flows around the next node had prepared, as it is stored."""
    row = tx.one(ONE, task=task_id, number=number)
    return None if row is None else row[8]


def _beginning(task: Task) -> StoredCheckpoint:
    return StoredCheckpoint(
        task=task.id,
        number=0,
        node=None,
        action=None,
        attempt=0,
        state=initial_state(task.id, task.input),
        following="/",
        point=Point.RUN,
        cause=f"Submitted by {task.submitter_name}.",
        at=task.created_at,
        schema=SCHEMA,
        parent=None,
        superseded=False,
        changes={},
    )


def _stored(task: str, row: Row, parent: StoredCheckpoint) -> StoredCheckpoint:
    state = from_json(row[4])
    return StoredCheckpoint(
        task=TaskId(task),
        number=row[0],
        node=row[1],
        action=row[2],
        attempt=row[3],
        state=state,
        following=row[6],
        point=Point(row[7]),
        cause=row[9] or "",
        at=moment(row[5]),
        schema=row[11],
        parent=parent.number,
        superseded=row[12] is not None,
        changes=changes(parent.state, state),
    )
