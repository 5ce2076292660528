"""Two servers that mark reviews as stuck at once, in opposite orders: neither waits for the other."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from core.model import TimerKind
from core.store import firing, holding
from core.store.lane import Lane
from core.store.postgresql import conninfo
from core.store.sql import SqlStore
from tests.contracts.beside import WAITS, held
from tests.contracts.lanes import Told
from tests.contracts.steps import waiting
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.store.database import Database
    from core.store.transaction import Transaction
    from tests.world import StoppedClock


class Marking:
    """A unit of one server; the database would end one of two that wait for each other, and it would be run
    again."""

    def __init__(self, reviews: Sequence[str]) -> None:
        self.reviews = reviews
        self.runs = 0

    def __call__(self, tx: Transaction) -> None:
        self.runs += 1
        firing.mark_stuck(tx, self.reviews)


async def test_two_servers_that_mark_the_same_reviews_in_opposite_orders_do_not_wait_for_each_other(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock
) -> None:
    """A third holds the first task of the order until both are in the middle."""
    other = Lane(postgres_database, clock, writes=True, committed=Told())
    other.start()
    async with SqlStore(postgres_database, clock) as store:
        opened = [await store.review(await waiting(store)) for _ in range(2)]
        first, last = sorted(opened, key=lambda review: review.task.id)
        there, back = Marking([first.id, last.id]), Marking([last.id, first.id])
        third = Lane(postgres_database, clock, writes=True, committed=Told())
        third.start()
        async with held(third, partial(_lock, task=first.task.id)):
            marking = [asyncio.create_task(postgres_writer.run(there))]
            await _waits(postgres_database, 1)
            marking.append(asyncio.create_task(other.run(back)))
            await _waits(postgres_database, 2)
        await asyncio.gather(*marking)
        assert (there.runs, back.runs) == (1, 1), "neither was ended by the database"
        for review in opened:
            assert [timer.kind for timer in await store.timers(review.id)] == [TimerKind.STUCK]
    await asyncio.gather(other.stop(), third.stop())


def _lock(tx: Transaction, task: str) -> None:
    tx.lock(holding.LOCK_TASK, id=task)


async def _waits(database: Database, many: int) -> None:
    """Until so many wait for locks."""
    import psycopg

    async with await psycopg.AsyncConnection.connect(conninfo(database), autocommit=True) as looking:

        async def are_there() -> bool:
            return len(await (await looking.execute(WAITS)).fetchall()) >= many

        await eventually(are_there)
