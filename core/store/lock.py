"""One service for one SQLite file: a second on it would post every card twice. And none, for a copy."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from core.errors import SettingsError
from core.store import replicas
from core.store.sqlite import SQLite
from core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Database
    from core.store.transaction import Cursor

COPYING = 0x436F707969
"""PostgreSQL's advisory lock for copies: "Copyi" in ASCII."""
HELD = "COUNTERSIGN_DATABASE_URL: another countersign is serving or copying this database; stop it first."
SERVED = "COUNTERSIGN_DATABASE_URL: another countersign is serving this database; stop it first."

# Before `migrate` there is neither.
KNOWS_REPLICAS = (
    "SELECT to_regclass('replica') IS NOT NULL AND to_regclass('procrastinate_workers') IS NOT NULL"
)


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
        raise SettingsError(HELD) from None
    except (OSError, RuntimeError) as error:
        # RuntimeError: links that lead in a circle, or a file system without locks.
        raise SettingsError(
            f"COUNTERSIGN_DATABASE_URL: {database.path}.lock cannot be made: {error}."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def unserved(database: Database) -> Iterator[None]:
    """Nobody serves the database now, and no other process copies it.

    Raises `SettingsError` otherwise. A replica on PostgreSQL that starts later is not held off; what it
    changes, a copy finds when it compares.
    """
    if isinstance(database, SQLite):
        with exclusive(database):
            yield
        return
    with closing(database.connect()) as connection, _copying(database, connection.cursor()) as cursor:
        cursor.execute(KNOWS_REPLICAS, {})
        if cursor.fetchone() == (True,) and replicas.are_there(Transaction(cursor, database.dialect)):
            raise SettingsError(SERVED)
        yield


@contextmanager
def _copying(database: Database, cursor: Cursor) -> Iterator[Cursor]:
    """Be the only one to copy the PostgreSQL database."""
    cursor.execute("SELECT pg_try_advisory_lock(%(key)s)", {"key": COPYING})
    if cursor.fetchone() != (True,):
        raise SettingsError("COUNTERSIGN_DATABASE_URL: another countersign is copying this database.")
    try:
        yield cursor
    finally:
        try:
            # Said, for of a connection that just ends the server takes note a moment later.
            cursor.execute("SELECT pg_advisory_unlock(%(key)s)", {"key": COPYING})
        except Exception as error:  # drivers differ; what does not mean that the database is away is raised
            if database.unavailable(error) is None:
                raise
