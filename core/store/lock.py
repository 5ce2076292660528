"""One service for one SQLite file: a second on it would post every card twice."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from core.errors import SettingsError
from core.store.database import SQLite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Database


@contextmanager
def exclusive(database: Database) -> Iterator[None]:
    """Hold a SQLite file for this process; freed by the system when the process ends, however it ends.

    A PostgreSQL database is shared, and not held. Raises `SettingsError` where another process holds the
    file, or where the lock cannot be made.
    """
    if not isinstance(database, SQLite):
        yield
        return
    try:
        # Of the file itself: a link to it would be another name for the same cards.
        path = database.path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise SettingsError(
            "COUNTERSIGN_DATABASE_URL: another countersign is serving this database; stop it first."
        ) from None
    except (OSError, RuntimeError) as error:
        # RuntimeError: links that lead in a circle, or a file system without locks.
        raise SettingsError(
            f"COUNTERSIGN_DATABASE_URL: {database.path}.lock cannot be made: {error}."
        ) from error
    try:
        yield
    finally:
        lock.release()
