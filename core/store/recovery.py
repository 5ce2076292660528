"""What a stop leaves, and the next start of the service finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal_column, update

from core.events import TaskFailed
from core.store.statements import Statement
from core.store.steps import end
from core.store.tables import task
from core.store.tasks import NODE, every, is_runnable

if TYPE_CHECKING:
    from core.store.transaction import Transaction


POISON = 3
"""A node found running at so many starts in a row fails its task: it may be what stops the service."""
FOUND_BEGUN = Statement(
    update(task)
    .where(is_runnable, task.c.begun == literal_column("1"))
    .values(starts=task.c.starts + literal_column("1"))
)
# Taken off beforehand, since the next start adds one. `begun` itself stays: without it the task would look
# parked, and its last review would be applied once more.
PUT_BACK = Statement(
    update(task)
    .where(is_runnable, task.c.begun == literal_column("1"))
    .values(starts=task.c.starts - literal_column("1"))
)
POISONED = Statement(
    every.where(
        is_runnable, task.c.begun == literal_column("1"), task.c.starts >= literal_column(str(POISON))
    )
)


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


def put_back(tx: Transaction) -> None:
    """At a stop in good order, which ends no node: the next start is not to count what is begun.

    Nor what only waited for its turn to be run again: it was counted when it was found.
    """
    tx.run(PUT_BACK)
