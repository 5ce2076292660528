"""`countersign copy`: from one database to the other, stopped anywhere, and the proof that it is the same."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from core.errors import CountersignError, Invalid, Refused, SettingsError, StoreUnavailable
from core.model import Status
from core.store import unfinished, whole
from core.store.copying import Copy
from core.store.database import database
from core.store.lock import exclusive, unserved
from core.store.postgresql import PostgreSQL, conninfo
from core.store.sql import SqlStore
from core.store.tables import metadata
from countersign.cli import run
from countersign.copying import named, run_copy
from countersign.database import prepared
from countersign.doctor import findings
from tests.bench.server import environment
from tests.contracts.conftest import on
from tests.contracts.samples import sampled
from tests.contracts.steps import parked, submitted
from tests.walks.runs import figures, seeded
from tests.world import StoppedClock, whole_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from random import Random

    from sqlalchemy.engine import URL

    from core.store.database import Database

TEXTS = ("plain", "Zürich", "zürich", "_under", "Ünder", "😀 \uffff", "tab\there\nline\\N", "\\.", "")
"""Where orders differ between collations, and what COPY has words for."""
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def target(postgres_database: Database) -> Iterator[Database]:
    """PostgreSQL at this release's schema, with nothing in it."""
    yield postgres_database
    on(postgres_database, "DROP TABLE IF EXISTS unfinished_copy")


@pytest.fixture(scope="session")
def used_file(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SQLite with something of everything that is stored, to be copied as a file."""
    path = tmp_path_factory.mktemp("used") / "used.db"
    shutil.copy(migrated_file, path)
    asyncio.run(used(database(f"sqlite:///{path}"), StoppedClock()))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def source(used_file: Path, tmp_path: Path) -> Database:
    """Such a file of this test's own."""
    shutil.copy(used_file, tmp_path / "used.db")
    return database(f"sqlite:///{tmp_path / 'used.db'}")


async def used(where: Database, clock: StoppedClock) -> None:
    async with SqlStore(where, clock) as store:
        await sampled(store, clock)
        for number, text in enumerate(TEXTS):
            task = await submitted(store, {"text": text, "n": 2**70}, key=f"{text}{number}")
            await parked(store, task.id, draft=text or "a draft")


def url(where: Database) -> str:
    return where.url.render_as_string(hide_password=False)


def copied(source: Database, target: Database, *, restart: bool = False) -> int:
    return run_copy(url(source), url(target), restart=restart)


def content(where: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables that are copied, without looking at them as a copy does."""
    found = {}
    with closing(where.connect(read_only=True)) as connection:
        cursor = connection.cursor()
        for table in metadata.sorted_tables:
            if table.name in whole.OF_THE_DATABASE:
                continue
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            cursor.execute(f'SELECT {names} FROM "{table.name}"', {})  # noqa: S608 - names of ours
            found[table.name] = sorted(cursor.fetchall(), key=repr)
    return found


def many(where: Database, tasks: int, chance: Random) -> None:
    """Tasks with their events, written by the thousand."""
    names = ("id", "flow", "title", "status", "attempt", "input", "submitter", "submitter_name", "metadata")
    numbers = ("created_at", "updated_at", "seq", "version", "begun", "starts", "tries")
    with closing(sqlite3.connect(where.url.database or "")) as connection, connection:
        for number in range(tasks):
            task = f"{chance.getrandbits(128):032x}"
            texts = (task, "draft", f"title {number}", "pending", 1, '"text"', "sam", "Sam Lee", "{}")
            connection.execute(
                f"INSERT INTO task ({', '.join(names + numbers)}) VALUES ({', '.join('?' * 16)})",  # noqa: S608 - ours
                (*texts, number, number, 2, 2, 0, 0, 0),
            )
            connection.executemany(
                "INSERT INTO event (task_id, seq, kind, at, data) VALUES (?, ?, ?, ?, ?)",
                [(task, seq, "task_submitted", number, '{"a":1}') for seq in (1, 2)],
            )


def test_the_sample_has_a_row_of_everything_that_is_copied(source: Database) -> None:
    found = content(source)
    assert not [table.name for table in whole.TABLES if not found[table.name]]
    assert {table.name for table in metadata.sorted_tables} - {table.name for table in whole.TABLES} == {
        "replica",
        "lease",
        "installed",
    }


def test_there_and_back_everything_is_the_same(
    source: Database,
    target: Database,
    migrated_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert copied(source, target) == 0
    printed, passing = capsys.readouterr()
    assert passing == ""
    lines = printed.splitlines()
    assert len(lines) == len(whole.TABLES) + 1
    assert all(re.fullmatch(r"[a-z_]+ +[\d,]+ rows  [0-9a-f]{64}", line) for line in lines[:-1])
    assert content(target) == content(source)
    back = database(f"sqlite:///{tmp_path / 'back.db'}")
    (tmp_path / "back.db").write_bytes(migrated_file.read_bytes())
    assert copied(target, back) == 0
    assert capsys.readouterr().out == printed
    assert content(back) == content(source)


async def test_the_target_goes_on_with_everything(
    sqlite_database: Database, target: Database, clock: StoppedClock
) -> None:
    async with whole_core(sqlite_database, clock) as world:
        waiting = await world.submit("wait")
        review = await world.open_review(waiting.id)
    async with SqlStore(sqlite_database, clock) as store:
        pending = await submitted(store, "stored work")
    assert copied(sqlite_database, target) == 0
    prepared(target)
    async with whole_core(target, clock) as world:
        await world.approve(review)
        assert (await world.end(waiting.id)).status is Status.COMPLETED
        await world.approve(await world.open_review(pending.id))
        assert (await world.end(pending.id)).status is Status.COMPLETED
        assert [type(event) for event in await world.history(waiting.id)] == [
            type(event) for event in await world.history(pending.id)
        ]


def test_what_only_the_one_database_knows_of_itself_stays_there(
    target: Database, sqlite_database: Database, clock: StoppedClock
) -> None:
    on(target, "INSERT INTO lease VALUES ('polling', 'x', 1, 1)")
    assert copied(sqlite_database, target) == 0
    assert on(target, "SELECT holder FROM lease") == [("x",)]
    assert ("procrastinate",) in on(target, "SELECT name FROM installed")


@contextmanager
def copying(source: Database, target: Database) -> Iterator[Copy]:
    with whole.snapshot(source) as read, closing(target.connect()) as written:
        yield Copy(source, read, target, written)


class Stopped(Exception):
    """By this test."""


@pytest.mark.parametrize("batch", [3, 10])
def test_stopped_after_every_batch_it_goes_on_behind_it(
    source: Database, target: Database, batch: int
) -> None:
    def stop(_count: int) -> None:
        raise Stopped

    with copying(source, target) as copy:
        tallies = copy.look_through(lambda _: None)
        copy.begin("somewhere", tallies)
    stops, done = 0, 0
    while done < sum(tally.rows for tally in tallies.values()):
        with copying(source, target) as copy:
            remains = copy.remains()
            assert remains is not None
            with pytest.raises(Stopped):
                copy.go_on(remains, stop, batch)
            known = copy.remains() or {}
            found = copy.there()
            assert {name: one.copied for name, one in known.items()} == found
        stops, done = stops + 1, sum(found.values())
    assert stops >= done / batch
    assert copied(source, target) == 0
    assert content(target) == content(source)


def begun(source: Database, target: Database, *, rows: bool = True) -> None:
    """A copy that was stopped before it was compared, with all rows or with none."""
    with copying(source, target) as copy:
        remains = copy.begin("sqlite:///somewhere.db", copy.look_through(lambda _: None))
        if rows:
            copy.go_on(remains, lambda _: None)


@pytest.mark.parametrize(
    ("tampering", "table"),
    [
        ("UPDATE task SET title = title || '.' WHERE id = '{task}'", "task"),
        ("UPDATE task SET draft = NULL WHERE id = '{task}'", "task"),
        ("DELETE FROM event WHERE task_id = '{task}' AND seq = 2", "event"),
        ("UPDATE event SET at = at + 1 WHERE task_id = '{task}' AND seq = 2", "event"),
        ("INSERT INTO heard VALUES ('nowhere', 1)", "heard"),
        ("UPDATE chat_update SET body = body || '\\x00'::bytea", "chat_update"),
    ],
)
def test_a_row_that_differs_is_found_and_the_copy_is_not_served(
    source: Database, target: Database, capsys: pytest.CaptureFixture[str], tampering: str, table: str
) -> None:
    begun(source, target)
    task = on(source, "SELECT task_id FROM review ORDER BY task_id")[3][0]
    on(target, tampering.format(task=task))
    assert copied(source, target) == 1
    printed, said = capsys.readouterr()
    keys = {"event": [task, 2], "heard": ["nowhere"], "task": [task], "chat_update": ["telegram", "1"]}
    assert f"the first different row of {table} is {json.dumps(keys[table])}" in said
    assert len(said.splitlines()) == 1
    assert printed.count("in --to") == 1
    assert copied(source, target) == 1, "nor does it go away by itself"
    with pytest.raises(SettingsError, match=r"an unfinished copy of sqlite:///somewhere\.db"):
        prepared(target)
    assert copied(source, target, restart=True) == 0
    assert content(target) == content(source)
    prepared(target)


def test_rows_of_its_own_are_never_touched(
    source: Database, target: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    on(target, "INSERT INTO heard VALUES ('slack', 1)")
    before = content(target)
    for restart in (False, True):
        with pytest.raises(SettingsError, match=r"^--to: the database has rows of its own \(in heard\)"):
            copied(source, target, restart=restart)
    assert content(target) == before
    assert capsys.readouterr() == ("", "")


def test_what_is_copied_already_is_compared_again(
    source: Database, target: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert copied(source, target) == 0
    printed = capsys.readouterr().out
    assert copied(source, target) == 0
    assert capsys.readouterr().out == printed
    on(target, "UPDATE task SET title = 'another'")
    with pytest.raises(SettingsError, match="has rows of its own"):
        copied(source, target)


def test_a_source_that_went_on_meanwhile_is_copied_anew_only_when_told(
    source: Database, target: Database
) -> None:
    begun(source, target)
    on(source, "UPDATE task SET title = 'another'")
    with pytest.raises(Refused, match=r"copy of sqlite:///somewhere\.db, which was not as --from is now"):
        copied(source, target)
    assert copied(source, target, restart=True) == 0
    assert content(target) == content(source)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE task SET title = 'a' || char(0) || 'b' WHERE id = '{id}'", "title holds a NUL character"),
        (
            "UPDATE task SET error = CAST(x'61ff62' AS TEXT) WHERE id = '{id}'",
            "error holds what is not UTF-8",
        ),
        (
            "UPDATE task SET error = CAST(x'eda080' AS TEXT) WHERE id = '{id}'",
            "error holds what is not UTF-8",
        ),
        ("UPDATE task SET draft = x'00' WHERE id = '{id}'", "draft is no text"),
        (
            "UPDATE task SET attempt = 2147483648 WHERE id = '{id}'",
            "attempt is a number of more than 32",
        ),
        ("UPDATE task SET due_at = 9e18 * 10 WHERE id = '{id}'", "due_at is no whole number"),
        ("UPDATE task SET due_at = 'soon' WHERE id = '{id}'", "due_at is no whole number"),
        ("UPDATE task SET status = '{id}{id}' WHERE id = '{id}'", "status has more than 32 characters"),
    ],
)
def test_what_the_target_cannot_hold_is_named_before_anything_is_copied(
    source: Database, target: Database, change: str, said: str
) -> None:
    task = on(source, "SELECT id FROM task ORDER BY id")[7][0]
    on(source, change.format(id=task))
    with pytest.raises(Invalid) as refused:
        copied(source, target)
    assert str(refused.value).startswith(f'task: the row ["{task}"] cannot be copied: its {said}')
    assert not any(content(target).values())
    prepared(target)


def test_numbers_and_texts_at_their_limits_come_through(source: Database, target: Database) -> None:
    on(source, "UPDATE task SET attempt = 2147483647, due_at = 9223372036854775807, updated_at = 1 << 63")
    on(source, "UPDATE chat_update SET body = x'00ff5c0a'")
    on(source, "UPDATE secret SET value = x''")
    assert copied(source, target) == 0
    assert content(target) == content(source)


def test_rows_whose_task_is_gone_are_refused_in_a_sentence(source: Database, target: Database) -> None:
    with closing(sqlite3.connect(source.url.database or "")) as connection, connection:
        # Not any task: one that is at its first node yet has events and no checkpoint.
        connection.execute("DELETE FROM task WHERE id = (SELECT min(task_id) FROM checkpoint)")
    with pytest.raises(CountersignError, match=r"^checkpoint: the database says: .*foreign key constraint"):
        copied(source, target)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "postgresql://ana:hush@127.0.0.1:1/x",
            "The PostgreSQL database x at 127.0.0.1:1 cannot be reached: nobody listens there.",
        ),
        ("postgresql://ana:hush@127.0.0.1:1/x?foo=hush", "PostgreSQL's library cannot read the URL"),
        ("postgresql://ana:hush@127.0.0.1:port/x", "is not a database URL."),
        ("mysql://ana:hush@127.0.0.1/x", "mysql is not supported; use sqlite or postgresql."),
        ("hush", "is not a database URL."),
        ("sqlite:///", "a SQLite database needs a file, sqlite:///FILE."),
        ("sqlite:///{folder}/none/x.db", "there is no file {folder}/none/x.db."),
        ("sqlite:///{folder}/text", "file is not a SQLite database"),
        ("sqlite:///{folder}/empty", "has no tables of Countersign's yet, and this release needs"),
        ("sqlite:///{folder}/empty", "with it as COUNTERSIGN_DATABASE_URL run: countersign migrate."),
    ],
)
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_wrong_urls_are_one_sentence_without_the_password(
    sqlite_database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    wrong: str,
    said: str,
    option: str,
) -> None:
    (tmp_path / "text").write_text("hush " * 1000)
    (tmp_path / "empty").touch()
    words = {"--from": url(sqlite_database), "--to": url(sqlite_database)} | {
        option: wrong.format(folder=tmp_path)
    }
    assert run(["copy", *(word for pair in words.items() for word in pair)]) in {1, 2}
    printed, passing = capsys.readouterr()
    assert printed == ""
    assert passing.startswith(f"countersign: {option}")
    assert said.format(folder=tmp_path) in passing
    assert len(passing.splitlines()) == 1
    assert "hush" not in passing


def test_a_database_is_not_copied_to_itself(sqlite_database: Database, tmp_path: Path) -> None:
    file = sqlite_database.url.database or ""
    (tmp_path / "link.db").symlink_to(file)
    (tmp_path / "hard.db").hardlink_to(file)
    for name in ("link.db", "hard.db"):
        with pytest.raises(SettingsError, match="name the same database"):
            copied(sqlite_database, database(f"sqlite:///{tmp_path / name}"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://ana:hush@db/reviews", "postgresql://db/reviews"),
        ("postgresql://ana:hush@db:5433/reviews", "postgresql://db:5433/reviews"),
        ("postgresql:///reviews", "postgresql:///reviews"),
        ("postgresql://ana:hush@one,two/reviews", "postgresql://one,two/reviews"),
        ("postgresql://ana:hush@one:5433,two:5434/reviews", "postgresql://one:5433,two:5434/reviews"),
        ("postgresql:///reviews?host=one,two&port=5433", "postgresql://one:5433,two:5433/reviews"),
        ("postgresql:///reviews?host=one&password=hush", "postgresql://one/reviews"),
        ("postgresql:///reviews?hostaddr=127.0.0.2", "postgresql://127.0.0.2/reviews"),
        ("postgresql://db/reviews?hostaddr=127.0.0.2", "postgresql://127.0.0.2/reviews"),
        ("postgresql://ana:hush@db:5433/reviews?nonsense=1", "postgresql://db:5433/reviews"),
        ("postgresql://ana:hush@db", "postgresql://db/ana"),
        ("postgresql:///?service=reviews&password=hush", "postgresql:///?service=reviews"),
    ],
)
def test_the_name_of_a_database_says_every_host_of_it_and_no_password(url: str, name: str) -> None:
    """Two clusters must not have the same: they would be taken for one database."""
    assert named(database(url)) == name


@pytest.mark.parametrize("restart", [False, True])
def test_a_database_that_two_urls_spell_differently_is_not_copied_to_itself(
    target: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, restart: bool
) -> None:
    """What names do not tell, the server does."""
    on(target, "INSERT INTO heard VALUES ('slack', 1)")
    before = content(target)
    said = conninfo_to_dict(conninfo(target))
    del said["fallback_application_name"]
    said["options"] = "-ctimezone=Asia/Kathmandu"  # nor does what the server says depend on how it says times
    lines = "".join(f"{name}={value}\n" for name, value in said.items())
    (tmp_path / "services").write_text(f"[reviews]\n{lines}")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    service = "postgresql:///?service=reviews"
    assert content(database(service)) == before
    for words in ((service, url(target)), (url(target), service)):
        with pytest.raises(SettingsError) as refused:
            run_copy(*words, restart=restart)
        assert str(refused.value) == "--from and --to name the same database."
    assert content(target) == before


def test_a_file_is_not_copied_while_it_is_served(source: Database, target: Database) -> None:
    with exclusive(source), pytest.raises(SettingsError) as refused:
        copied(source, target)
    said = "--from: another countersign is serving or copying this database; stop it first."
    assert str(refused.value) == said


def test_nothing_is_copied_to_a_database_where_a_replica_lives(source: Database, target: Database) -> None:
    on(target, "INSERT INTO procrastinate_workers DEFAULT VALUES")
    on(
        target,
        "INSERT INTO replica (id, worker, name, release, configuration, started_at)"
        " SELECT 'r', id, 'host:1', '0', '', 0 FROM procrastinate_workers",
    )
    with pytest.raises(SettingsError) as refused:
        copied(source, target)
    assert str(refused.value) == "--to: another countersign is serving this database; stop it first."
    on(target, "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '20 seconds'")
    assert copied(source, target) == 0


def test_two_copies_at_once_are_one(source: Database, target: Database) -> None:
    with unserved(target), pytest.raises(SettingsError, match="--to: another countersign is copying"):
        copied(source, target)


class Lingering(PostgreSQL):
    """Its server takes note of the end of a connection only much later."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self.left: list[Any] = []

    def connect(self, *, read_only: bool = False) -> Any:
        connection = super().connect(read_only=read_only)
        self.left.append(connection.close)
        connection.close = lambda: None
        return connection


def test_a_copy_right_after_another_is_not_refused_for_that(target: Database) -> None:
    lingering = Lingering(target.url)
    with unserved(lingering):
        pass
    with unserved(target):
        pass
    for close in lingering.left:
        close()


def test_an_unfinished_copy_is_no_source(
    source: Database, target: Database, migrated_file: Path, tmp_path: Path
) -> None:
    begun(source, target, rows=False)
    (tmp_path / "back.db").write_bytes(migrated_file.read_bytes())
    with pytest.raises(SettingsError, match="--from: this database is itself an unfinished copy"):
        copied(target, database(f"sqlite:///{tmp_path / 'back.db'}"))


def test_no_sign_in_is_added_to_an_unfinished_copy(
    source: Database, target: Database, tmp_path: Path
) -> None:
    begun(source, target, rows=False)
    (tmp_path / "countersign.toml").write_text('[people.ana]\nname = "Ana"\n')
    for words in (["link", "ana"], ["serve"]):
        done = countersign(tmp_path, *words, COUNTERSIGN_DATABASE_URL=url(target))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == (
            "countersign: COUNTERSIGN_DATABASE_URL: the database is an unfinished copy of "
            "sqlite:///somewhere.db; finish it with countersign copy, or serve that one."
        )


async def test_the_doctor_sees_it(
    source: Database, target: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(source, target, rows=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url(target))
    (found,) = [one async for one in findings() if one.check == "database"]
    assert (found.is_well, found.text) == (False, "an unfinished copy of sqlite:///somewhere.db")


def test_a_lost_connection_is_said_and_gone_on_behind(source: Database, target: Database) -> None:
    def cut(_count: int) -> None:
        on(target, f"SELECT pg_terminate_backend(pid) {OTHERS}")

    with copying(source, target) as copy:
        remains = copy.begin("somewhere", copy.look_through(lambda _: None))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            copy.go_on(remains, cut, 10)
    assert copied(source, target) == 0
    assert content(target) == content(source)


def test_what_ends_a_copy_is_all_that_is_said(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the sentence stood a traceback: the source was still being read when it was closed."""

    def stop(_count: int) -> None:
        raise Stopped

    besides: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", besides.append)
    with pytest.raises(Stopped) as kept, copying(source, target) as copy:
        copy.go_on(copy.begin("somewhere", copy.look_through(lambda _: None)), stop, 1)
    del kept
    gc.collect()
    assert besides == []


def test_an_interrupted_copy_says_how_to_go_on(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on = Copy.go_on

    def interrupted(self: Copy, remains: Mapping[str, Any], told: Callable[[int], object]) -> None:
        def stop(_count: int) -> None:
            raise KeyboardInterrupt

        go_on(self, remains, stop)

    with monkeypatch.context() as patched:
        patched.setattr(Copy, "go_on", interrupted)
        assert copied(source, target) == 1
    assert capsys.readouterr().err == "countersign: stopped; the same command goes on from here.\n"
    assert copied_rows(target) > 0
    assert copied(source, target) == 0
    assert content(target) == content(source)


def countersign(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "countersign", *words],
        cwd=folder,
        env=environment(8080, **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_on_a_terminal_bars_show_how_far_it_is(source: Database, target: Database, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "countersign", "copy", "--from", url(source), "--to", url(target)],
        cwd=tmp_path,
        env=environment(8080, COLUMNS="80", TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    passing = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    for label in ("looking through", "copying", "comparing"):
        assert re.search(rf"{label} +\[#+\]", passing)


def test_a_few_kills_leave_neither_holes_nor_doubles(
    source: Database, target: Database, tmp_path: Path
) -> None:
    killed(source, target, tmp_path, tasks=5_000, kills=3)


@pytest.mark.soak
def test_many_kills_leave_neither_holes_nor_doubles(
    source: Database, target: Database, tmp_path: Path
) -> None:
    killed(source, target, tmp_path, tasks=10_000, kills=40)


def killed(source: Database, target: Database, folder: Path, *, tasks: int, kills: int) -> None:
    """A real process, killed at moments of chance; begun anew whenever it came to its end too early."""
    _, chance = seeded()
    many(source, tasks, chance)
    log, rows = folder / "copy.log", tasks * 3
    found: Counter[str] = Counter()
    while found["within"] < kills:
        process = started(source, target, log)
        moment(target, process, chance, rows)
        process.kill()
        process.wait(60)
        alone(target)
        known = noted(target)
        with closing(target.connect()) as connection:
            stored = {table.name: whole.count(target, connection, table) for table in whole.TABLES}
        if known is None and any(stored.values()):
            # Nothing is left to be done, whether the process had still said so or not.
            assert content(target) == content(source)
            found["ended"] += 1
            assert found["ended"] <= 10 + kills, "no kill comes in time"
            cleared(target)
            continue
        found["within" if known and sum(known.values()) else "before"] += 1
        assert stored == (known or dict.fromkeys(stored, 0))
    process = started(source, target, log)
    assert process.wait(300) == 0, log.read_text()[-2000:]
    assert log.read_text().splitlines()[-1].startswith("the same: ")
    assert content(target) == content(source)
    assert noted(target) is None
    figures(rows=rows, kills_within_the_rows=found["within"], kills_before=found["before"])


def started(source: Database, target: Database, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "countersign", "copy", "--from", url(source), "--to", url(target)],
            cwd=log.parent,
            env=environment(8080),
            stdout=out,
            stderr=out,
        )


def moment(target: Database, process: subprocess.Popen[bytes], chance: Random, rows: int) -> None:
    """Once some more rows have come, and a little later; one time in four soon after it began."""
    soon = chance.random() < 0.25
    wanted = 0 if soon else copied_rows(target) + chance.randrange(1, rows // 2)
    end = time.monotonic() + 60
    while process.poll() is None and copied_rows(target) < wanted and time.monotonic() < end:
        time.sleep(0.002)  # nobody tells how far another process is
    time.sleep(chance.uniform(0, 2.0 if soon else 0.03))  # a crash keeps no timetable


def noted(target: Database) -> dict[str, int] | None:
    with closing(target.connect(read_only=True)) as connection:
        try:
            found = unfinished.remains(target, connection.cursor())
        except psycopg.errors.UndefinedTable:
            return None  # dropped between its two looks
    return None if found is None else {name: one.copied for name, one in found.items()}


def copied_rows(target: Database) -> int:
    return sum((noted(target) or {}).values())


def alone(target: Database) -> None:
    """Once the server has noticed that the killed process is gone."""
    end = time.monotonic() + 20
    while on(target, f"SELECT count(*) {OTHERS}") != [(0,)]:
        assert time.monotonic() < end
        time.sleep(0.01)  # nobody tells


def cleared(target: Database) -> None:
    for table in reversed(whole.TABLES):
        on(target, f"DELETE FROM {table.name}")  # noqa: S608 - ours
