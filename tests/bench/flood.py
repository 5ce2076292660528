"""How long decisions take while very many submissions come in at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from tests.bench.server import many, posted, serving, session

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.bench.server import Server

FLOOD = 10_000
AT_ONCE = 64
DECISIONS = 1_000
"""At rest, and at most as many again during the flood."""


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
        refusals: list[str] = []
        flood = asyncio.ensure_future(many(FLOOD, AT_ONCE, lambda: _submitted(http, server, refusals)))
        during: list[float] = []
        while not flood.done() and (task := next(decided, None)) is not None:
            during.append(await _decided(http, server, task))
        await flood
    return Flooded(idle=_p99(idle), flooded=_p99(during), refused=len(refusals))


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


async def _submitted(http: ClientSession, server: Server, refusals: list[str]) -> None:
    body: dict[str, Any] = {"data": "a text to be reviewed"}
    while True:
        async with http.post(f"{server.url}/submit", json=body, headers=server.headers("sam")) as answer:
            if answer.status < 300:
                return
            if answer.status not in {429, 503}:
                raise RuntimeError(f"{answer.status} {await answer.text()}")
            refusals.append(answer.headers["Retry-After"])
        await asyncio.sleep(float(refusals[-1]))


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98]
