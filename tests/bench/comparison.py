"""Countersign and a LangGraph service of the same job, turn by turn in the same minutes, on one database."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import time
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.server import Server, environment, free_port, many, serving, trip, until_ready
from tests.bench.wire import wires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.bench.postgres import Postgres
    from tests.bench.wire import Wires

CLIENTS = 32
ALONE = 300
"""Round trips of one client alone."""
WARM = 200
THEIRS = 4
"""Theirs are this much fewer: they take longer, and the figures are per round trip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one batch of round trips cost each."""

    cpu: float
    """Seconds of the service."""
    database: float
    """Seconds of the database's own processes; none for SQLite, which is in the service."""
    rate: float


@dataclass(slots=True)
class Service:
    """One service under load, and what was measured of it."""

    server: Server
    database: Postgres | None
    batches: list[Batch] = field(default_factory=list)
    decided: list[float] = field(default_factory=list)
    """Seconds until each decision was answered, of 32 clients."""
    decided_alone: list[float] = field(default_factory=list)

    async def batch(self, http: Wires, trips: int) -> None:
        stored = self._stored()
        cpu, began = self.server.process.cpu(), time.perf_counter()
        await many(trips, CLIENTS, lambda: trip(http, self.server, self.decided))
        took = time.perf_counter() - began
        self.batches.append(
            Batch(
                cpu=(self.server.process.cpu() - cpu) / trips,
                database=(self._stored() - stored) / trips,
                rate=trips / took,
            )
        )

    def _stored(self) -> float:
        return 0.0 if self.database is None else self.database.cpu()

    @property
    def cpu(self) -> float:
        return median(batch.cpu for batch in self.batches)

    @property
    def database_cpu(self) -> float:
        return median(batch.database for batch in self.batches)

    @property
    def cpu_in_all(self) -> float:
        return median(batch.cpu + batch.database for batch in self.batches)

    @property
    def rate(self) -> float:
        return median(batch.rate for batch in self.batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Both on one database; `theirs` is None where LangGraph is not installed."""

    ours: Service
    theirs: Service | None


def is_installed() -> bool:
    """Whether the extra `countersign[langgraph]` is."""
    return all(
        importlib.util.find_spec(name) is not None for name in ("langgraph", "aiosqlite", "psycopg_pool")
    )


async def compared(folder: Path, trips: int, batches: int, database: Postgres | None = None) -> Compared:
    """On `database`, or else on SQLite; each batch of ours is followed by one of theirs."""
    own = {} if database is None else {"COUNTERSIGN_DATABASE_URL": database.migrated("countersign")}
    url = f"sqlite:///{folder / 'langgraph.db'}" if database is None else database.database("langgraph")
    beside = langgraph(folder, url) if is_installed() else nullcontext()
    async with serving(folder, **own) as server, beside as other, wires() as http:
        ours = Service(server, database)
        theirs = None if other is None else Service(other, database)
        both = [(ours, trips)] if theirs is None else [(ours, trips), (theirs, trips // THEIRS)]
        for each, _ in both:
            await many(WARM, CLIENTS, lambda each=each: trip(http, each.server))
        for _ in range(batches):
            for each, count in both:
                await each.batch(http, count)
        for each, _ in both:
            for _ in range(ALONE):
                await trip(http, each.server, each.decided_alone)
    return Compared(ours=ours, theirs=theirs)


@asynccontextmanager
async def langgraph(folder: Path, url: str) -> AsyncIterator[Server]:
    """Start the LangGraph service, wait until it is ready, stop it with SIGTERM."""
    port = free_port()
    log = folder / "langgraph.log"
    popen = _started(port, url, log)
    server = Server(folder, port, {"sam": "", "ana": ""}, popen)
    server.log = log
    try:
        await until_ready(server)
        yield server
    finally:
        popen.terminate()
        await asyncio.to_thread(popen.wait, 15)


def _started(port: int, url: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.bench.langgraph_service", str(port), url],
            env=environment(port),
            stdout=output,
            stderr=output,
        )
