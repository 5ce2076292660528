"""Tasks: found one by one, in pages, and where a runner takes one up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, literal_column, or_, select, text

from core.errors import NotFound
from core.model import Point, Position, Status, Task, TaskId, TaskPage
from core.store import checkpoints, reviews
from core.store.rows import TASK_COLUMNS, micros, moment, task_of
from core.store.statements import Statement, p
from core.store.tables import task

if TYPE_CHECKING:
    from datetime import datetime

    from core.model import TaskFilter
    from core.store.transaction import Row, Transaction

RUNNABLE_STATUSES = frozenset({Status.PENDING, Status.RUNNING})

PARKED = frozenset({Point.REVIEW, Point.BEFORE, Point.AFTER})
"""Where one closed review is to be applied; at INSIDE there may be several."""

RUN_COLUMNS = ("seq", "version", "begun", "starts", "tries", "due_at", "holder")
RUN = len(TASK_COLUMNS)
NODE, POINT = TASK_COLUMNS.index("node"), TASK_COLUMNS.index("point")
SEQ, VERSION, BEGUN, STARTS, TRIES, DUE, HOLDER = range(RUN, RUN + len(RUN_COLUMNS))

every = select(*(task.c[name] for name in (*TASK_COLUMNS, *RUN_COLUMNS)))
# Word for word the condition of the partial index, or SQLite would not use it.
is_runnable = text("status IN ('pending', 'running')")

BY_ID = Statement(every.where(task.c.id == p("id")))
LOCK = Statement(select(task.c.id).where(task.c.id == p("id")).with_for_update())
_page = (
    every.where(
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
PAGE_OF_RUNNABLE = Statement(_page.where(is_runnable, _by_anybody))
COUNTS = Statement(select(task.c.status, func.count()).group_by(task.c.status))
RUNNABLE = Statement(select(task.c.id, task.c.due_at).where(is_runnable).order_by(task.c.created_at))
FIRST_CURSOR = (2**62, "~")


def row_and_task(tx: Transaction, task_id: str) -> tuple[Row, Task]:
    """Raises `NotFound`."""
    row = row_of(tx, task_id)
    return row, task_of(row)


def row_of(tx: Transaction, task_id: str) -> Row:
    row = tx.one(BY_ID, id=task_id)
    if row is None:
        raise NotFound("There is no such task.")
    return row


def one(tx: Transaction, task_id: str) -> Task:
    """Raises `NotFound`."""
    return task_of(row_of(tx, task_id))


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


def runnable(tx: Transaction) -> list[tuple[TaskId, datetime | None]]:
    """Every task with stored work, oldest first, and when it may run (None: now)."""
    return [(TaskId(row[0]), None if row[1] is None else moment(row[1])) for row in tx.all(RUNNABLE)]
