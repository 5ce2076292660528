"""What a lane says of an outage, to metrics and in the log: one beginning, one end, and no end in between."""

from __future__ import annotations

from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from core.errors import StoreUnavailable
from core.store import credentials, pipeline
from core.store.lane import Lane
from core.store.postgresql import conninfo
from core.store.sql import SqlStore
from core.store.statements import Statement
from tests.contracts.lanes import Told, Unit, cut_off, kept
from tests.contracts.steps import submitted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping

    from core.store.database import Database
    from core.store.transaction import Transaction
    from tests.world import StoppedClock

BEGUN, ENDED = "group_failed", "groups_done_again"


@pytest.fixture
async def waiter(postgres_database: Database, clock: StoppedClock) -> AsyncIterator[Lane]:
    """A lane that may write, and of whoever waits for a lease that another holds never does."""
    started = Lane(postgres_database, clock, writes=True, committed=Told(), name="leases")
    started.start()
    yield started
    await started.stop()


@pytest.fixture
def standby(postgres_database: Database) -> Iterator[Callable[[bool], None]]:
    """True: another server takes over, which can be read and takes no changes; False: it may be written."""

    def take_over(is_standby: bool) -> None:
        with psycopg.connect(conninfo(postgres_database), autocommit=True) as admin:
            admin.execute("SET default_transaction_read_only = off")
            name = str(postgres_database.url.database)
            value = "on" if is_standby else "off"
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}".encode())
        cut_off(postgres_database)

    yield take_over
    take_over(False)


def told_of(logs: list[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    return [(line["event"], line["lane"]) for line in logs if line["event"] in {BEGUN, ENDED}]


def nothing(_: Transaction) -> None:
    """Neither reads nor writes."""


def unreachable() -> NoReturn:
    raise StoreUnavailable("It is away.")


@contextmanager
def away(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody is let in any more, and who was in is sent away."""
    cut_off(database)
    with monkeypatch.context() as context:
        context.setattr(database, "connect", unreachable)
        yield


async def test_the_end_of_a_silence_is_told_by_who_only_reads(
    waiter: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nobody had closed the connection does not mean that the server was there."""

    def silent(tx: Transaction) -> None:
        tx._cursor.execute("SELECT pg_sleep(2)", {})

    await waiter.run(kept)
    with capture_logs() as logs:
        with monkeypatch.context() as hasty:
            hasty.setattr(pipeline, "SILENCE", 0.3)
            waiter._session.disconnect()  # the next connection is as hasty
            with pytest.raises(StoreUnavailable):
                await waiter.run(silent)
        assert waiter.failing
        for _ in range(2):
            await waiter.run(kept)
            assert not waiter.failing
    assert told_of(logs) == [(BEGUN, "store-leases"), (ENDED, "store-leases")]


async def test_a_standby_that_can_only_be_read_is_no_end(
    postgres_database: Database,
    waiter: Lane,
    standby: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was said to be the end, and the next that was to be stored began another outage."""
    with capture_logs() as logs:
        with away(postgres_database, monkeypatch), pytest.raises(StoreUnavailable, match="away"):
            await waiter.run(kept)
        standby(True)
        for number in (1, 2):
            assert await waiter.run(kept) == set()
            assert waiter.failing
            with pytest.raises(StoreUnavailable, match="takes no changes"):
                await waiter.run(Unit(str(number), number))
            assert waiter.failing
        standby(False)
        assert await waiter.run(kept) == set()
        assert not waiter.failing
        assert await waiter.run(Unit("3", 3)) == "3"
    assert told_of(logs) == [(BEGUN, "store-leases"), (BEGUN, "store-leases"), (ENDED, "store-leases")]
    reasons = [line["error"] for line in logs if line["event"] == BEGUN]
    assert reasons[0] == "It is away."
    assert "takes no changes" in reasons[1]


async def test_nor_is_a_full_disk_that_can_be_read(
    sqlite_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Any:
        connection = connect()
        connection.cursor().execute("PRAGMA max_page_count = 1", {})  # SQLite raises it to the present size
        return connection

    async def fill() -> None:
        for number in range(10_000):
            await writer.run(partial(credentials.secret, name=f"{number:04}"))

    connect = sqlite_database.connect
    writer = Lane(sqlite_database, clock, writes=True, committed=Told())
    writer.start()
    with capture_logs() as logs:
        with monkeypatch.context() as small:
            small.setattr(sqlite_database, "connect", full)
            writer._session.disconnect()
            with pytest.raises(StoreUnavailable, match="is full"):
                await fill()
            for _ in range(2):
                assert await writer.run(kept) == set()
                await writer.run(nothing)
                assert writer.failing
        writer._session.disconnect()
        await writer.run(kept)
        assert not writer.failing
    assert told_of(logs) == [(BEGUN, "store-write"), (ENDED, "store-write")]
    await writer.stop()


async def test_what_the_database_refuses_for_another_reason_is_no_outage_that_goes_on(
    waiter: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(tx: Transaction) -> None:
        tx.run(Statement(text("DELETE FROM nowhere")))

    waiter._session.failing = True
    monkeypatch.setattr("core.store.session.write_something", refused)
    with capture_logs() as logs:
        await waiter.run(nothing)
    assert not waiter.failing
    assert [line["event"] for line in logs] == ["write_refused"]
    await waiter.run(kept)


async def test_a_lock_on_what_it_tries_does_not_end_it_and_begins_none(
    postgres_database: Database, waiter: Lane
) -> None:
    await waiter.run(credentials.write_something)
    with closing(postgres_database.connect()) as other, capture_logs() as logs:
        looking = other.cursor()
        looking.execute("BEGIN", {})
        looking.execute("SELECT 1 FROM secret WHERE name = 'probe' FOR UPDATE", {})
        waiter._session.failing = True
        await waiter.run(nothing)
        assert waiter.failing
    assert told_of(logs) == []
    await waiter.run(nothing)
    assert not waiter.failing


async def test_whoever_asks_whether_work_can_be_taken_hears_the_same_for_as_long_as_it_cannot(
    postgres_database: Database, clock: StoppedClock, standby: Callable[[bool], None]
) -> None:
    async with SqlStore(postgres_database, clock) as store:
        await submitted(store)
        with capture_logs() as logs:
            standby(True)
            with pytest.raises(StoreUnavailable):
                await submitted(store)
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="takes no changes"):
                    await store.check()
                assert store.lanes["write"].failing
                assert sum((await store.counts()).values()) == 1, "reading goes on"
            assert not store.lanes["read"].failing
            standby(False)
            for _ in range(3):
                await store.check()
                assert not store.lanes["write"].failing
            await submitted(store)
        assert told_of(logs) == [(BEGUN, "store-write"), (ENDED, "store-write")]
