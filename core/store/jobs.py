"""Procrastinate's jobs, as units of work see them: each carries one task's stored work.

Procrastinate is imported where it is used only: it costs a second, and SQLite has no use for it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from procrastinate import App

QUEUE, UPKEEP = "countersign", "countersign-upkeep"
"""Of tasks' work, and of what is to be done for all replicas now and then."""
SEGMENT = "segment"
"""The task of Procrastinate's that runs what is stored for a task of ours."""


def lock_of(task: str, version: int) -> str:
    """The same for every job of this work: two of them do not wait at once.

    Procrastinate refuses a second one and the transaction with it, so it is to be asked for only where the
    version was just made, or in a transaction of its own.
    """
    return f"{SEGMENT}/{task}/{version}"


def defer(connection: Any, task: str, version: int) -> None:
    """Store a job for the task's work, in the transaction that is open on this psycopg connection."""
    job = _app().configure_task(
        SEGMENT, queue=QUEUE, queueing_lock=lock_of(task, version), connection=connection
    )
    job.defer(task_id=task)


@cache
def _app() -> App:
    """Never opened: it lends its statements to our connections."""
    from procrastinate import App, SyncPsycopgConnector  # noqa: PLC0415 - see the module's docstring

    return App(connector=SyncPsycopgConnector())
