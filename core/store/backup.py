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
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from core.clock import seconds
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
STANDS_STILL = timedelta(seconds=60)
"""How long no page may be copied, or no piece read, before a backup is given up: however big the database, a
disk that works brings one within moments."""
LOOKS = timedelta(seconds=1)
"""Between two looks at how far a copy is."""
BUSY = "Another backup is being taken; try again when it is done."
NO_ROOM = "The disk of the database has no room for a backup beside it; nothing of one is left there."
STUCK = "The backup stood still for a minute, and was given up."
PG_DUMP = (
    "This server's database is PostgreSQL, which pg_dump backs up: the commands are in docs/operations.md."
)


class Stopped(Exception):
    """Nobody waits for the copy any more."""


class Going:
    """How far a copy is, as its thread says; and that it is to end."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.left: int | None = None
        """Pages; None before the first."""

    def step(self, _status: int, left: int, _all: int) -> None:
        """Also called while SQLite waits for the file, without a page copied."""
        self.left = left
        if self.stop.is_set():
            raise Stopped


class FileCopy:
    """Implements `core.ports.Backup`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        self.reading: asyncio.Future[bytes] | None = None
        """The newest piece, as a thread reads it: however long, if the disk holds it up."""

    async def pieces(self) -> AsyncIterator[bytes]:
        while piece := await self._next():
            yield piece

    async def _next(self) -> bytes:
        self.reading = asyncio.get_running_loop().run_in_executor(None, self._file.read, PIECE)
        async with asyncio.timeout(STANDS_STILL.total_seconds()):
            return await asyncio.shield(self.reading)


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
        self._is_busy, going, copy = True, Going(), None
        made = asyncio.get_running_loop().run_in_executor(None, copied, self._database, going)
        try:
            await _come(made, going)
            copy = FileCopy(made.result())
            yield copy
        finally:
            going.stop.set()
            last = made if copy is None or copy.reading is None else copy.reading
            last.add_done_callback(partial(self._let_go, made))

    def _let_go(self, made: asyncio.Future[BinaryIO], _last: asyncio.Future[Any]) -> None:
        """Not before its thread has ended: there are few, and the next backup's would be held up, too."""
        self._is_busy = False
        if not made.cancelled() and made.exception() is None:
            # In a thread: a stuck disk may hold up this as well, and the loop with it.
            made.get_loop().run_in_executor(None, made.result().close)


async def _come(made: asyncio.Future[BinaryIO], going: Going) -> None:
    """Until it is made; raises `StoreUnavailable` where it stands still."""
    left, since = going.left, seconds()
    while not (await asyncio.wait({made}, timeout=LOOKS.total_seconds()))[0]:
        if going.left != left:
            left, since = going.left, seconds()
        elif seconds() - since >= STANDS_STILL.total_seconds():
            raise StoreUnavailable(STUCK)


def copied(database: SQLite, going: Going) -> BinaryIO:
    """The copy, open for reading, in a file that has no name; for a thread, which ends soon after a `stop`.

    Raises `StoreUnavailable`.
    """
    clear(database)
    target = _place(database)
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(database, target, going)
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


def _copy(database: SQLite, target: Path, going: Going) -> None:
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
        source.backup(copy, pages=STEP, progress=going.step)
