"""`countersign copy`: from one database to the other, stopped anywhere, and the proof that both are the same."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import CountersignError, Invalid, Refused, SettingsError
from core.model import Status
from core.store import unfinished, whole
from core.store.copying import Copy
from core.store.database import database
from core.store.lock import exclusive
from core.store.sql import SqlStore
from core.store.tables import metadata
from countersign.cli import run
from countersign.copying import run_copy
from countersign.database import prepared
from tests.bench.server import environment
from tests.contracts.conftest import on
from tests.contracts.steps import parked, submitted
from tests.contracts.test_statements import sampled
from tests.walks.runs import figures, seeded
from tests.world import whole_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

    from core.store.database import Database
    from tests.world import StoppedClock

TEXTS = ("plain", "Zürich", "zürich", "_under", "Ünder", "😀 \uffff", "tab\there\nline\\N", "\\.", "")
"""Where orders differ between collations, and what COPY has words for."""


@pytest.fixture
def target(postgres_database: Database) -> Iterator[Database]:
    """PostgreSQL at this release's schema, with nothing in it."""
    yield postgres_database
    on(postgres_database, "DROP TABLE IF EXISTS unfinished_copy")


@pytest.fixture
async def source(sqlite_database: Database, clock: StoppedClock) -> Database:
    """SQLite with something of everything that is stored."""
    await used(sqlite_database, clock)
    return sqlite_database


async def used(where: Database, clock: StoppedClock) -> None:
    async with SqlStore(where, clock) as store:
        await sampled(store, clock)
        for number, text in enumerate(TEXTS):
            task = await submitted(store, {"text": text, "n": 2**70}, key=f"{text}{number}")
            await parked(store, task.id, draft=text or "a draft")
        await store.delegations()


def url(where: Database) -> str:
    return where.url.render_as_string(hide_password=False)


def copied(source: Database, target: Database, *, restart: bool = False) -> int:
    return run_copy(url(source), url(target), restart=restart)


def content(where: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, without looking at them as a copy does."""
    found = {}
    for table in metadata.sorted_tables:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        found[table.name] = sorted(
            (tuple(row) for row in on(where, f'SELECT {names} FROM "{table.name}"')),  # noqa: S608 - ours
            key=repr,
        )
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
    source: Database, target: Database, migrated_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    on(target, "INSERT INTO installed VALUES ('procrastinate', '3.10.0')")
    on(target, "INSERT INTO lease VALUES ('polling', 'x', 1, 1)")
    assert copied(sqlite_database, target) == 0
    on(sqlite_database, "DELETE FROM installed")
    assert on(target, "SELECT name FROM installed") == [("procrastinate",)]


@contextmanager
def copying(source: Database, target: Database) -> Iterator[Copy]:
    with whole.snapshot(source) as read, closing(target.connect()) as written:
        yield Copy(source, read, target, written)


class Stopped(Exception):
    """By this test."""


@pytest.mark.parametrize("batch", [2, 5])
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
            found = {table.name: whole.count(target, copy._written, table) for table in whole.TABLES}
            assert {name: one.copied for name, one in known.items()} == found
        stops, done = stops + 1, sum(found.values())
    assert stops >= done / batch
    assert copied(source, target) == 0
    assert content(target) == content(source)
