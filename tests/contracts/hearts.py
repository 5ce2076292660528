"""Replicas without an engine, whose hearts beat and stop when the test says so."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from core.store.sql import SqlStore
from tests.contracts.conftest import on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.world import StoppedClock


A, B = "a" * 32, "b" * 32


@asynccontextmanager
async def replica(
    database: Database, clock: StoppedClock, name: str, *, room: bool = True, is_new: bool = False
) -> AsyncIterator[SqlStore]:
    """One that lives, without an engine; unless it `is_new`, it has for so long that it may judge others."""
    async with SqlStore(database, clock, replica=name) as store:
        store.ask_for_room(lambda: room)
        [(worker,)] = on(database, "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
        store.describe(name=f"{name[0]}:1", release="1", configuration=name)
        if not is_new:
            beats(database, worker, ago=18)
        await store.enlist(worker)
        for ago in () if is_new else (12, 6, 0):  # no gap, though some seconds pass between two
            beats(database, worker, ago=ago)
            await store.beaten(worker)
        yield store


def beats(database: Database, worker: int, *, ago: float = 0) -> None:
    """So many seconds ago by the database's clock."""
    on(
        database,
        f"UPDATE procrastinate_workers SET last_heartbeat = now() - interval '{ago} seconds'"  # noqa: S608 - ours
        f" WHERE id = {worker}",
    )


def worker_of(database: Database, name: str) -> int:
    [(found,)] = on(database, f"SELECT worker FROM replica WHERE id = '{name}'")  # noqa: S608 - ours
    return int(found)


def dies(database: Database, name: str) -> None:
    on(
        database,
        "UPDATE procrastinate_workers w SET last_heartbeat = now() - interval '16 seconds'"  # noqa: S608 - ours
        f" FROM replica r WHERE w.id = r.worker AND r.id = '{name}'",
    )
