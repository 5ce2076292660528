"""A SQLite file: how to connect, how a transaction begins, which of its errors pass by themselves."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.dialects import sqlite

from core.errors import SettingsError, StoreUnavailable
from core.store.transaction import Transaction

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect

    from core.store.database import Connection
    from core.store.placing import Placing
    from core.store.transaction import Cursor

MOVED = "The database file was moved or replaced while it was in use; nothing was changed."


def _prepare(connection: sqlite3.Connection, *, read_only: bool) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    if read_only:
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # At the default of 1,000 pages every hundredth group pays for a checkpoint (measured). No other
    # connection may do it beside this one: before SQLite 3.51.3 what is committed meanwhile can get lost
    # (sqlite.org, "Write-Ahead Logging", the WAL-reset bug).
    connection.execute("PRAGMA wal_autocheckpoint = 4000")


class SQLite:
    """A SQLite file.

    WAL with synchronous=FULL: less than FULL may lose an acknowledged decision at power loss.
    """

    begin_write = "BEGIN IMMEDIATE"
    begin_read = "BEGIN"
    group = 64
    """At 100 rows a commit a row costs 1/20 of one alone; little more is won above, and a decision may have
    to wait for a whole group."""
    has_one_writer = True  # a second server on the same file is refused (core/store/lock.py)

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise SettingsError("COUNTERSIGN_DATABASE_URL: a SQLite database needs a file, sqlite:///FILE.")
        self.url = url
        self.path = Path(url.database)
        self.dialect: Dialect = sqlite.dialect(paramstyle="named")
        self._file: tuple[int, int] | None = None
        """Device and inode of what was opened first."""

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        self._check_in_place()  # with what is in the log of the one, SQLite would spoil the other
        try:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                timeout=2.0,  # Slack waits 3 s for the answer to a press
            )
            with ExitStack() as unless_ready:
                unless_ready.callback(connection.close)
                _prepare(connection, read_only=read_only)
                unless_ready.pop_all()
        except sqlite3.DatabaseError as error:
            raise StoreUnavailable(
                f"The database file {self.path.name} cannot be opened: {error}."
            ) from error
        self._file = self._file or self._found()
        return connection

    def _check_in_place(self) -> None:
        """Raises `StoreUnavailable` where another file, or none, is where ours was.

        What is written to one that was moved away is there for nobody after the next start.
        """
        if self._file is not None and self._found() != self._file:
            raise StoreUnavailable(MOVED, detail=f"{MOVED} Put it back, or start the server anew.")

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def cursor(self, connection: Connection) -> Cursor:
        return connection.cursor()

    def transaction(self, cursor: Cursor, placing: Placing | None) -> Transaction:
        return Transaction(cursor, self.dialect, placing)

    def begin(self, cursor: Cursor, *, writes: bool) -> None:
        if writes:
            self._check_in_place()
        cursor.execute(self.begin_write if writes else self.begin_read, {})

    def leave(self, cursor: Cursor) -> None:
        cursor.execute("COMMIT", {})

    def unavailable(self, error: BaseException) -> StoreUnavailable | None:
        if not isinstance(error, sqlite3.DatabaseError):
            return None
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        sentences = {
            sqlite3.SQLITE_FULL: "The disk of the database is full; nothing was changed.",
            sqlite3.SQLITE_BUSY: "The database is locked by another program; nothing was changed.",
            sqlite3.SQLITE_LOCKED: "The database is locked by another program; nothing was changed.",
            sqlite3.SQLITE_IOERR: "The database file cannot be read or written; nothing was changed.",
            sqlite3.SQLITE_READONLY: "The database file cannot be written; nothing was changed.",
            sqlite3.SQLITE_CANTOPEN: "The database file cannot be opened; nothing was changed.",
            sqlite3.SQLITE_CORRUPT: "The database file is damaged; nothing was changed.",
            sqlite3.SQLITE_NOTADB: "The database file is not a SQLite database; nothing was changed.",
        }
        return StoreUnavailable(sentences[code]) if code in sentences else None

    def is_local(self, error: BaseException) -> bool:  # noqa: ARG002 - the whole file is locked, or nothing
        return False

    def hurry(self, cursor: Cursor) -> None:
        """No unit is run apart for a lock here."""

    def is_lost(self, error: BaseException) -> bool:  # noqa: ARG002 - a file does not go
        return False

    def mark(self, cursor: Cursor) -> str | None:  # noqa: ARG002 - a COMMIT here is a call, not a message
        return None

    def was_committed(self, cursor: Cursor, mark: str) -> bool:  # noqa: ARG002 - likewise
        return False
