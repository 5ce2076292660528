"""SQLite's log is moved into the file beside the writer: no COMMIT has to, and nothing depends on it."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from core.errors import StoreUnavailable
from core.store.backfill import OFTEN, Backfill
from core.store.database import SQLite
from core.store.sql import SqlStore
from tests.contracts.steps import submitted
from tests.world import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from core.store.database import Database
    from tests.world import StoppedClock

ROWS = 2
"""Of one submission, at least: the task and its first event."""


def in_the_file(database: SQLite, folder: Path) -> int:
    """How many tasks are there without the log."""
    alone = folder / "alone.db"
    shutil.copy(database.path, alone)
    connection = sqlite3.connect(f"{alone.as_uri()}?immutable=1", uri=True)
    (count,) = connection.execute("SELECT count(*) FROM task").fetchone()
    connection.close()
    return int(count)


async def test_what_is_committed_comes_into_the_file_long_before_a_commit_has_to_see_to_it(
    sqlite_database: Database, clock: StoppedClock, tmp_path: Path
) -> None:
    assert isinstance(sqlite_database, SQLite)
    async with SqlStore(sqlite_database, clock) as store:
        for _ in range(OFTEN // ROWS):
            await submitted(store)

        async def moved() -> bool:
            await store.counts()
            return in_the_file(sqlite_database, tmp_path) > 0

        assert await eventually(moved)
    assert in_the_file(sqlite_database, tmp_path) == OFTEN // ROWS, "the last one to close moves the rest"


async def test_where_it_cannot_now_it_does_the_next_time(
    sqlite_database: Database, clock: StoppedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(sqlite_database, SQLite)
    backfill, connect, refused = Backfill(sqlite_database), sqlite_database.connect, list[str]()

    def refuse(*, read_only: bool = False) -> sqlite3.Connection:
        if refused:
            return connect(read_only=read_only)
        refused.append("once")
        raise StoreUnavailable("The disk of the database is full; nothing was changed.")

    async with SqlStore(sqlite_database, clock) as store:
        await submitted(store)
        monkeypatch.setattr(sqlite_database, "connect", refuse)
        backfill.start()

        async def moved() -> bool:
            await store.counts()
            backfill.committed(OFTEN)
            return in_the_file(sqlite_database, tmp_path) == 1

        with capture_logs() as logs:
            assert await eventually(moved)
        await backfill.stop()
    assert [entry["error"] for entry in logs if entry["event"] == "log_not_moved"] == ["StoreUnavailable"]
    assert refused == ["once"]
