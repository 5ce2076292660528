"""Very many waiting tasks in one file: how soon a start has them, and how fast they are decided."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.policies import multiply
from tests.bench.server import many, posted, serving, session, until_all_wait

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Seconds to `/readyz`, resident bytes then, and how the decisions went."""

    ready: float
    memory: int
    decided: int
    rate: float


async def drained(folder: Path, count: int, decide: int) -> Drained:
    """Let `count` tasks wait, start anew, and approve so many of them."""
    async with serving(folder) as server, session() as http:
        await posted(http, f"{server.url}/submit", {"data": "a text"}, server.headers("sam"))
        await until_all_wait(http, server)
    file = folder / "countersign.db"
    for done in range(0, count, BATCH):
        multiply(file, min(BATCH, count - done), ("task", "review", "event", "checkpoint"))
    async with serving(folder) as server, session() as http:
        ready, memory = server.ready_after, server.process.memory()
        tasks = iter(_waiting(file, decide))
        began = time.perf_counter()

        async def approve() -> None:
            url = f"{server.url}/feedback/{next(tasks)}"
            await posted(http, url, {"feedback": "approved"}, server.headers("ana"))

        await many(decide, 32, approve)
        await until_all_wait(http, server)
        took = time.perf_counter() - began
        with closing(sqlite3.connect(file)) as connection:
            completed = connection.execute("SELECT count(*) FROM task WHERE status = 'completed'").fetchone()[
                0
            ]
    if completed != decide:
        raise RuntimeError(f"{completed} of {decide} were completed.")
    return Drained(ready=ready, memory=memory, decided=decide, rate=decide / took)


def _waiting(file: Path, count: int) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute(
            "SELECT id FROM task WHERE status = 'waiting_for_review' LIMIT ?", (count,)
        )
        return [task for (task,) in found]
