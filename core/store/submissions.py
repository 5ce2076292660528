"""How tasks come to be: what is handed in is stored once, and a fork is a new task."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from core.errors import KeyReused
from core.events import TaskSubmitted
from core.jsontext import to_json, to_sorted_json
from core.model import TRACEPARENT, Point, Position, Status, Task, TaskId
from core.store.history import append
from core.store.rows import TASK_COLUMNS, micros, place_text
from core.store.statements import Statement, p
from core.store.steps import follow
from core.store.tables import idempotency, task
from core.store.tasks import RUN_COLUMNS, one

if TYPE_CHECKING:
    from core.model import Checkpoint, Json, Person, PersonId, Submission
    from core.ports import Sequel
    from core.store.transaction import Transaction


INSERT = Statement(insert(task), (*TASK_COLUMNS, *RUN_COLUMNS))
# What every task begins with.
_FRESH: dict[str, Any] = {
    "status": Status.PENDING.value,
    "outcome": None,
    "attempt": 0,
    "review_id": None,
    "draft": None,
    "final_result": None,
    "error": None,
    "version": 1,
    "begun": 0,
    "starts": 0,
    "tries": 0,
    "due_at": None,
    "ended_at": None,
}
INSERT_KEY = Statement(insert(idempotency), ("submitter", "key", "task_id", "fingerprint", "created_at"))
BY_KEY = Statement(
    select(idempotency.c.task_id, idempotency.c.fingerprint).where(
        idempotency.c.submitter == p("submitter"), idempotency.c.key == p("key")
    )
)


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


def fingerprint(new: Submission) -> str:
    """SHA-256 over what the submitter asked for."""
    # The same request, sent again, is part of another trace.
    metadata = {name: value for name, value in new.metadata.items() if name != TRACEPARENT}
    asked = [new.input, new.flow, new.title, new.on_behalf_of, new.callback_url, metadata]
    if new.policy is not None:  # keys of the release before, which knew none, stay what they were
        asked.append(new.policy)
    return hashlib.sha256(to_sorted_json(asked).encode()).hexdigest()


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


def _insert(
    tx: Transaction, task_id: TaskId, new: Submission, title: str, name: str, holder: str | None
) -> Task:
    now = micros(tx.now)
    tx.insert(
        INSERT,
        **_FRESH,
        id=task_id,
        flow=new.flow,
        title=title,
        input=to_json(new.input),
        submitter=new.submitter,
        submitter_name=name,
        on_behalf_of=new.on_behalf_of,
        callback_url=new.callback_url,
        metadata=to_json(dict(new.metadata)),
        created_at=now,
        updated_at=now,
        seq=1,
        node=None,
        point=Point.RUN.value,
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
        **_FRESH,
        id=child,
        flow=of.flow,
        title=of.title,
        input=to_json(task_input),
        submitter=by.id,
        submitter_name=by.name,
        on_behalf_of=of.on_behalf_of,
        callback_url=None,
        metadata=to_json(dict(of.metadata)),
        created_at=now,
        updated_at=now,
        parent_id=of.id,
        parent_checkpoint=number,
        policy=of.policy,
        tell=None,
        seq=2,
        node=at.following,
        point=at.point.value,
        holder=holder,
    )
    tx.place(child, 1, holder)
