"""Procrastinate's jobs, as units of work see them: each carries one task's stored work.

A job is stored by the function by which Procrastinate stores its own, in the transaction of what it is for.
Its Python is not asked: it would take a psycopg cursor, and wait for the answer.
"""

from __future__ import annotations

from sqlalchemy import text

from core.store.statements import Statement

QUEUE, UPKEEP = "countersign", "countersign-upkeep"
"""Of tasks' work, and of what is to be done for all replicas now and then."""
SEGMENT = "segment"
"""The task of Procrastinate's that runs what is stored for a task of ours."""

DEFER = Statement(
    text(
        "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW("
        f"'{QUEUE}', '{SEGMENT}', 0, NULL, CAST(:p_lock AS text),"
        " jsonb_build_object('task_id', CAST(:p_task AS text)), NULL"
        ")::procrastinate_job_to_defer_v1])"
    )
)


def lock_of(task: str, version: int) -> str:
    """The same for every job of this work: two of them do not wait at once.

    Procrastinate refuses a second one and the transaction with it, so it is to be asked for only where the
    version was just made, or in a transaction of its own.
    """
    return f"{SEGMENT}/{task}/{version}"
