"""A copy of a SQLite file that is being served, made by SQLite itself; one at a time.

It is one moment's state: a reader in WAL mode keeps nobody from writing, and sees nothing of what they write.
Its file has no name any more once it is whole, so that however the process ends nothing is left of it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

from core.errors import NotOffered, StoreUnavailable, Unavailable
from core.store.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from core.store.database import Database

PIECE = 256 * 1024
STEP = 256
"""Pages, 1 MiB: after so many a stop is seen."""
LEFT_FREE = 16 * 1024 * 1024
"""Bytes that a backup leaves to those who write meanwhile: as much as their log usually takes."""
SOON = timedelta(seconds=10)
BUSY = "Another backup is being taken; try again when it is done."
NO_ROOM = "The disk of the database has no room for a backup beside it; nothing of one is left there."
PG_DUMP = (
    "This server's database is PostgreSQL, which pg_dump backs up: the commands are in docs/operations.md."
)


class Stopped(Exception):
    """Nobody waits for the copy any more."""


class FileCopy:
    """Implements `core.ports.Backup`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    async def pieces(self) -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(self._file.read, PIECE):
            yield piece


class Copies:
    """Of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_busy = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[FileCopy]:
        """As `core.ports.BackupStore.backup`."""
        if not isinstance(self._database, SQLite):
            raise NotOffered(PG_DUMP)
        if self._is_busy:
            raise Unavailable(BUSY, retry_after=SOON)
        self._is_busy, stop = True, threading.Event()
        made = asyncio.get_running_loop().run_in_executor(None, copied, self._database, stop)
        try:
            yield FileCopy(await asyncio.shield(made))
        finally:
            stop.set()
            made.add_done_callback(self._let_go)

    def _let_go(self, made: asyncio.Future[BinaryIO]) -> None:
        self._is_busy = False
        if not made.cancelled() and made.exception() is None:
            made.result().close()


def copied(database: SQLite, stop: threading.Event) -> BinaryIO:
    """The copy, open for reading, in a file that has no name; for a thread, which ends soon after `stop`.

    Raises `StoreUnavailable`.
    """
    clear(database)
    target = _place(database)
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(database, target, stop)
        return target.open("rb")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise StoreUnavailable(NO_ROOM) from error
        raise StoreUnavailable(f"The backup cannot be made: {error}.") from error
    except OSError as error:
        raise StoreUnavailable(f"The backup cannot be made: {error.strerror}.") from error
    finally:
        target.unlink(missing_ok=True)


def clear(database: SQLite) -> None:
    """Remove what a process left that was killed in the middle; for whoever holds the file exclusively."""
    try:
        _place(database).unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"An old backup cannot be removed: {error.strerror}.") from error


def _place(database: SQLite) -> Path:
    """Beside the file itself, where there is a link to it."""
    path = database.path.resolve()
    return path.with_name(f"{path.name}.backup.part")


def _copy(database: SQLite, target: Path, stop: threading.Event) -> None:
    def step(_status: int, _left: int, _all: int) -> None:
        if stop.is_set():
            raise Stopped

    with (
        closing(database.connect(read_only=True)) as source,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        # Without a journal beside it: a copy that is not whole is thrown away.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        source.execute("BEGIN")  # else each step would be of a moment of its own, and begin anew
        (size,) = source.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
        if shutil.disk_usage(target.parent).free < size + LEFT_FREE:
            raise StoreUnavailable(NO_ROOM)
        source.backup(copy, pages=STEP, progress=step)
