"""The clock that replicas share: that of the database, as far as one can tell from answers that take time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from core.clock import SharedClock, SystemClock, in_step, seconds
from core.errors import StoreUnavailable
from core.store.sql import SqlStore
from tests.contracts.conftest import on
from tests.world import PATIENCE, START, Board

if TYPE_CHECKING:
    from core.store.database import Database


class Counter:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def clock(counter: Counter) -> SharedClock:
    return SharedClock(seconds=counter)


def ago(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_until_it_is_told_it_is_the_machines(clock: SharedClock) -> None:
    assert abs(clock.now() - datetime.now(UTC)) < ago(60)


def test_what_it_counts_is_no_other_when_it_is_told_another_time(
    clock: SharedClock, counter: Counter
) -> None:
    clock.told(START, counter.at, counter.at)
    before = clock.steady()
    counter.at += 2.5
    clock.told(START - timedelta(hours=6), counter.at, counter.at)
    assert clock.steady() - before == ago(2.5)


def test_the_machines_counts_on() -> None:
    clock = SystemClock()
    assert clock.steady() <= clock.steady()


def test_it_goes_on_from_what_it_was_told(clock: SharedClock, counter: Counter) -> None:
    clock.told(START, counter.at, counter.at)
    assert clock.now() == START
    counter.at += 2.5
    assert clock.now() == START + ago(2.5)


def test_it_is_never_ahead_however_long_the_answer_took(clock: SharedClock, counter: Counter) -> None:
    """The database may have read its clock at the last moment before the answer came."""
    clock.told(START, 100.0, 103.0)
    counter.at = 103.0
    assert clock.now() == START


def test_a_slow_answer_does_not_set_it_back_and_a_quick_one_sets_it_right(
    clock: SharedClock, counter: Counter
) -> None:
    clock.told(START, 100.0, 103.0)
    counter.at = 110.0
    clock.told(START + ago(9), 109.0, 110.0)
    assert clock.now() == START + ago(9), "it was 2 s behind"
    counter.at = 120.0
    clock.told(START + ago(18), 117.0, 120.0)
    assert clock.now() == START + ago(19), "which the slow answer says too, for all that it knows"


@pytest.mark.parametrize("by", [-40.0, 40.0])
def test_it_follows_where_the_databases_clock_is_set(clock: SharedClock, counter: Counter, by: float) -> None:
    clock.told(START, 100.0, 100.0)
    counter.at = 110.0
    clock.told(START + ago(10 + by), 110.0, 110.0)
    assert clock.now() == START + ago(10 + by)


class Told(Board):
    """A database whose clock is asked, and which is away at times."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_away = False

    async def time(self) -> tuple[datetime, float, float]:
        self.asked += 1
        self.change()
        if self.is_away:
            raise StoreUnavailable("away")
        return START + timedelta(hours=self.asked), 100.0, 100.0


async def test_it_is_asked_again_and_again_also_after_an_outage(clock: SharedClock) -> None:
    told, pauses = Told(), asyncio.Semaphore(0)
    with capture_logs() as logs:
        async with in_step(clock, told, pause=lambda _: pauses.acquire()):
            assert clock.now() == START + timedelta(hours=1)
            told.is_away = True
            pauses.release()
            await told.until(lambda: told.asked == 2)
            told.is_away = False
            pauses.release()
            await told.until(lambda: told.asked == 3)
            await asyncio.sleep(0)
            assert [(line["event"], line.get("over")) for line in logs] == [
                ("clock_not_compared", None),
                ("clock_not_compared", True),
            ]
            assert clock.now() == START + timedelta(hours=3)


async def test_who_cannot_ask_at_first_does_not_start(clock: SharedClock) -> None:
    told = Told()
    told.is_away = True
    with pytest.raises(StoreUnavailable):
        async with in_step(clock, told):
            raise AssertionError


async def test_the_database_says_its_time(postgres_database: Database) -> None:
    clock = SharedClock()
    async with SqlStore(postgres_database, clock, replica="r" * 32) as store:
        before = seconds()
        told, asked, answered = await store.time()
        assert before <= asked <= answered <= seconds()
        async with in_step(clock, store):
            [(earlier,)] = on(postgres_database, "SELECT clock_timestamp()")
            now = clock.now()
            [(later,)] = on(postgres_database, "SELECT clock_timestamp()")
    assert told <= earlier
    assert now <= later


async def test_a_defect_does_not_end_the_comparing_of_clocks() -> None:
    class Broken:
        def __init__(self) -> None:
            self.asked, self.went_on = 0, asyncio.Event()

        async def time(self) -> tuple[datetime, float, float]:
            self.asked += 1
            if self.asked == 2:
                raise ZeroDivisionError
            if self.asked > 3:
                self.went_on.set()
            return datetime(2026, 1, 1, tzinfo=UTC), 0.0, 0.0

    async def pause(_: float) -> None:
        await asyncio.sleep(0)

    store = Broken()
    with capture_logs() as logs:
        async with asyncio.timeout(PATIENCE), in_step(SharedClock(seconds=lambda: 0.0), store, pause=pause):
            await store.went_on.wait()
    assert [(line["event"], line["error"]) for line in logs] == [("clock_not_compared", "ZeroDivisionError")]
