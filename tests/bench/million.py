"""Very many waiting tasks: how soon a start has them, what they take, and how fast they are decided."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.multitude import multiply, rows, tidied
from tests.bench.server import many, posted, serving, session, until_all_wait
from tests.bench.wire import wires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.postgres import Postgres

CLIENTS = 32
STARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How it went, with so many tasks waiting at the beginning."""

    ready: float
    """Seconds from the start of the process to `/readyz`, the best of four."""
    memory: int
    """Resident bytes then."""
    memory_after: int
    """And once the decisions were made."""
    waiting: int
    decided: int
    """Each of them completed; all others wait still."""
    seconds: float
    """From the first decision to the last completion."""
    busy: float
    """Share of one core that the service took meanwhile."""
    database_busy: float

    @property
    def rate(self) -> float:
        return self.decided / self.seconds


async def drained(
    folder: Path, count: int, patience: float, most: int | None, database: Postgres | None
) -> Drained:
    """Let `count` tasks wait, start anew, and approve one after the other: all, or for so many seconds."""
    url = _file(folder) if database is None else database.migrated("million")
    own = {"COUNTERSIGN_DATABASE_URL": url}
    async with serving(folder, **own) as server, session() as http:
        await posted(http, f"{server.url}/submit", {"data": "a text"}, server.headers("sam"))
        await until_all_wait(http, server)
    multiply(url, count - 1)
    tidied(url)
    starts = []
    for _ in range(STARTS):
        async with serving(folder, **own) as server:
            starts.append(server.ready_after)
    found = rows(url, "SELECT id FROM task WHERE status = 'waiting_for_review' ORDER BY created_at, id")
    if len(found) != count:
        raise RuntimeError(f"{len(found)} of {count} wait.")
    tasks = [str(task) for (task,) in found[:most]]
    decided: list[str] = []
    async with serving(folder, **own) as server, session() as http, wires() as lines:
        starts.append(server.ready_after)
        memory = server.process.memory()
        cpu, stored, began = server.process.cpu(), _cpu(database), time.perf_counter()
        left = (task for task in tasks if time.perf_counter() - began < patience)

        async def approve() -> None:
            task = next(left, None)
            if task is not None:
                url = f"{server.url}/feedback/{task}"
                await lines.post(url, {"feedback": "approved"}, server.headers("ana"))
                decided.append(task)

        await many(len(tasks), CLIENTS, approve)
        await until_all_wait(http, server)
        took = time.perf_counter() - began
        busy, database_busy = (server.process.cpu() - cpu) / took, (_cpu(database) - stored) / took
        after = server.process.memory()
    _check(url, set(decided), count)
    return Drained(
        ready=min(starts),
        memory=memory,
        memory_after=after,
        waiting=count,
        decided=len(decided),
        seconds=took,
        busy=busy,
        database_busy=database_busy,
    )


def _file(folder: Path) -> str:
    return f"sqlite:///{folder.absolute() / 'countersign.db'}"


def _check(url: str, decided: set[str], count: int) -> None:
    """Exactly what was decided is completed, once; exactly the rest still waits."""
    completed = {task for (task,) in rows(url, "SELECT id FROM task WHERE status = 'completed'")}
    (waiting,) = rows(url, "SELECT count(*) FROM task WHERE status = 'waiting_for_review'")[0]
    (decisions,) = rows(url, "SELECT count(*) FROM decision")[0]
    if completed != decided or waiting != count - len(decided) or decisions != len(decided):
        raise RuntimeError(
            f"Of {len(decided)} decided {len(completed)} were completed with {decisions} decisions; "
            f"{waiting} of {count} wait."
        )


def _cpu(database: Postgres | None) -> float:
    return 0.0 if database is None else database.cpu()
