"""How long decisions take while very many submissions come in at once.

Those who submit are a process of their own, and one that leaves the processor to others: on the machine that
serves, they would else be measured with it, and so would their answers in the loop of the one who decides.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from tests.bench.server import many, posted, serving, session

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.bench.server import Server

FLOOD = 10_000
AT_ONCE = 64
DECISIONS = 1_000
"""At rest, and at most as many again during the flood."""
NICE = 10
PATIENCE = 300.0
"""Seconds for the whole flood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flooded:
    """The p99 of decisions in seconds, at rest and during the flood."""

    idle: float
    flooded: float
    refused: int
    """Submissions that were told to come back later, and came."""


async def flooded(folder: Path, url: str | None) -> Flooded:
    """One reviewer decides one review after another, first with nothing else going on."""
    own = {} if url is None else {"COUNTERSIGN_DATABASE_URL": url}
    async with serving(folder, **own) as server, session(limit=0) as http:
        waiting = [await _waiting(http, server) for _ in range(2 * DECISIONS + 100)]
        decided = iter(waiting)
        for _ in range(100):
            await _decided(http, server, next(decided))
        idle = [await _decided(http, server, next(decided)) for _ in range(DECISIONS)]
        during: list[float] = []
        async with _flooding(server) as flood:
            while flood.returncode is None and (task := next(decided, None)) is not None:
                during.append(await _decided(http, server, task))
            refused = await _ended(flood)
    return Flooded(idle=_p99(idle), flooded=_p99(during), refused=refused)


@asynccontextmanager
async def _flooding(server: Server) -> AsyncIterator[Process]:
    """The flood, from its first answer on."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, server.url),
        env={**os.environ, "FLOOD_TOKEN": server.tokens["sam"]},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _line(process)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ended(process: Process) -> int:
    """Wait for it; how many were told to come back."""
    refused = int(await _line(process))
    await process.wait()
    return refused


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return await process.stdout.readline()


async def _waiting(http: ClientSession, server: Server) -> str:
    """A task whose review is open."""
    task = str(
        (await posted(http, f"{server.url}/submit", {"data": "a text"}, server.headers("sam")))["task_id"]
    )
    async with http.get(f"{server.url}/stream/{task}", headers=server.headers("ana")) as stream:
        await stream.content.readuntil(b"waiting_for_review")
    return task


async def _decided(http: ClientSession, server: Server, task: str) -> float:
    began = time.perf_counter()
    await posted(http, f"{server.url}/feedback/{task}", {"feedback": "approved"}, server.headers("ana"))
    return time.perf_counter() - began


async def _flood(url: str, token: str) -> None:
    os.nice(NICE)
    refusals: list[str] = []
    async with session(limit=0) as http:
        await _submitted(http, url, token, refusals)
        print("begun", flush=True)
        await many(FLOOD - 1, AT_ONCE, lambda: _submitted(http, url, token, refusals))
    print(len(refusals), flush=True)


async def _submitted(http: ClientSession, url: str, token: str, refusals: list[str]) -> None:
    body: dict[str, Any] = {"data": "a text to be reviewed"}
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        async with http.post(f"{url}/submit", json=body, headers=headers) as answer:
            if answer.status < 300:
                return
            if answer.status not in {429, 503}:
                raise RuntimeError(f"{answer.status} {await answer.text()}")
            refusals.append(answer.headers["Retry-After"])
        await asyncio.sleep(float(refusals[-1]))


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98]


if __name__ == "__main__":
    asyncio.run(_flood(sys.argv[1], os.environ["FLOOD_TOKEN"]))
