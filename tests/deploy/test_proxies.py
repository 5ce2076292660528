"""Behind the nginx and the Caddy of docs/deploy streams arrive as they are written; a replica that is stopped
costs nobody an answer.

The files are read in every run. The proxies themselves run where they are installed, and in CI always.
nginx 1.22 was seen to hand such short messages on with its buffering on, too: that setting is only read.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from core.store.database import database
from core.store.schema import migrate
from tests.bench.server import posted, serving
from tests.deploy.files import DEPLOY, compose
from tests.deploy.proxies import NAME, PROXIES, PUBLIC, SOON, in_front_of, until_it_answers
from tests.deploy.restarts import Callers
from tests.walks.runs import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.bench.server import Server


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    """The name of one that is installed."""
    name: str = request.param
    if shutil.which(name) is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI runs {name} itself: install it.")
        pytest.skip(f"No {name} here: its file was read, and not run.")
    return name


STREAMS = {
    "/stream/{task}": (b"waiting_for_review", b'"completed"'),
    "/v1/tasks/{task}/events": (b"event: review_requested", b"event: task_completed"),
}
"""What each says when a review is asked, and at the end."""


async def test_streams_arrive_as_they_are_written(proxy: str, tmp_path: Path) -> None:
    folder = tmp_path / "proxy"
    settings = {"COUNTERSIGN_PUBLIC_URL": f"https://{NAME}", "COUNTERSIGN_PING_SECONDS": "0.2"}
    async with serving(tmp_path, **settings) as server, aiohttp.ClientSession() as http:
        with in_front_of([server.url], proxy, folder) as url:
            await until_it_answers(http, url, folder)
            for path, (asked, ended) in STREAMS.items():
                async with asyncio.timeout(SOON):
                    await _followed(http, server, url, path, asked, ended)
            async with http.get(f"{url}/", headers={"Host": "other.example.com"}) as answer:
                # nginx hands the caller's name on, for us to refuse; Caddy has no site of that name.
                assert (answer.status, await answer.read() == b"") == OF_ANOTHER_NAME[proxy]


OF_ANOTHER_NAME = {"nginx": (421, False), "caddy": (200, True)}


async def _followed(
    http: aiohttp.ClientSession, server: Server, url: str, path: str, asked: bytes, ended: bytes
) -> None:
    """Raises `TimeoutError` in the end where the proxy waits for more before it hands a message on."""
    sam, ana = (PUBLIC | server.headers(person) for person in ("sam", "ana"))
    task = (await posted(http, f"{url}/submit", {"data": "a text"}, sam))["task_id"]
    async with http.get(url + path.format(task=task), headers=ana) as stream:
        assert stream.content_type == "text/event-stream"
        await stream.content.readuntil(asked)
        for _ in range(3):  # nothing but comments now, one after the other
            await stream.content.readuntil(b"\n:")
        await posted(http, f"{url}/feedback/{task}", {"feedback": "approved"}, ana)
        await stream.content.readuntil(ended)


async def test_a_replica_that_is_stopped_costs_nobody_an_answer(
    proxy: str, tmp_path: Path, empty_postgres: Callable[[], str]
) -> None:
    url = empty_postgres()
    migrate(database(url))
    settings = {
        "COUNTERSIGN_DATABASE_URL": url,
        "COUNTERSIGN_PUBLIC_URL": f"https://{NAME}",
    }
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with (
        serving(tmp_path / "a", COUNTERSIGN_DRAIN="60s", **settings) as stopped,
        serving(tmp_path / "b", **settings) as other,
        aiohttp.ClientSession(trust_env=False) as http,
    ):
        folder = tmp_path / "proxy"
        try:
            with in_front_of([stopped.url, other.url], proxy, folder) as front:
                await until_it_answers(http, front, folder)
                async with calling(front, stopped) as callers:
                    await answered(callers, MANY)
                    stopped.popen.send_signal(signal.SIGTERM)
                    await eventually(lambda: has_noticed(http, proxy, stopped, folder))
                    await answered(callers, MANY)
                    stopped.popen.send_signal(signal.SIGTERM)  # it need not drain any longer
                    assert await asyncio.to_thread(stopped.popen.wait, 15) == 0
                    await answered(callers, MANY)
        finally:
            stopped.popen.kill()
        assert callers.answers.keys() == {"POST 202", "GET 200"}, callers.answers
        assert await callers.lost(other.url) == 0


MANY = 40
"""Answers: enough for each kept connection of the proxy to have been used."""


@asynccontextmanager
async def calling(url: str, server: Server) -> AsyncIterator[Callers]:
    """While inside, four callers submit and read as fast as they are answered."""
    callers = Callers(url, server.tokens["sam"], pause=0.01)
    async with aiohttp.ClientSession(trust_env=False) as http, asyncio.TaskGroup() as group:
        tasks = [group.create_task(callers.call(http)) for _ in range(4)]
        yield callers
        for task in tasks:
            task.cancel()


async def answered(callers: Callers, count: int) -> None:
    """So many more."""
    enough = callers.answers.total() + count

    async def is_enough() -> bool:
        return callers.answers.total() >= enough

    await eventually(is_enough)


async def has_noticed(http: aiohttp.ClientSession, proxy: str, server: Server, folder: Path) -> bool:
    """Whether the server is not ready any more and the proxy knows, where it asks: nginx does not."""
    async with http.get(f"{server.url}/readyz") as answer:
        if answer.status == 200:
            return False
    return proxy == "nginx" or '"status_code":503' in (folder / "said").read_text()


def blocks(text: str) -> dict[str, list[str]]:
    """nginx's directives by the head of the block around them; enough for a file without quotes."""
    found: dict[str, list[str]] = {}
    around: list[str] = []
    for match in re.finditer(r"([^;{}]+)([;{])|(\})", re.sub(r"#.*", "", text)):
        if match[3]:
            around.pop()
        elif match[2] == "{":
            around.append(" ".join(match[1].split()))
        else:
            found.setdefault(around[-1], []).append(" ".join(match[1].split()))
    return found


@pytest.mark.parametrize("path", ["/stream/0198", "/v1/tasks/0198/events"])
def test_nginx_keeps_nothing_of_a_stream_back(path: str) -> None:
    found = blocks((DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    (streams,) = [head for head in found if head.startswith("location ~ ")]
    assert re.search(streams.removeprefix("location ~ "), path)
    assert {"proxy_buffering off", "proxy_cache off"} <= set(found[streams])
    assert {"proxy_set_header Host $host", "proxy_http_version 1.1"} <= set(found["server"])


@pytest.mark.parametrize("path", ["/", "/submit", "/inbox", "/v1/tasks", "/v1/tasks/0198", "/tasks/0198"])
def test_nginx_keeps_what_is_no_stream_as_it_always_does(path: str) -> None:
    found = blocks((DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    (streams,) = [head for head in found if head.startswith("location ~ ")]
    assert not re.search(streams.removeprefix("location ~ "), path)
    assert not [line for line in found["location /"] if line.startswith("proxy_buffering")]


def test_caddy_keeps_nothing_back_and_compose_tells_it_where_the_replicas_are() -> None:
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert "flush_interval -1" in text
    said = set(re.findall(r"\{\$(\w+)", text))
    assert said == compose()["services"]["proxy"]["environment"].keys()
