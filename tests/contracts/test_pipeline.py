"""The pipelined cursor on a real PostgreSQL: what it gives back, and what it leaves behind of failures."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from core.errors import Invalid, NotFound, ReviewIsClosed, StoreUnavailable
from core.store import credentials, pipeline
from core.store.pipeline import Pipeline
from core.store.postgresql import LONGEST_TRANSACTION
from tests.contracts.conftest import on
from tests.contracts.lanes import Told, Unit, cut_off, in_one_group, kept
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from core.store.database import Database
    from core.store.lane import Lane
    from core.store.transaction import Transaction

KEEP = "INSERT INTO secret (name, value) VALUES (%(name)s::VARCHAR, %(value)s)"
KEPT = "SELECT value FROM secret WHERE name = %(name)s::VARCHAR"
NAMES = "SELECT name FROM secret ORDER BY name"


@pytest.fixture
def cursor(postgres_database: Database) -> Iterator[Pipeline]:
    with closing(postgres_database.connect()) as connection:
        made = postgres_database.cursor(connection)
        assert isinstance(made, Pipeline)
        yield made


@pytest.fixture
def writer(postgres_writer: Lane) -> Lane:
    return postgres_writer


def state(database: Database, cursor: Pipeline) -> str:
    """What another session sees the cursor's doing."""
    pid = cursor._pgconn.backend_pid
    with closing(database.connect()) as other:
        looking = other.cursor()
        looking.execute("SELECT state FROM pg_stat_activity WHERE pid = %(pid)s", {"pid": pid})
        row = looking.fetchone()
    assert row is not None
    return str(row[0])


# What it gives


@pytest.mark.parametrize(
    "value",
    [0, -1, 2**31, 2**62, "", "100 % %s %(x)s", "🙂 ü \\x00", "x" * 3_000_000, None, b"", b"\0\xff\\x"],
)
def test_a_value_comes_back_as_it_was_sent(cursor: Pipeline, value: Any) -> None:
    kind = {int: "BIGINT", str: "VARCHAR", bytes: "BYTEA"}.get(type(value), "VARCHAR")
    for _ in range(2):  # prepared, then known
        cursor.execute(f"SELECT %(it)s::{kind}, 7 %% 4", {"it": value})
        assert cursor.fetchone() == (value, 3)
        assert cursor.fetchone() is None


def test_text_with_nul_is_refused_and_not_cut(cursor: Pipeline) -> None:
    import psycopg

    with pytest.raises(psycopg.DataError):
        cursor.execute("SELECT %(it)s::VARCHAR", {"it": "before\0after"})
    cursor.execute("SELECT 1", {})
    assert cursor.fetchall() == [(1,)]


def test_answers_nobody_waits_for_do_not_mix_with_the_one_that_is_read(cursor: Pipeline) -> None:
    cursor.begin("BEGIN")
    cursor.executemany(KEEP, [{"name": name, "value": b"1"} for name in "abc"])
    cursor.execute("UPDATE secret SET value = value WHERE name < %(name)s::VARCHAR", {"name": "c"})
    assert cursor.rowcount == 2
    cursor.send(KEEP, {"name": "d", "value": b"2"})
    cursor.execute(NAMES, {})
    assert cursor.fetchone() == ("a",)
    cursor.send(KEEP, {"name": "e", "value": b"3"})
    assert cursor.fetchall() == [("b",), ("c",), ("d",)]
    cursor.execute("COMMIT", {})
    cursor.execute(NAMES, {})
    assert [name for (name,) in cursor.fetchall()] == list("abcde")


def test_more_than_the_sockets_hold_may_be_under_way(cursor: Pipeline) -> None:
    big = b"x" * 500_000
    cursor.begin("BEGIN")
    for number in range(20):
        cursor.send(KEEP, {"name": str(number), "value": big})
        cursor.send(KEPT, {"name": str(number)})
    cursor.execute("SELECT count(*) FROM secret", {})
    assert cursor.fetchone() == (20,)
    cursor.execute("ROLLBACK", {})


def test_a_transaction_is_looked_up_by_its_number(postgres_database: Database, cursor: Pipeline) -> None:
    numbers = []
    for end in ("COMMIT", "ROLLBACK"):
        cursor.begin("BEGIN")
        cursor.send(KEEP, {"name": end, "value": b"1"})
        number = postgres_database.mark(cursor)
        assert number is not None
        numbers.append(number)
        cursor.execute(end, {})
    assert [postgres_database.was_committed(cursor, number) for number in numbers] == [True, False]
    assert state(postgres_database, cursor) == "idle"


@pytest.mark.parametrize("ends", [True, False])
def test_what_the_server_is_still_at_is_not_taken_for_undone(
    postgres_database: Database, cursor: Pipeline, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """It may not have noticed that we are gone; who was told that nothing was changed would do it again."""
    cursor.begin("BEGIN")
    cursor.send(KEEP, {"name": "a", "value": b"1"})
    mark = postgres_database.mark(cursor)
    assert mark is not None

    def meanwhile(_: float) -> None:
        if ends:
            cursor.execute("COMMIT", {})

    monkeypatch.setattr("core.store.postgresql.sleep", meanwhile)
    with closing(postgres_database.connect()) as connection:
        asks = postgres_database.cursor(connection)
        if ends:
            assert postgres_database.was_committed(asks, mark)
        else:
            with pytest.raises(StoreUnavailable, match="still busy"):
                postgres_database.was_committed(asks, mark)


@pytest.mark.parametrize("other", ["10.0.0.9:5432/00000001", "127.0.0.1:5432/00000002"])
def test_another_server_does_not_know_the_number(
    postgres_database: Database, cursor: Pipeline, other: str
) -> None:
    """One that takes over may give the same to another transaction, and say that this is committed."""
    cursor.begin("BEGIN")
    cursor.send(KEEP, {"name": "a", "value": b"1"})
    mark = postgres_database.mark(cursor)
    cursor.execute("COMMIT", {})
    assert mark is not None
    assert re.fullmatch(r"\S+:\d*/[0-9A-F]{8} \d+", mark)
    cursor.server = other
    with pytest.raises(StoreUnavailable):
        postgres_database.was_committed(cursor, mark)


def test_a_server_that_does_not_tell_its_timeline_is_used_all_the_same(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.store.postgresql.TIMELINE", "SELECT pg_not_offered_here()")
    with closing(postgres_database.connect()) as connection:
        told = postgres_database.cursor(connection)
        told.execute("SELECT 1", {})
        assert told.fetchone() == (1,)


def test_reading_leaves_no_transaction_open(postgres_database: Database, cursor: Pipeline) -> None:
    for _ in range(2):
        postgres_database.begin(cursor, writes=False)
        cursor.execute(NAMES, {})
        assert state(postgres_database, cursor) == "active"
        postgres_database.leave(cursor)
        seen = (state(postgres_database, cursor) for _ in range(1_000))
        assert next(one for one in seen if one != "active") == "idle", "though nothing more was sent"


# What fails


def test_a_failure_is_raised_by_the_next_wait_and_undone_by_a_rollback(cursor: Pipeline) -> None:
    import psycopg

    cursor.begin("BEGIN")
    cursor.send(KEEP, {"name": "a", "value": b"1"})
    cursor.send(KEEP, {"name": "a", "value": b"2"})
    cursor.send(KEEP, {"name": "b", "value": b"3"})
    with pytest.raises(psycopg.errors.UniqueViolation):
        cursor.execute(NAMES, {})
    cursor.execute("ROLLBACK", {})
    cursor.execute(NAMES, {})
    assert cursor.fetchall() == []


def test_a_failure_that_the_commit_finds_is_not_committed(cursor: Pipeline) -> None:
    import psycopg

    cursor.begin("BEGIN")
    cursor.send(KEEP, {"name": "a", "value": b"1"})
    cursor.send(KEEP, {"name": "a", "value": b"2"})
    with pytest.raises(psycopg.errors.UniqueViolation):
        cursor.execute("COMMIT", {})
    cursor.execute("ROLLBACK", {})
    cursor.execute(NAMES, {})
    assert cursor.fetchall() == []


def test_what_was_to_be_prepared_behind_a_failure_is_prepared_again(cursor: Pipeline) -> None:
    import psycopg

    for _ in range(2):
        cursor.begin("BEGIN")
        cursor.send("SELECT 1 / (%(by)s::INTEGER)", {"by": 0})
        cursor.send(KEEP, {"name": "a", "value": b"1"})
        with pytest.raises(psycopg.errors.DivisionByZero):
            cursor.execute(NAMES, {})
        cursor.execute("ROLLBACK", {})
    with pytest.raises(psycopg.errors.UndefinedTable):
        cursor.execute("SELECT 1 FROM nowhere", {})
    cursor.execute("CREATE TEMPORARY TABLE nowhere ()", {})
    cursor.execute("SELECT 1 FROM nowhere", {})
    cursor.execute(KEEP, {"name": "a", "value": b"1"})
    assert cursor.rowcount == 1


def again(tx: Transaction) -> str:
    """Fails in a statement that is not waited for."""
    tx.insert(credentials.INSERT_SECRET, name="again", value=b"1")
    tx.insert(credentials.INSERT_SECRET, name="again", value=b"2")
    return "again"


def twice(tx: Transaction) -> str:
    """Writes without a wait, twice; nothing is wrong with it."""
    tx.insert(credentials.INSERT_SECRET, name="5", value=b"1")
    tx.insert(credentials.INSERT_SECRET, name="6", value=b"2")
    return "twice"


async def test_whose_statement_failed_alone_is_told_so(writer: Lane) -> None:
    import psycopg

    units: list[Any] = [Unit("1", 1), again, Unit("3", 3), twice]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [str, psycopg.errors.UniqueViolation, str, str]
    assert await writer.run(kept) == {"1", "3", "5", "6"}


async def test_a_failure_that_nobody_of_its_group_waited_for_reaches_no_other(writer: Lane) -> None:
    import psycopg

    units: list[Any] = [twice, again]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [str, psycopg.errors.UniqueViolation]
    assert await writer.run(kept) == {"5", "6"}


async def test_a_refusal_after_a_statement_nobody_waited_for_undoes_it(writer: Lane) -> None:
    def refused(tx: Transaction) -> None:
        assert twice(tx)
        raise Invalid("no")

    units: list[Any] = [Unit("1", 1), refused, Unit("3", 3)]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [str, Invalid, str]
    assert await writer.run(kept) == {"1", "3"}


async def test_a_refusal_does_not_hide_a_failure_before_it(writer: Lane) -> None:
    """The refused unit reads nothing, so the failure comes to light at the commit."""
    import psycopg

    units: list[Any] = [again, Unit("2", 2, before=NotFound("none"))]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [psycopg.errors.UniqueViolation, NotFound]


async def test_what_the_server_undoes_at_the_commit_is_acknowledged_to_nobody(writer: Lane) -> None:
    """To a COMMIT of a transaction that has failed it says ROLLBACK, and that is no failure to it."""
    import psycopg

    def careless(tx: Transaction) -> str:
        twice(tx)
        with suppress(psycopg.errors.UniqueViolation):
            tx.run(credentials.INSERT_SECRET, name="5", value=b"2")
        return "careless"

    units: list[Any] = [Unit("1", 1), careless, Unit("3", 3)]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [str, psycopg.errors.InFailedSqlTransaction, str]
    assert await writer.run(kept) == {"1", "3"}


async def test_a_compare_and_set_that_finds_nothing_is_its_own_units_refusal(writer: Lane) -> None:
    """Whoever waits next hears of it first, and is run apart like the rest of the group."""
    lost = ReviewIsClosed("Somebody else was first.")

    def late(tx: Transaction) -> None:
        twice(tx)
        tx.must(credentials.REPLACE_SECRET, lost, name="nobody's", value=b"1")

    def early(tx: Transaction) -> None:
        tx.must(credentials.REPLACE_SECRET, lost, name="1", value=b"2")

    units: list[Any] = [Unit("1", 1), late, Unit("3", 3)]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [str, ReviewIsClosed, str]
    assert await writer.run(kept) == {"1", "3"}
    with pytest.raises(ReviewIsClosed):
        await writer.run(late)
    await writer.run(early)
    assert await writer.run(kept) == {"1", "3"}


async def test_a_lock_that_another_server_keeps_is_said_at_the_commit(
    postgres_database: Database, writer: Lane
) -> None:
    def wait(tx: Transaction) -> None:
        tx._cursor.execute("SET LOCAL lock_timeout = '10ms'", {})
        tx.send(credentials.REPLACE_SECRET, name="a", value=b"2")

    await writer.run(Unit("a", 1))
    with closing(postgres_database.connect()) as other:
        looking = other.cursor()
        looking.execute("BEGIN", {})
        looking.execute("SELECT 1 FROM secret WHERE name = 'a' FOR UPDATE", {})
        with pytest.raises(StoreUnavailable, match="locked"):
            await writer.run(wait)
        assert not writer.failing, "the database is well"
    await writer.run(wait)


async def test_a_lock_on_what_single_units_touch_keeps_no_other_from_being_run(
    postgres_database: Database, writer: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(tx: Transaction) -> None:
        tx.send(credentials.REPLACE_SECRET, name="a", value=b"2")

    await writer.run(Unit("a", 1))
    monkeypatch.setattr("core.store.lane.LONG", 0.0)  # who waits behind waits for an outage only
    with closing(postgres_database.connect()) as other:
        looking = other.cursor()
        looking.execute("BEGIN", {})
        looking.execute("SELECT 1 FROM secret WHERE name = 'a' FOR UPDATE", {})
        units: list[Any] = [Unit("1", 1), touch, Unit("2", 2), touch, Unit("3", 3)]
        answers = await in_one_group(writer, units)
    assert [answer for answer in answers if isinstance(answer, str)] == ["1", "2", "3"]
    assert [type(answers[number]) for number in (1, 3)] == [StoreUnavailable] * 2
    assert not writer.failing
    assert await writer.run(kept) == {"1", "2", "3"}


async def test_a_lock_on_what_all_units_touch_is_an_outage_and_nobody_waits_for_it_again(
    postgres_database: Database, writer: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(_: Transaction) -> None:
        holding.set()
        held.wait(PATIENCE)

    holding, held = threading.Event(), threading.Event()
    monkeypatch.setattr("core.store.lane.LONG", 0.0)
    with closing(postgres_database.connect()) as other:
        looking = other.cursor()
        looking.execute("BEGIN", {})
        looking.execute("LOCK TABLE secret IN EXCLUSIVE MODE", {})
        first = asyncio.ensure_future(writer.run(hold))
        await asyncio.to_thread(holding.wait, PATIENCE)
        units = [Unit(str(number), number) for number in range(80)]  # 64 in a group, and the rest behind it
        asked = asyncio.gather(*(writer.run(unit) for unit in units), return_exceptions=True)
        await asyncio.sleep(0)
        with capture_logs() as logs:
            held.set()
            await first
            assert {type(answer) for answer in await asked} == {StoreUnavailable}
    (failed,) = [line for line in logs if line["event"] == "group_failed"]
    assert "locked" in failed["error"]
    assert [bool(unit.runs) for unit in units] == [True] * 64 + [False] * 16
    assert writer.failing
    with capture_logs() as logs:
        assert await writer.run(kept) == set()
        assert await writer.run(Unit("1", 1)) == "1"
    assert not writer.failing
    assert [line["refused"] for line in logs if line["event"] == "groups_done_again"] == [80]


async def test_who_has_waited_for_one_lock_waits_for_no_other_as_long(
    postgres_database: Database, writer: Lane
) -> None:
    def refused(tx: Transaction) -> None:
        tx.send(credentials.REPLACE_SECRET, name="a", value=b"2")
        raise Invalid("after a write, so that the group is run apart")

    def touch(tx: Transaction) -> None:
        tx.send(credentials.REPLACE_SECRET, name="b", value=b"2")

    def patience(tx: Transaction) -> str:
        tx._cursor.execute("SHOW lock_timeout", {})
        return str((tx._cursor.fetchone() or [""])[0])

    await writer.run(Unit("b", 1))
    with closing(postgres_database.connect()) as other:
        looking = other.cursor()
        looking.execute("BEGIN", {})
        looking.execute("SELECT 1 FROM secret WHERE name = 'b' FOR UPDATE", {})
        units: list[Any] = [refused, patience, touch, patience]
        answers = await in_one_group(writer, units)
    assert [type(answers[number]) for number in (0, 2)] == [Invalid, StoreUnavailable]
    assert [answers[1], answers[3]] == ["2s", "20ms"]
    assert await writer.run(patience) == "2s"


@pytest.mark.parametrize("cut_in", ["a refusal", "a unit"])
async def test_a_connection_lost_while_a_group_is_run_apart_acknowledges_nothing(
    postgres_database: Database, writer: Lane, told: Told, cut_in: str
) -> None:
    runs: Counter[str] = Counter()

    def refused(tx: Transaction) -> None:
        runs["refused"] += 1
        if runs["refused"] == 1:
            tx.send(credentials.REPLACE_SECRET, name="a", value=b"2")
        elif cut_in == "a refusal":
            cut_off(postgres_database)
        raise Invalid("after a write, so that the group is run apart")

    def cut(tx: Transaction) -> str:
        runs["cut"] += 1
        if runs["cut"] == 2 and cut_in == "a unit":
            cut_off(postgres_database)
        return Unit("2", 2)(tx)

    units: list[Any] = [Unit("1", 1), cut, refused, Unit("3", 3)]
    answers = await in_one_group(writer, units)
    stored = {answer for answer in answers if isinstance(answer, str)}
    assert all(isinstance(answer, (str, Invalid, StoreUnavailable)) for answer in answers)
    assert await writer.run(kept) == stored
    assert {str(seq) for seq in told.seqs if seq} == stored


async def test_a_server_that_stands_still_in_a_transaction_loses_it_and_what_it_had_locked(
    postgres_database: Database, writer: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_still(tx: Transaction) -> None:
        tx._cursor.execute("SELECT 1 FROM secret WHERE name = 'a' FOR UPDATE", {})
        tx._cursor.fetchone()
        with closing(postgres_database.connect()) as other:
            other.cursor().execute("UPDATE secret SET value = '3' WHERE name = 'a'", {})
        tx.send(credentials.REPLACE_SECRET, name="a", value=b"2")

    if not knows_the_limit(postgres_database):
        pytest.skip(
            "Before PostgreSQL 17 there is no limit that holds in a pipeline; not seen: that a server which "
            "stands still loses its transaction and its locks."
        )
    assert await writer.run(limit) == f"{LONGEST_TRANSACTION}s"
    await writer.run(Unit("a", 1))
    monkeypatch.setattr("core.store.postgresql.LONGEST_TRANSACTION", 1)
    writer._session.disconnect()  # the next connection has the shorter limit
    with pytest.raises(StoreUnavailable):
        await writer.run(stand_still)
    monkeypatch.undo()
    assert await writer.run(Unit("b", 1)) == "b"


def knows_the_limit(database: Database) -> bool:
    with closing(database.connect()) as connection:
        looking = connection.cursor()
        looking.execute("SELECT 1 FROM pg_settings WHERE name = 'transaction_timeout'", {})
        return looking.fetchone() is not None


def limit(tx: Transaction) -> str:
    tx._cursor.execute("SHOW transaction_timeout", {})
    row = tx._cursor.fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("at", ["first", "last"])
async def test_a_server_that_goes_in_the_middle_of_a_group_keeps_nothing_of_it(
    postgres_database: Database, writer: Lane, at: str
) -> None:
    def cut(tx: Transaction) -> str:
        tx._cursor.execute("SELECT pg_backend_pid()", {})
        row = tx._cursor.fetchone()
        assert row is not None
        with closing(postgres_database.connect()) as other:
            other.cursor().execute("SELECT pg_terminate_backend(%(pid)s, 1000)", {"pid": row[0]})
        return twice(tx)

    units: list[Any] = [cut, Unit("1", 1)] if at == "first" else [Unit("1", 1), cut]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    assert await writer.run(kept) == set()
    assert await asyncio.gather(*(writer.run(Unit(name, 1)) for name in "78")) == ["7", "8"]


# A server that does not answer, and closes nothing either


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A silent server is given up in no time until this is called: what is to succeed may take its time."""
    long = pipeline.SILENCE
    monkeypatch.setattr(pipeline, "SILENCE", 0.3)
    return lambda: monkeypatch.setattr(pipeline, "SILENCE", long)


SILENT = "SELECT pg_sleep(2)"


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_that(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    with closing(postgres_database.connect()) as connection:
        monkeypatch.setattr(pipeline, "SILENCE", 0.3)
        cursor = postgres_database.cursor(connection)
        with pytest.raises(psycopg.OperationalError, match="did not answer"):
            cursor.execute(SILENT, {})


def test_what_cannot_even_be_sent_is_given_up_as_soon(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reads no more than its sockets hold while it does not answer."""
    import psycopg

    with closing(postgres_database.connect()) as connection:
        monkeypatch.setattr(pipeline, "SILENCE", 0.3)
        cursor = postgres_database.cursor(connection)
        assert isinstance(cursor, Pipeline)
        cursor.begin("BEGIN")
        cursor.send(SILENT, {})
        for number in range(40):
            cursor.send(KEEP, {"name": str(number), "value": b"x" * 500_000})
        with pytest.raises(psycopg.OperationalError, match="did not take"):
            cursor.execute(NAMES, {})


async def test_a_group_whose_server_says_nothing_is_told_and_the_next_has_a_new_connection(
    patient: Callable[[], None], postgres_database: Database, writer: Lane
) -> None:
    def silent(tx: Transaction) -> str:
        twice(tx)
        tx._cursor.execute(SILENT, {})
        raise AssertionError

    before = writer._session.connection
    units: list[Any] = [silent, Unit("1", 1)]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    assert writer.failing
    patient()
    assert await writer.run(Unit("2", 1)) == "2"
    assert await writer.run(kept) == {"2"}
    assert writer._session.connection is not before


HOLD = 4712
HOLD_COMMITS = f"""
CREATE FUNCTION hold_secret() RETURNS trigger AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared({HOLD}); RETURN NULL; END $$ LANGUAGE plpgsql;
CREATE CONSTRAINT TRIGGER hold_secret AFTER INSERT ON secret DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION hold_secret();
"""


@pytest.fixture
def held_commits(postgres_database: Database) -> Iterator[Callable[[], object]]:
    """No COMMIT that keeps a secret is answered until this is called."""
    on(postgres_database, HOLD_COMMITS)
    try:
        with closing(postgres_database.connect()) as hold:
            cursor = hold.cursor()
            cursor.execute(f"SELECT pg_advisory_lock({HOLD})", {})
            yield lambda: cursor.execute(f"SELECT pg_advisory_unlock({HOLD})", {})
    finally:
        on(postgres_database, "DROP TRIGGER hold_secret ON secret; DROP FUNCTION hold_secret();")


async def test_a_commit_without_an_answer_that_was_done_meanwhile_is_acknowledged(
    patient: Callable[[], None],
    postgres_database: Database,
    held_commits: Callable[[], object],
    writer: Lane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its outcome is looked up by its number on a new connection."""
    looked = writer._session._had_committed

    def look(mark: str) -> bool:
        held_commits()
        patient()
        return looked(mark)

    monkeypatch.setattr(writer._session, "_had_committed", look)
    assert await writer.run(Unit("1", 1)) == "1"
    assert await writer.run(kept) == {"1"}


async def test_a_commit_of_which_nobody_can_tell_is_refused(
    patient: Callable[[], None],
    held_commits: Callable[[], object],
    writer: Lane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.store.postgresql.sleep", lambda _: None)
    with pytest.raises(StoreUnavailable):
        await writer.run(Unit("1", 1))
    held_commits()
    patient()
    assert await writer.run(Unit("2", 1)) == "2"


def test_a_new_connection_that_says_nothing_is_given_up(
    postgres_server: str, postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It let us in and then stood still."""
    monkeypatch.setattr(pipeline, "SILENCE", 0.3)
    monkeypatch.setattr("core.store.postgresql.AT_FIRST", SILENT)
    with pytest.raises(StoreUnavailable):
        postgres_database.connect()
