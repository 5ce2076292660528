"""Groups of units that fail: in a unit, at the commit, with the connection, with the disk."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sqlite3
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url
from structlog.testing import capture_logs

from core.errors import CountersignError, Invalid, NotFound, Overloaded, StoreUnavailable
from core.store import credentials, lane
from core.store.database import database
from core.store.lane import BESIDE_URGENT, URGENT, Lane
from core.store.postgresql import conninfo
from core.store.schema import migrate
from core.store.sql import SqlStore
from core.store.sqlite import SQLite
from tests import disks
from tests.contracts.lanes import Told, Unit, cut_off, in_one_group, kept
from tests.contracts.steps import submitted
from tests.world import PATIENCE, SAM, Diary, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import FrameType

    from core.model import ChannelName, Position, StoredEvent
    from core.store.database import Database
    from core.store.transaction import Transaction
    from tests.world import StoppedClock


OTHERS = b"""
SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND client_port IS NOT NULL
"""


@pytest.fixture
async def writer(any_database: Database, clock: StoppedClock, told: Told) -> AsyncIterator[Lane]:
    started = Lane(any_database, clock, writes=True, committed=told)
    started.start()
    yield started
    await started.stop()


def nothing(tx: Transaction) -> None:
    """Neither reads nor writes."""


async def test_a_lane_that_hangs_in_the_database_does_not_hang_the_stop(
    any_database: Database, clock: StoppedClock, told: Told
) -> None:
    hanging = Lane(any_database, clock, writes=True, committed=told)
    hanging.start()
    unit = Unit("a", 1)
    unit.hold = threading.Event()
    answer = asyncio.ensure_future(hanging.run(unit))
    await asyncio.to_thread(unit.holding.wait, PATIENCE)
    with capture_logs() as logged:
        await hanging.stop(within=timedelta(milliseconds=10))
    assert [(line["event"], line["lane"]) for line in logged] == [("lane_would_not_stop", "store-write")]
    unit.hold.set()
    await asyncio.wait_for(answer, PATIENCE)
    await hanging.stop()


async def test_a_unit_that_raises_after_a_write_takes_no_other_with_it(writer: Lane, told: Told) -> None:
    units = [Unit("1", 1), Unit("2", 2, after=Invalid("no")), Unit("3", 3)]
    answers = await in_one_group(writer, units)
    assert answers[0] == "1"
    assert isinstance(answers[1], Invalid)
    assert answers[2] == "3"
    assert await writer.run(kept) == {"1", "3"}
    assert told.seqs == [0, 1, 3]
    assert units[0].runs == 2, "the group was rolled back and each was run alone"


async def test_a_refusal_before_the_first_write_leaves_its_group_alone(writer: Lane, told: Told) -> None:
    units = [Unit("1", 1), Unit("2", 2, before=NotFound("none")), Unit("3", 3)]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [str, NotFound, str]
    assert [unit.runs for unit in units] == [1, 1, 1]
    assert told.seqs == [0, 1, 3]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_defect_in_a_unit_reaches_its_caller_only(writer: Lane, told: Told, when: str) -> None:
    broken = Unit("2", 2, **{when: ZeroDivisionError("a defect")})
    answers = await in_one_group(writer, [Unit("1", 1), broken, Unit("3", 3)])
    assert [type(answer) for answer in answers] == [str, ZeroDivisionError, str]
    assert await writer.run(kept) == {"1", "3"}
    assert told.seqs == [0, 1, 3]


async def test_a_broken_statement_reaches_its_caller_only(writer: Lane) -> None:
    def broken(tx: Transaction) -> str:
        credentials.secret(tx, "2")
        tx.insert(credentials.INSERT_SECRET, name="2", value=b"again")
        return "2"

    first, second, third = await asyncio.gather(
        writer.run(Unit("1", 1)), writer.run(broken), writer.run(Unit("3", 3)), return_exceptions=True
    )
    assert (first, third) == ("1", "3")
    assert type(second).__name__ in {"IntegrityError", "UniqueViolation"}
    assert await writer.run(kept) == {"1", "3"}


async def test_nothing_is_told_before_it_is_committed(any_database: Database, clock: StoppedClock) -> None:
    seen: list[set[str]] = []
    reader = Lane(any_database, clock, writes=False, committed=Told())
    reader.start()

    def look(
        events: list[StoredEvent], due: set[ChannelName], positions: list[Position], left: set[str]
    ) -> None:
        looking.append(asyncio.ensure_future(reader.run(kept)))

    looking: list[asyncio.Future[set[str]]] = []
    writer = Lane(any_database, clock, writes=True, committed=look)
    writer.start()
    for name in "123":
        await writer.run(Unit(name, int(name)))
    seen = [await future for future in looking]
    assert [len(found & set("123")) >= number for number, found in enumerate(seen, 1)] == [True] * 3
    for each in (writer, reader):
        await each.stop()


async def test_a_reader_cannot_write(postgres_database: Database, clock: StoppedClock) -> None:
    """SQLite's BEGIN has no READ ONLY; the same units are read there."""
    reader = Lane(postgres_database, clock, writes=False, committed=Told())
    reader.start()
    with pytest.raises(CountersignError):
        await reader.run(Unit("1", 1))
    await reader.stop()


async def test_what_is_urgent_waits_for_nothing_that_has_not_begun(writer: Lane) -> None:
    order: list[str] = []

    async def asked(name: str, *, urgent: bool = False) -> None:
        await writer.run(Unit(name, 1), urgent=urgent)
        order.append(name)

    first = Unit("first", 0)
    first.hold = threading.Event()
    holding = asyncio.ensure_future(writer.run(first))
    await asyncio.to_thread(first.holding.wait, PATIENCE)
    waiting = [asyncio.ensure_future(asked(str(number))) for number in range(300)]
    await asyncio.sleep(0)
    waiting += [asyncio.ensure_future(asked(name, urgent=True)) for name in ("ana", "ben")]
    await asyncio.sleep(0)
    first.hold.set()
    await asyncio.gather(holding, *waiting)
    assert order[:2] == ["ana", "ben"], "in the order in which they came"
    assert order[2:] == [str(number) for number in range(300)]


async def test_what_is_urgent_is_finished_before_a_stop(any_database: Database, clock: StoppedClock) -> None:
    lane = Lane(any_database, clock, writes=True, committed=Told())
    lane.start()
    asked = [asyncio.ensure_future(lane.run(Unit(name, 1), urgent=True)) for name in "123"]
    await asyncio.sleep(0)
    await lane.stop()
    assert await asyncio.gather(*asked) == list("123")


async def test_many_that_are_urgent_are_in_commits_of_a_few(writer: Lane) -> None:
    count = 3 * URGENT + 1
    first = Unit("first", 0)
    first.hold = threading.Event()
    holding = asyncio.ensure_future(writer.run(first))
    await asyncio.to_thread(first.holding.wait, PATIENCE)
    asked = [asyncio.ensure_future(writer.run(nothing, urgent=True)) for _ in range(count)]
    await asyncio.sleep(0)
    assert writer.waiting == count
    first.hold.set()
    await asyncio.gather(holding, *asked)
    assert writer.waiting == 0
    assert (sum(writer.groups.counts), writer.groups.sum) == (5, count + 1)


async def test_however_many_are_urgent_some_others_are_in_each_commit(writer: Lane) -> None:
    """As if whoever decides asked again at once, for ever."""
    order: list[str] = []

    async def asked(name: str, *, urgent: bool) -> None:
        await writer.run(nothing, urgent=urgent)
        order.append(name)

    first = Unit("first", 0)
    first.hold = threading.Event()
    holding = asyncio.ensure_future(writer.run(first))
    await asyncio.to_thread(first.holding.wait, PATIENCE)
    urgent = [asyncio.ensure_future(asked("urgent", urgent=True)) for _ in range(3 * URGENT)]
    others = [asyncio.ensure_future(asked("other", urgent=False)) for _ in range(URGENT)]
    await asyncio.sleep(0)
    first.hold.set()
    await asyncio.gather(holding, *urgent, *others)
    firsts = [order.index("other"), order.index("other", 2 * URGENT)]
    assert firsts == [URGENT, 2 * URGENT + BESIDE_URGENT]


class Interleaving:
    """Holds a lane's thread up before one line of its own, until somebody has acted on the event loop."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._loop = asyncio.get_running_loop()
        self._source = lane.__file__
        lines = Path(self._source).read_text().splitlines()
        self._rests = next(number for number, line in enumerate(lines, 1) if ".get()" in line)
        self._left = -1
        self._past = asyncio.Event()
        self._is_at_rest = False
        self._has_run = False
        self.has_acted = False

    def unit(self, _: Transaction) -> None:
        """Neither reads nor writes; what the thread does until it has run this is no way past it."""
        self._has_run = True

    async def before(self, line: int) -> None:
        """So many lines from now, unless the thread comes to its rest before that, the unit done."""
        await eventually(self._rested)  # else what it has still to do of the last time would count
        self._past.clear()
        self._has_run = self.has_acted = False
        self._left = line

    async def _rested(self) -> bool:
        await asyncio.sleep(0)
        return self._is_at_rest

    async def past(self) -> bool:
        """Whether there was such a line."""
        await self._past.wait()
        return self.has_acted

    def __call__(self, frame: FrameType, event: str, _: object) -> Interleaving | None:
        if frame.f_code.co_filename != self._source:
            return None
        if event == "line":
            self._is_at_rest = frame.f_lineno == self._rests
            if self._left >= 0:
                self._count()
        return self

    def _count(self) -> None:
        self.has_acted = self._left == 0
        self._left -= 1
        if self.has_acted:
            acted = threading.Event()
            self._loop.call_soon_threadsafe(self._acting, acted)
            acted.wait(PATIENCE)
        elif self._is_at_rest and self._has_run:
            self._left = -1
            self._loop.call_soon_threadsafe(self._past.set)

    def _acting(self, acted: threading.Event) -> None:
        self._act()
        # What the act has begun comes first.
        self._loop.call_soon(acted.set)
        self._loop.call_soon(self._past.set)


async def test_what_becomes_urgent_at_any_moment_of_the_thread_is_not_forgotten(
    any_database: Database, clock: StoppedClock
) -> None:
    def press() -> None:
        pressed.append(asyncio.ensure_future(looking.run(nothing, urgent=True)))

    looking = Lane(any_database, clock, writes=False, committed=Told())
    pressed: list[asyncio.Future[None]] = []
    interleaving = Interleaving(press)
    threading.settrace(interleaving)
    looking.start()
    threading.settrace(None)
    async with asyncio.timeout(PATIENCE):
        line, is_past = 0, True
        while is_past:
            await interleaving.before(line)
            await looking.run(interleaving.unit)
            is_past = await interleaving.past()
            await asyncio.gather(*pressed)
            line += 1
    assert line > 20
    await looking.stop()


async def test_a_caller_who_leaves_does_not_undo_the_unit(writer: Lane) -> None:
    first = Unit("1", 1)
    first.hold = threading.Event()
    asked = asyncio.ensure_future(writer.run(first))
    await asyncio.to_thread(first.holding.wait, PATIENCE)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    first.hold.set()
    assert await writer.run(kept) == {"1"}


async def test_what_waits_is_finished_before_the_lane_stops_and_nothing_hangs_after(
    any_database: Database, clock: StoppedClock
) -> None:
    writer = Lane(any_database, clock, writes=True, committed=Told())
    writer.start()
    asked = [asyncio.ensure_future(writer.run(Unit(name, 1))) for name in "12345"]
    await asyncio.sleep(0)
    await writer.stop()
    assert await asyncio.gather(*asked) == list("12345")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(StoreUnavailable):
            await writer.run(kept)


async def test_more_than_may_wait_is_refused(writer: Lane) -> None:
    first = Unit("first", 0)
    first.hold = threading.Event()
    holding = asyncio.ensure_future(writer.run(first))
    await asyncio.to_thread(first.holding.wait, PATIENCE)
    asked = [asyncio.ensure_future(writer.run(nothing)) for _ in range(lane.WAITING + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await asked[-1]
    first.hold.set()
    await asyncio.gather(holding, *asked[:-1])


async def test_submissions_are_refused_long_before_decisions(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(sqlite_database, clock) as store:
        made = await asyncio.gather(*(submitted(store) for _ in range(3_000)), return_exceptions=True)
        refused = [answer for answer in made if isinstance(answer, Overloaded)]
        assert refused
        assert len(made) - len(refused) >= 1_000
        await store.check()


async def test_a_lane_whose_loop_is_gone_ends(sqlite_database: Database, clock: StoppedClock) -> None:
    unit = Unit("1", 1)
    unit.hold = threading.Event()

    def other_loop() -> threading.Thread:
        async def leave() -> threading.Thread:
            writer = Lane(sqlite_database, clock, writes=True, committed=Told())
            writer.start()
            asyncio.ensure_future(writer.run(unit)).add_done_callback(lambda done: done.cancelled())
            await asyncio.to_thread(unit.holding.wait, PATIENCE)
            return next(t for t in threading.enumerate() if t.name == "store-write" and t not in before)

        before = set(threading.enumerate())
        return asyncio.run(leave())

    thread = await asyncio.to_thread(other_loop)
    unit.hold.set()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()


# Locks


async def test_a_locked_file_is_refused_in_time_and_recovers_by_itself(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    path = sqlite_database.url.database
    assert path is not None
    async with SqlStore(sqlite_database, clock) as store:
        diary = Diary()
        store.listen(diary)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = monotonic()
        first = asyncio.ensure_future(submitted(store))
        await asyncio.to_thread(threading.Event().wait, 0.3)  # the first one's wait has begun
        late = [asyncio.ensure_future(submitted(store)) for _ in range(5)]
        answers = await asyncio.gather(first, *late, return_exceptions=True)
        assert monotonic() - began < 4, "one wait of two seconds for all of them"
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert "locked" in str(answers[0])
        assert diary.events == []
        with pytest.raises(StoreUnavailable):
            await store.check()
        other.execute("ROLLBACK")
        other.close()
        await store.check()
        task = await submitted(store)
        assert len(await store.events(task.id, 0)) == 1
        assert len((await store.counts()).keys()) == 1


async def test_a_lock_that_is_given_back_in_time_is_waited_for(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    path = sqlite_database.url.database
    assert path is not None
    async with SqlStore(sqlite_database, clock) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        asked = asyncio.ensure_future(submitted(store))
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
        other.execute("ROLLBACK")
        other.close()
        assert (await asked).submitter == SAM.id


# A full disk


async def test_a_full_disk_is_refused_and_recovers_by_itself(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(sqlite_database, clock) as store:
        kept_task = await submitted(store)
        diary = Diary()
        store.listen(diary)
        await store._write.run(_page_limit(0))
        with pytest.raises(StoreUnavailable, match="full"):
            await submitted(store, "x" * 1_000_000)
        assert diary.events == []
        # The connection was thrown away, and the limit with it: the disk has room again.
        await store.check()
        await submitted(store, "x" * 1_000_000)
        assert len(await store.events(kept_task.id, 0)) == 1


def _page_limit(pages: int) -> Callable[[Transaction], None]:
    def limit(tx: Transaction) -> None:
        # SQLite raises a limit below the present size to it: no page more may be had.
        tx._cursor.execute(f"PRAGMA max_page_count = {pages or 1}", {})

    return limit


async def test_a_disk_that_stays_full_is_refused_until_it_has_room(
    small_disk: Path, clock: StoppedClock, migrated_file: Path
) -> None:
    import shutil

    path = small_disk / "countersign.db"
    shutil.copy(migrated_file, path)
    async with SqlStore(database(f"sqlite:///{path}"), clock) as store:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 2_000_000)
        small = await submitted(store)
        acknowledged = [small.id]
        refused = 0
        for _ in range(40):
            try:
                acknowledged.append((await submitted(store, "y" * 100_000)).id)
            except StoreUnavailable:
                refused += 1
        assert refused > 10
        with pytest.raises(StoreUnavailable):
            await submitted(store, "y" * 300_000)
        for task in acknowledged:
            assert (await store.task(task)).id == task
        ballast.unlink()
        acknowledged.append((await submitted(store, "y" * 100_000)).id)
        await store.check()
        listed = await store.counts()
        assert sum(listed.values()) == len(acknowledged), "nothing that was refused is there"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    with disks.small_disk(place, "4m", unseen="that a full disk refuses tasks and loses none of SQLite's."):
        yield place


async def test_a_file_that_cannot_be_opened_is_refused_with_a_sentence(
    tmp_path: Path, clock: StoppedClock
) -> None:
    for content in (None, b"this is not a database" * 100):
        path = tmp_path / "x.db"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StoreUnavailable, match=r"x\.db"):
            async with SqlStore(database(f"sqlite:///{path}"), clock):
                pass
        assert path.exists() == (content is not None), "opening makes no file"


def test_of_a_file_that_is_no_database_no_connection_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[sqlite3.Connection] = []

    class Noted(sqlite3.Connection):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    path = tmp_path / "x.db"
    path.write_bytes(b"this is not a database" * 100)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Noted))
    with pytest.raises(StoreUnavailable):
        database(f"sqlite:///{path}").connect()
    (connection,) = made
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.cursor()


async def test_a_file_that_was_moved_away_or_replaced_takes_nothing_until_it_is_back(
    sqlite_database: Database, tmp_path: Path, clock: StoppedClock
) -> None:
    """What was acknowledged then would lie in a file that nobody ever opens again."""
    assert isinstance(sqlite_database, SQLite)
    path, aside, backup = sqlite_database.path, tmp_path / "aside.db", tmp_path / "backup.db"
    shutil.copy(path, backup)
    async with SqlStore(sqlite_database, clock) as store:
        await submitted(store)
        path.rename(aside)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await submitted(store)
        shutil.copy(backup, path)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="moved or replaced"):
                await submitted(store)
        with pytest.raises(StoreUnavailable, match="moved or replaced"):
            await store.check()
        aside.rename(path)
        await submitted(store)
        assert sum((await store.counts()).values()) == 2


# A lost connection


async def test_a_connection_that_was_lost_while_nobody_used_it_is_made_again_and_nobody_is_told(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(postgres_database, clock) as store:
        await submitted(store)
        cut_off(postgres_database)
        answers = await asyncio.gather(submitted(store), submitted(store), store.counts())
        assert sum(answers[2].values()) in {1, 2, 3}
        assert sum((await store.counts()).values()) == 3


async def test_nor_is_anybody_where_the_server_ends_what_was_idle_for_long(
    empty_postgres: Callable[[], str], clock: StoppedClock
) -> None:
    url = make_url(empty_postgres())
    migrate(database(url.render_as_string(hide_password=False)))
    limited = url.update_query_dict({"options": "-c idle_session_timeout=1000"})
    async with SqlStore(database(limited.render_as_string(hide_password=False)), clock) as store:
        await submitted(store)
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as other:
            until = monotonic() + PATIENCE
            while other.execute(OTHERS).fetchall():
                assert monotonic() < until
        assert sum((await store.counts()).values()) == 1
        await submitted(store)


async def test_a_connection_that_is_lost_under_a_unit_costs_it_a_second_run_and_no_third(
    postgres_database: Database, clock: StoppedClock
) -> None:
    def cut(tx: Transaction) -> None:
        runs.append(1)
        cut_off(postgres_database)
        kept(tx)

    runs: list[int] = []
    writer = Lane(postgres_database, clock, writes=True, committed=Told())
    writer.start()
    with pytest.raises(StoreUnavailable):
        await writer.run(cut)
    assert len(runs) == 2
    assert await writer.run(Unit("1", 1)) == "1"
    await writer.stop()


async def test_a_reader_is_well_again_after_an_outage(
    any_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Lane(any_database, clock, writes=False, committed=Told())
    reader.start()
    reader._session.disconnect()
    with monkeypatch.context() as away:
        away.setattr(any_database, "connect", unreachable)
        with pytest.raises(StoreUnavailable):
            await reader.run(kept)
        assert reader.failing
    await reader.run(kept)
    assert not reader.failing
    await reader.stop()


async def test_the_end_of_an_outage_is_told_by_a_writer_that_has_nothing_to_write(
    any_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be reached and now it can: that says enough, as whoever waits for a lease never writes."""
    writer = Lane(any_database, clock, writes=True, committed=Told(), name="leases")
    writer.start()
    writer._session.disconnect()
    with capture_logs() as logs:
        with monkeypatch.context() as away:
            away.setattr(any_database, "connect", unreachable)
            with pytest.raises(StoreUnavailable):
                await writer.run(kept)
            assert writer.failing
        await writer.run(kept)
        assert not writer.failing
    said = [(line["event"], line["lane"]) for line in logs if "lane" in line]
    assert said == [("group_failed", "store-leases"), ("groups_done_again", "store-leases")]
    await writer.stop()


def unreachable() -> NoReturn:
    raise StoreUnavailable("It is away.")


async def test_a_server_that_is_away_is_refused_with_a_sentence(clock: StoppedClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StoreUnavailable):
        async with SqlStore(database(f"postgresql://u@127.0.0.1:{port}/x"), clock):
            pass


class Cutter:
    """A loopback proxy before a PostgreSQL server that cuts the connection at the first COMMIT.

    `deliver`: the COMMIT still reaches the server, only its answer is lost.
    """

    def __init__(self, host: str, port: int, *, deliver: bool) -> None:
        """The server's; a folder is that of its socket."""
        self._host, self._at, self._deliver = host, port, deliver
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = self._connected()
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _connected(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._at))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._host}/.s.PGSQL.{self._at}")
        return server

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            if b"COMMIT" in data and not self.cuts:  # prepared and run in one
                self.cuts += 1
                _end(client)
                if self._deliver:
                    server.sendall(data)
                    _received(server)
                break
            server.sendall(data)
        _end(server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            try:
                client.sendall(data)
            except OSError:
                return
        _end(client)

    def close(self) -> None:
        self._listening.close()


def _received(from_: socket.socket) -> bytes:
    try:
        return from_.recv(65536)
    except OSError:
        return b""


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.mark.parametrize("deliver", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    postgres_database: Database, clock: StoppedClock, deliver: bool
) -> None:
    where = conninfo_to_dict(conninfo(postgres_database))
    cutter = Cutter(str(where["host"]), int(where.get("port") or 5432), deliver=deliver)
    plain = {"sslmode": "disable", "gssencmode": "disable"}
    through = postgres_database.url.set(host="127.0.0.1", port=cutter.port, query=plain)
    async with SqlStore(database(through.render_as_string(hide_password=False)), clock) as store:
        diary = Diary()
        store.listen(diary)
        if deliver:
            task = await submitted(store)
            assert (await store.task(task.id)).id == task.id
            assert len(diary.events) == 1
        else:
            with pytest.raises(StoreUnavailable):
                await submitted(store)
            assert sum((await store.counts()).values()) == 0
            assert diary.events == []
            await submitted(store)
        assert cutter.cuts == 1
    cutter.close()
