"""One service for one database: a second on the same file would post every card twice."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from core.errors import SettingsError
from core.store.database import SQLite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Database

ADVISORY_KEY = 0x436F756E746572
"""PostgreSQL's advisory lock for us: "Counter" in ASCII."""


@contextmanager
def exclusive(database: Database) -> Iterator[None]:
    """Hold the database for this process; freed by the system when the process ends, however it ends.

    Raises `SettingsError` where another one holds it, or where the lock cannot be made.
    """
    refusal = "COUNTERSIGN_DATABASE_URL: another countersign is serving this database; stop it first."
    if isinstance(database, SQLite):
        try:
            # Of the file itself: a link to it would be another name for the same cards.
            path = database.path.resolve()
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{path}.lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise SettingsError(refusal) from None
        except (OSError, RuntimeError) as error:
            # RuntimeError: links that lead in a circle, or a file system without locks.
            raise SettingsError(
                f"COUNTERSIGN_DATABASE_URL: {database.path}.lock cannot be made: {error}."
            ) from error
        try:
            yield
        finally:
            lock.release()
        return
    connection = database.connect()
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_try_advisory_lock(%(key)s)", {"key": ADVISORY_KEY})
        if cursor.fetchone() != (True,):
            raise SettingsError(refusal)
        yield
    finally:
        connection.close()
