"""What a flow left in `shared` after each node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, literal_column, select

from core.jsontext import from_json
from core.store.rows import CHECKPOINT_COLUMNS, micros
from core.store.statements import Statement, p
from core.store.tables import checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json, Step
    from core.store.transaction import Transaction

INSERT = Statement(insert(checkpoint), ("task_id", *CHECKPOINT_COLUMNS, "at"))
LAST = Statement(
    select(checkpoint.c.number, checkpoint.c.state)
    .where(checkpoint.c.task_id == p("task"))
    .order_by(checkpoint.c.number.desc())
    .limit(literal_column("1"))
)


def insert_checkpoints(tx: Transaction, step: Step) -> None:
    tx.insert_many(
        INSERT,
        [
            {
                "task_id": step.task,
                "number": number,
                "node": made.node,
                "action": made.action,
                "attempt": made.attempt,
                "state": made.state,
                "at": micros(tx.now),
            }
            for number, made in enumerate(step.checkpoints, step.first_checkpoint)
        ],
    )


def last_state(tx: Transaction, task_id: str) -> tuple[int, Mapping[str, Json] | None]:
    """The number of the task's last checkpoint and what `shared` was then; 0 and None before the first."""
    row = tx.one(LAST, task=task_id)
    return (0, None) if row is None else (row[0], from_json(row[1]))
