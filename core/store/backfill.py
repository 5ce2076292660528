"""SQLite's write-ahead log is moved into its file beside the writer, so that nobody has to wait for it.

Left to itself, SQLite does it within a COMMIT, of whichever group finds 4,000 pages in the log
(`wal_autocheckpoint`): 30 to 40 ms for 3,600 different pages, in which all wait. It still does so where this
could not keep up, but what is left to move by then is little.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from core.errors import StoreUnavailable

if TYPE_CHECKING:
    from core.store.database import SQLite

log = structlog.get_logger()

OFTEN = 500
"""Rows written after which the log is moved: some hundreds of pages, a few milliseconds beside the writer."""


class Backfill:
    """A thread with a connection of its own: `start()` it, tell it of each commit, `stop()` it."""

    def __init__(self, database: SQLite) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._rows = 0
        self._bell = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="store-backfill", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def committed(self, rows: int) -> None:
        """On the writer's thread: so many written rows are durable."""
        self._rows += rows
        if self._rows >= OFTEN:
            self._rows = 0
            self._bell.set()

    async def stop(self, *, within: timedelta = timedelta(seconds=1)) -> None:
        """What is not moved by then stays in the log, which loses nothing."""
        self._stopped = True
        self._bell.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, within.total_seconds())

    def _work(self) -> None:
        while not self._stopped:
            self._bell.wait()
            self._bell.clear()
            if not self._stopped:
                self._move()
        self._disconnect()

    def _move(self) -> None:
        try:
            if self._connection is None:
                self._connection = self._database.connect()
            # Passive: it waits for nobody, and nobody for it.
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (sqlite3.DatabaseError, StoreUnavailable) as error:
            # The writer meets the same, and tells those whom it concerns.
            log.info("log_not_moved", error=type(error).__name__)
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
