"""What is unfinished, counted by indexes, is what the whole table says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from core.events import AttemptStarted, TaskCompleted
from core.model import MessageRef, Status
from core.store.census import COUNTED
from core.store.sql import SqlStore
from tests.contracts.steps import ANYONE, decide, parked, step, submitted, waiting
from tests.world import DESK, HALL, PAPER, SAM

if TYPE_CHECKING:
    from datetime import datetime

    from core.store.database import Database
    from tests.world import StoppedClock

CARDS = replace(ANYONE, recipients=(DESK, HALL))


async def test_tasks_that_have_not_ended(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        assert set((await store.census([])).tasks.values()) == {0}
        await submitted(store)
        at_work = await submitted(store)
        await step(store, at_work.id, AttemptStarted(attempt=1), begun=True)
        await waiting(store)
        decided = await waiting(store)
        await decide(store, decided)
        gone = await submitted(store)
        await parked(store, gone.id)
        await store.cancel(gone.id, SAM.id)
        ended = await submitted(store)
        await step(store, ended.id, AttemptStarted(attempt=1), TaskCompleted(final_result="x", outcome=None))
        counts = await store.counts()
        found = (await store.census([])).tasks
    assert counts[Status.CANCELLED] == counts[Status.COMPLETED] == 1
    assert found == {
        status: counts.get(status, 0)
        for status in (Status.PENDING, Status.RUNNING, Status.WAITING_FOR_REVIEW)
    }
    assert found == {Status.PENDING: 1, Status.RUNNING: 2, Status.WAITING_FOR_REVIEW: 1}


async def test_since_when_the_oldest_work_waits_to_be_taken_up(
    any_database: Database, clock: StoppedClock
) -> None:
    """What runs, waits for people or is to be tried again later waits for nobody of ours."""
    async with SqlStore(any_database, clock) as store:

        async def oldest() -> datetime | None:
            return (await store.census([])).oldest

        assert await oldest() is None
        await waiting(store)
        assert await oldest() is None
        first = clock.now()
        begun = await submitted(store)
        clock.advance(seconds=30)
        second = clock.now()
        tried = await submitted(store)
        assert await oldest() == first
        await step(store, begun.id, AttemptStarted(attempt=1), begun=True)
        assert await oldest() == second
        again = clock.now() + timedelta(minutes=1)
        await step(store, tried.id, AttemptStarted(attempt=1), due_at=again)
        assert await oldest() is None
        clock.advance(minutes=5)
        assert await oldest() == again
        decided = await waiting(store)
        clock.advance(minutes=5)
        await decide(store, decided)
        await store.cancel(tried.id, SAM.id)
        assert await oldest() == clock.now()


async def test_what_a_channel_has_still_to_show(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        assert (await store.census([PAPER])).backlogs[PAPER].since is None
        since = clock.now()
        await waiting(store, CARDS)
        clock.advance(seconds=30)
        await waiting(store, CARDS)
        found = (await store.census([PAPER])).backlogs[PAPER]
        assert (found.waiting, found.since) == (4, since)
        for due in await store.due_deliveries(PAPER):
            await store.delivery_shown(due, MessageRef(due.id))
        second = clock.now()
        for due in await store.due_deliveries(PAPER):
            await store.delivery_failed(due, "It is down.", clock.now() + timedelta(hours=1))
        clock.advance(minutes=30)
        found = (await store.census([PAPER])).backlogs[PAPER]
        assert (found.waiting, found.since) == (2, second)
    assert COUNTED >= 1_000
