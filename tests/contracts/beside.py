"""A unit of another server, whose transaction stays open until it is let go: on PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from core.store import chats
from core.store.postgresql import conninfo
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from core.store.database import Database
    from core.store.lane import Lane
    from core.store.transaction import Transaction

T = TypeVar("T")

WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@asynccontextmanager
async def held(writer: Lane, unit: Callable[[Transaction], object]) -> AsyncIterator[None]:
    """Inside, the server has done all that the unit asked of it, and committed nothing."""
    done, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        unit(tx)
        tx.one(chats.KNOWN_UPDATE, channel="", id="")  # an answer: the server is through
        done.set()
        go.wait(PATIENCE)

    holding = asyncio.ensure_future(writer.run(hold))
    await asyncio.to_thread(done.wait, PATIENCE)
    try:
        yield
    finally:
        go.set()
        await holding


async def begun(database: Database, beside: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin it, until it is done or waits for a lock."""
    import psycopg

    task = asyncio.create_task(beside)
    async with await psycopg.AsyncConnection.connect(conninfo(database), autocommit=True) as looking:

        async def is_known() -> bool:
            return task.done() or await (await looking.execute(WAITS)).fetchone() is not None

        await eventually(is_known)
    return task
