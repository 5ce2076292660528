"""How long a backup is waited for: while it goes on, however big the database is."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.errors import StoreUnavailable, Unavailable
from core.store import backup
from core.store.sql import SqlStore
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import BinaryIO

    from core.store.backup import Going
    from core.store.database import Database
    from core.store.sqlite import SQLite
    from tests.world import StoppedClock


class Seconds:
    """Those that a copy is measured by; they pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self._moved = threading.Condition()

    def __call__(self) -> float:
        with self._moved:
            self.asked += 1
            self._moved.notify_all()
            return self.now

    def pass_by(self, seconds: float) -> None:
        """And be looked at."""
        with self._moved:
            self.now += seconds
            seen = self.asked + 1
            self._moved.wait_for(lambda: self.asked >= seen, PATIENCE)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    made = Seconds()
    monkeypatch.setattr(backup, "seconds", made)
    monkeypatch.setattr(backup, "LOOKS", timedelta(milliseconds=1))
    return made


@pytest.fixture
async def store(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[SqlStore]:
    async with SqlStore(sqlite_database, clock) as started:
        yield started


async def test_a_copy_that_goes_on_is_waited_for_however_long(
    store: SqlStore, time: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = backup.copied

    def slowly(database: SQLite, going: Going) -> BinaryIO:
        for left in range(9, 0, -1):
            going.step(0, left, 9)
            time.pass_by(59)
        return copied(database, going)

    monkeypatch.setattr(backup, "copied", slowly)
    async with store.backup() as copy:
        assert copy.size
    assert time.now > 8 * 60


async def test_a_copy_that_stands_still_is_given_up_and_leaves_the_place_to_the_next(
    store: SqlStore, time: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where SQLite waits for the file for ever: it says so at each try, and copies nothing."""
    copied = backup.copied

    def still(_: SQLite, going: Going) -> BinaryIO:
        while True:
            going.step(0, 7, 9)
            if not going.stop.is_set():
                time.pass_by(20)

    monkeypatch.setattr(backup, "copied", still)
    with pytest.raises(StoreUnavailable, match="stood still"):
        async with store.backup():
            pytest.fail("it was never made")
    monkeypatch.setattr(backup, "copied", copied)
    await _taken(store)


async def _taken(store: SqlStore) -> None:
    """As soon as the thread of the one before has ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with store.backup() as copy:
                    assert copy.size
                    return
            except Unavailable as error:
                assert str(error) == backup.BUSY  # noqa: PT017 - the next try is to come
                await asyncio.sleep(0)


async def test_a_disk_that_brings_nothing_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "STANDS_STILL", timedelta(0))
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        pieces = backup.FileCopy(file).pieces()
        with pytest.raises(TimeoutError):
            await anext(pieces)
        os.close(writing)


async def test_one_that_the_disk_holds_up_keeps_the_place_until_its_threads_are_free(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are few of them for all that waits for files and names."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb"):
        with monkeypatch.context() as held_up:
            held_up.setattr(backup, "copied", lambda *_: os.fdopen(reading, "rb"))
            async with store.backup() as copy:
                held_up.setattr(backup, "STANDS_STILL", timedelta(0))
                pieces = copy.pieces()
                with pytest.raises(TimeoutError):
                    await anext(pieces)
        for _ in range(9):  # as often as the loop takes to hear of what ends at once
            await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=backup.BUSY):
            async with store.backup():
                pytest.fail("its threads are held up still")
    await _taken(store)
