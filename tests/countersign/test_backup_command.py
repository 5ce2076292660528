"""`countersign backup`: a file that is whole, or the one that was there before."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from contextlib import AsyncExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from core.errors import NotFound
from core.model import TaskFilter
from core.store.database import database as database_at
from core.store.schema import HEAD
from countersign.cli import run
from countersign.database import prepared
from tests.disks import small_disk
from tests.web.web_house import House
from tests.world import ANA, SAM, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from core.store.database import Database
    from tests.world import StoppedClock

ONLY_ADMINS = "countersign: Only those whom [admins] lists may take a backup.\n"


def names(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


class Sending(HTTPServer):
    """Answers with `body`, of which it says that it is so long."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.body, self.told = b"", 0
        self.kind = "application/vnd.sqlite3"


class _Answer(BaseHTTPRequestHandler):
    server: Sending

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(self.server.told))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sending]:
    monkeypatch.chdir(tmp_path)
    with Sending() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("COUNTERSIGN_PUBLIC_URL", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


@pytest.fixture
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[House]:
    """One where Ana is an administrator."""
    async with whole_core(sqlite_database, clock, admins={ANA.id}) as world, AsyncExitStack() as stack:
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


@pytest.fixture
async def asked_by_ana(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is run, which is not the server's."""
    folder = tmp_path / "safe"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COUNTERSIGN_PUBLIC_URL", house.url)
    monkeypatch.setenv("COUNTERSIGN_TOKEN", await house.token("ana"))
    return folder


async def test_it_is_whole_private_and_said_in_one_line(
    house: House, asked_by_ana: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = await house.submitted()
    file = asked_by_ana / "b.db"
    file.write_bytes(b"yesterday's")
    (asked_by_ana / "b.db.part").write_bytes(b"another's")
    assert await asyncio.to_thread(run, ["backup", "b.db"]) == 0
    size = file.stat().st_size
    assert capsys.readouterr().out.splitlines()[-1] == f"b.db: {size:,} bytes, revision {HEAD}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names(asked_by_ana) == ["b.db", "b.db.part"]
    assert (asked_by_ana / "b.db.part").read_bytes() == b"another's"
    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute("SELECT id, submitter FROM task").fetchall() == [(task, SAM.id)]
    assert await asyncio.to_thread(run, ["backup", "--json", "c.db"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == {"file": "c.db", "bytes": size, "revision": HEAD}


async def test_who_is_no_administrator_has_none(
    house: House, asked_by_ana: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", await house.token("ben"))
    assert await asyncio.to_thread(run, ["backup", "b.db"]) == 2
    assert capsys.readouterr().err.endswith(ONLY_ADMINS)
    assert names(asked_by_ana) == []


async def test_while_another_is_taken_it_may_pass(
    house: House, asked_by_ana: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with house.world.store.backup():
        assert await asyncio.to_thread(run, ["backup", "b.db"]) == 1
    assert "Another backup is being taken" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["cut off", "no database", "empty", "damaged", "without tables"])
def test_what_is_not_whole_takes_no_other_ones_place(
    sending: Sending, tmp_path: Path, migrated_file: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = migrated_file.read_bytes()
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as made:
        made.execute("CREATE TABLE one (id)")
    sending.body = {
        "cut off": whole[: len(whole) // 2],
        "no database": b"text" * 3000,
        "empty": b"",
        "damaged": whole[:4096] + bytes(len(whole) - 4096),
        "without tables": other.read_bytes(),
    }[fault]
    sending.told = len(whole) if fault == "cut off" else len(sending.body)
    other.unlink()
    (tmp_path / "b.db").write_bytes(b"yesterday's")
    assert run(["backup", "b.db"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(
        "countersign: The answer was cut off" if fault == "cut off" else "countersign: What came is no whole"
    )
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert names(tmp_path) == ["b.db"]
    assert (tmp_path / "b.db").read_bytes() == b"yesterday's"


def test_a_full_disk_leaves_what_was_there(
    sending: Sending, tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sending.body = migrated_file.read_bytes()
    sending.told = len(sending.body)
    (tmp_path / "full").mkdir()
    with small_disk(tmp_path / "full", "100k", unseen="a backup onto a full disk"):
        (tmp_path / "full" / "b.db").write_bytes(b"yesterday's")
        assert run(["backup", "full/b.db"]) == 1
        assert names(tmp_path / "full") == ["b.db"]
        assert (tmp_path / "full" / "b.db").read_bytes() == b"yesterday's"
    assert capsys.readouterr().err == "countersign: it cannot be written: No space left on device.\n"


def test_a_page_is_no_backup(sending: Sending, tmp_path: Path) -> None:
    sending.kind, sending.body, sending.told = "text/html", b"<p>", 3
    assert run(["backup", "b.db"]) == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("beside", ["-wal", "-journal", ".lock"])
def test_a_database_in_use_is_not_overwritten(
    sending: Sending, tmp_path: Path, beside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "countersign.db").touch()
    (tmp_path / f"countersign.db{beside}").touch()
    assert run(["backup", "countersign.db"]) == 2
    assert "is a database in use" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["-", "folder", "nowhere/b.db"])
def test_where_no_file_can_be_is_2(sending: Sending, tmp_path: Path, file: str) -> None:
    (tmp_path / "folder").mkdir()
    assert run(["backup", "--", file]) == 2
    assert names(tmp_path) == ["folder"]


def test_the_next_start_clears_away_what_was_killed(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "countersign.db.backup.part").write_bytes(b"half")
    prepared(sqlite_database)
    assert names(tmp_path) == ["countersign.db"]


async def test_what_was_backed_up_goes_on(house: House, asked_by_ana: Path, clock: StoppedClock) -> None:
    task = await house.submitted()
    assert await asyncio.to_thread(run, ["backup", "b.db"]) == 0
    later = await house.submitted()
    restored = database_at(f"sqlite:///{asked_by_ana / 'b.db'}")
    prepared(restored)
    async with whole_core(restored, clock) as world:
        assert [found.id for found in (await world.service.tasks(TaskFilter())).tasks] == [task]
        with pytest.raises(NotFound):
            await world.service.task(later)
        (review,) = await world.service.reviews(task)
        await world.approve(review.id)
        assert (await world.end(task)).outcome == "approved"
