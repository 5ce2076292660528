"""A real `countersign serve` in a process of its own, and a client that walks round trips on it."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from functools import cache
from itertools import cycle
from random import shuffle
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from tests.bench.machine import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.bench.wire import Wires

CONFIGURATION = """
[people.sam]
name = "Sam Submitter"
[people.ana]
name = "Ana Reviewer"
slack = "U01ANA"
telegram = 42
[policies.default]
reviewers = ["ana"]
"""
READY_WITHIN = 60.0


class Server:
    """One started server and the tokens of its two people."""

    def __init__(
        self, folder: Path, port: int, tokens: dict[str, str], process: subprocess.Popen[bytes]
    ) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.tokens = tokens
        self.popen = process
        self.process = Process(process.pid)
        self.started_at = time.perf_counter()
        self.ready_after = 0.0
        """Seconds from the start of the process to `/readyz`."""

    def headers(self, person: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[person]}"}


def environment(port: int, **more: str) -> dict[str, str]:
    """Nothing of the caller's own settings; chat off."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COUNTERSIGN_", "SLACK_", "TELEGRAM_"))}
    return {**kept, "COUNTERSIGN_HOST": "127.0.0.1", "COUNTERSIGN_PORT": str(port), **more}


def free_port() -> int:
    """None that a system gives to whoever asks for any, and none of another test process's: that one might be
    given away before it is used."""
    return next(port for port in _block() if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@cache
def _block() -> Iterator[int]:
    """This process's own ports, over and over: by whoever holds the first of a hundred the rest are taken."""
    firsts = list(range(12_000, 32_000, 100))
    shuffle(firsts)
    for first in firsts:
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", first))
        except OSError:
            holder.close()
            continue
        atexit.register(holder.close)
        return cycle(range(first + 1, first + 100))
    raise RuntimeError("Two hundred processes of tests have all ports.")


@asynccontextmanager
async def serving(folder: Path, *, config: str = CONFIGURATION, **more: str) -> AsyncIterator[Server]:
    """Start it in `folder`, wait until it is ready, stop it with SIGTERM."""
    (folder / "countersign.toml").write_text(config)
    port = free_port()
    env = environment(port, **more)
    tokens = {person: token(folder, env, person) for person in ("sam", "ana")}
    popen = started(folder, env)
    server = Server(folder, port, tokens, popen)
    try:
        server.ready_after = await until_ready(server)
        yield server
    finally:
        popen.terminate()
        await asyncio.to_thread(popen.wait, 15)


def started(folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Not ready yet; its log goes on where an earlier one's ended."""
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "countersign", "serve"], cwd=folder, env=env, stdout=log, stderr=log
        )


def token(folder: Path, env: dict[str, str], person: str) -> str:
    printed = subprocess.run(
        [sys.executable, "-m", "countersign", "link", person],
        cwd=folder,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"token: (\S+)", printed)
    assert found, printed
    return found[1]


async def until_ready(server: Server) -> float:
    """Seconds until `/readyz` answered 200."""
    began = time.perf_counter()
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{server.url}/readyz") as answer:
                    if answer.status == 200:
                        return time.perf_counter() - began
            except aiohttp.ClientConnectionError:
                pass
            if server.popen.poll() is not None or time.perf_counter() - began > READY_WITHIN:
                raise RuntimeError(server.log.read_text()[-2000:])
            await asyncio.sleep(0.005)


class Asked(Protocol):
    """A server, or several under one address."""

    @property
    def url(self) -> str: ...

    def headers(self, person: str) -> dict[str, str]: ...


async def trip(wires: Wires, server: Asked, decided: list[float] | None = None) -> float:
    """Submit, reject, approve, completed seen on SSE; seconds from the approval to the completion.

    `decided` gets the seconds that each decision took to be answered.
    """
    sam, ana = server.headers("sam"), server.headers("ana")
    task = (await wires.post(f"{server.url}/submit", {"data": "a text to be reviewed"}, sam))["task_id"]
    verdicts = [{"feedback": "rejected", "comment": "once more"}, {"feedback": "approved"}]
    approved_at = completed_at = 0.0
    async for line in wires.lines(f"{server.url}/stream/{task}", ana):
        if not line.startswith(b"data: "):
            continue
        message = json.loads(line[6:])
        if message["status"] == "waiting_for_review":
            approved_at = time.perf_counter()
            await wires.post(f"{server.url}/feedback/{task}", verdicts.pop(0), ana)
            if decided is not None:
                decided.append(time.perf_counter() - approved_at)
        elif message["status"] == "completed":
            completed_at = time.perf_counter()
    if not completed_at:
        raise RuntimeError("the stream ended before the task did")
    return completed_at - approved_at


async def posted(http: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str]) -> Any:
    async with http.post(url, json=body, headers=headers) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status} {await answer.text()}")
        return await answer.json()


async def until_all_wait(http: aiohttp.ClientSession, server: Server) -> None:
    """Until no task is pending or running."""
    headers = server.headers("sam")
    while True:
        open_tasks = 0
        for status in ("pending", "running"):
            async with http.get(f"{server.url}/v1/tasks?status={status}&limit=1", headers=headers) as answer:
                open_tasks += len((await answer.json())["tasks"])
        if not open_tasks:
            return
        await asyncio.sleep(0.05)


def session(limit: int = 256) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit))


async def many(count: int, at_once: int, one: Any) -> list[Any]:
    """`one()` so often, so many at once."""
    left = iter(range(count))
    results: list[Any] = []

    async def worker() -> None:
        results.extend([await one() for _ in left])

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return results
