"""web/backups.py: the whole database, for administrators; and what is left of it, which is nothing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING

import pytest

from core.errors import NotOffered, StoreUnavailable, Unavailable
from core.store import backup
from core.store.database import database
from core.store.sql import SqlStore
from tests.disks import small_disk
from tests.web.asking import ask
from tests.web.web_house import House
from tests.world import ANA, PATIENCE, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import BinaryIO

    from core.store.backup import Going
    from core.store.database import Database
    from core.store.sqlite import SQLite
    from tests.web.web_house import Houses
    from tests.world import StoppedClock


@pytest.fixture
async def admin_house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[House]:
    """One where Ana is an administrator."""
    async with (
        whole_core(sqlite_database, clock, admins={ANA.id}) as world,
        AsyncExitStack() as stack,
    ):
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


def rows(file: Path, statement: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute(statement).fetchall()


def beside(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if "backup" in file.name}


async def test_an_administrator_has_it_whole(admin_house: House, tmp_path: Path) -> None:
    task = await admin_house.submitted()
    headers = await admin_house.bearer("ana")
    async with admin_house.http.get("/v1/backup", headers=headers) as answer:
        body = await answer.read()
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/vnd.sqlite3"
        assert answer.headers["Cache-Control"] == "no-store"
        assert int(answer.headers["Content-Length"]) == len(body)
    (tmp_path / "copy.db").write_bytes(body)
    assert rows(tmp_path / "copy.db", "SELECT id, status FROM task") == [(task, "waiting_for_review")]
    assert not beside(tmp_path)


async def test_nobody_else_has_it(admin_house: House, tmp_path: Path) -> None:
    status, problem = await ask(admin_house, "GET", "/v1/backup", "ben")
    assert (status, problem["type"]) == (403, "urn:countersign:problem:not-an-admin")
    async with admin_house.http.get("/v1/backup") as answer:
        assert answer.status == 401
    async with admin_house.http.head("/v1/backup", headers=await admin_house.bearer("ana")) as answer:
        assert answer.status == 405
    assert not beside(tmp_path)


async def test_in_open_mode_whoever_sits_at_the_machine_has_it(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, auth="open"))
    async with house.http.get("/v1/backup") as answer:
        assert (answer.status, (await answer.read())[:15]) == (200, b"SQLite format 3")


async def test_one_at_a_time(admin_house: House) -> None:
    headers = await admin_house.bearer("ana")
    async with (
        admin_house.world.store.backup(),
        admin_house.http.get("/v1/backup", headers=headers) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert (await answer.json())["detail"] == backup.BUSY
    async with admin_house.http.get("/v1/backup", headers=headers) as answer:
        assert answer.status == 200


async def test_a_reader_who_goes_away_leaves_the_place_to_the_next(admin_house: House) -> None:
    headers = await admin_house.bearer("ana")
    await filled(admin_house)
    async with admin_house.http.get("/v1/backup", headers=headers) as answer:
        assert answer.status == 200
        answer.close()
    status = 503
    while status == 503:
        async with admin_house.http.get("/v1/backup", headers=headers) as answer:
            status = answer.status
    assert status == 200


async def test_a_reader_who_goes_away_while_it_is_made_ends_that(
    admin_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a big database it takes minutes, and the next one is not to wait for them."""
    begun, ended = threading.Event(), threading.Event()

    def on_and_on(_: SQLite, going: Going) -> BinaryIO:
        begun.set()
        if going.stop.wait(PATIENCE):
            ended.set()
        raise backup.Stopped

    monkeypatch.setattr(backup, "copied", on_and_on)
    headers = await admin_house.bearer("ana")
    asking = asyncio.ensure_future(admin_house.http.get("/v1/backup", headers=headers))
    await asyncio.to_thread(begun.wait, PATIENCE)
    asking.cancel()
    assert await asyncio.to_thread(ended.wait, PATIENCE)


async def test_a_stop_cuts_it_off(admin_house: House) -> None:
    headers = await admin_house.bearer("ana")
    await filled(admin_house)
    async with admin_house.http.get("/v1/backup", headers=headers) as answer:
        async with asyncio.timeout(2):
            await admin_house.server.close()
        with pytest.raises(Exception, match=r"not completed|reset|closed|payload|Cannot"):
            await answer.read()


async def filled(house: House) -> None:
    """With more than fits into what lies between a server and its client."""
    await asyncio.gather(*(house.world.submit("x" * 900_000) for _ in range(6)))


async def test_it_is_of_one_moment_while_others_write(admin_house: House, tmp_path: Path) -> None:
    """A task is never there without its first event."""
    world = admin_house.world
    await filled(admin_house)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(60):
            tasks.create_task(world.submit())
        async with world.store.backup() as copy:
            (tmp_path / "copy.db").write_bytes(b"".join([piece async for piece in copy.pieces()]))
    without = "SELECT id FROM task WHERE id NOT IN (SELECT task_id FROM event)"
    assert rows(tmp_path / "copy.db", without) == []


async def test_postgresql_has_a_program_of_its_own(postgres_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(postgres_database, clock) as store:
        with pytest.raises(NotOffered, match=r"pg_dump.*docs/operations\.md"):
            async with store.backup():
                pass


async def test_whoever_waits_no_more_leaves_nothing(sqlite_store: SqlStore, tmp_path: Path) -> None:
    async def take() -> None:
        async with sqlite_store.backup():
            pytest.fail("it was cancelled before")

    taking = asyncio.create_task(take())
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    while True:
        try:
            async with sqlite_store.backup() as copy:
                assert copy.size
                break
        except Unavailable:
            await asyncio.sleep(0)
    assert not beside(tmp_path)


async def test_what_was_killed_in_the_middle_is_cleared_away(sqlite_store: SqlStore, tmp_path: Path) -> None:
    left = tmp_path / "countersign.db.backup.part"
    left.write_bytes(b"half")
    async with sqlite_store.backup() as copy:
        assert copy.size > 4
        assert not beside(tmp_path)


async def test_without_room_nothing_is_left(
    sqlite_store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LEFT_FREE", 1 << 62)
    with pytest.raises(StoreUnavailable, match="no room"):
        async with sqlite_store.backup():
            pass
    assert not beside(tmp_path)


async def test_a_disk_that_fills_up_meanwhile_keeps_nothing_of_it(
    migrated_file: Path, tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LEFT_FREE", -(1 << 62))
    with small_disk(tmp_path, "400k", unseen="a backup that fills the disk"):
        shutil.copy(migrated_file, tmp_path / "countersign.db")
        async with SqlStore(database(f"sqlite:///{tmp_path / 'countersign.db'}"), clock) as store:
            with pytest.raises(StoreUnavailable, match="no room"):
                async with store.backup():
                    pass
            assert not beside(tmp_path)


@pytest.fixture
async def sqlite_store(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[SqlStore]:
    async with SqlStore(sqlite_database, clock) as store:
        yield store
