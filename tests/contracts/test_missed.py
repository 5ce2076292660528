"""A compare-and-set that finds nothing, with a wait before it and none after it: its unit leaves nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import ReviewIsClosed, StaleRun
from core.events import AttemptStarted, DecisionRecorded, ReviewRequested
from core.lifecycle import after
from core.model import Checkpoint, NewReview, ReviewId, Status, Step
from core.store import credentials
from core.store.sql import SqlStore
from tests.contracts.conftest import on
from tests.contracts.hearts import A, B, dies, replica
from tests.contracts.lanes import Unit, in_one_group, kept
from tests.contracts.steps import ANYONE, decide, new_id, parked, submitted, waiting
from tests.world import PATIENCE, SAM, Diary, StoppedClock

if TYPE_CHECKING:
    from core.model import Position
    from core.store.database import Database
    from core.store.lane import Lane
    from core.store.transaction import Transaction

LOST = ReviewIsClosed("Somebody else was first.")


@pytest.fixture
def writer(postgres_writer: Lane) -> Lane:
    return postgres_writer


def reads_then_misses(tx: Transaction) -> None:
    credentials.secret(tx, "7")
    tx.must(credentials.REPLACE_SECRET, LOST, name="nobody's", value=b"1")


def writes_then_misses(tx: Transaction) -> None:
    tx.insert(credentials.INSERT_SECRET, name="5", value=b"1")
    tx.must(credentials.REPLACE_SECRET, LOST, name="nobody's", value=b"1")


async def together(store: SqlStore, review: ReviewId, step: Step) -> list[Any]:
    """What a decision and a step bring that share a group, in this order."""
    hold, holding = threading.Event(), threading.Event()

    def wait(_: Transaction) -> None:
        holding.set()
        hold.wait(PATIENCE)

    first = asyncio.ensure_future(store._write.run(wait))
    await asyncio.to_thread(holding.wait, PATIENCE)
    both = asyncio.gather(decide(store, review), store.step(step), return_exceptions=True)
    await asyncio.sleep(0)
    hold.set()
    await first
    return list(await both)


def step_from(position: Position, *events: AttemptStarted | ReviewRequested, **more: Any) -> Step:
    made = Checkpoint(node="process", action=None, attempt=1, state="{}")
    return Step(
        task=position.task.id,
        version=position.version,
        seq=position.seq,
        status=after(position.task.status, *events) if events else Status.RUNNING,
        first_checkpoint=1,
        attempt=1,
        checkpoints=(made,),
        events=events,
        **more,
    )


async def test_of_a_unit_alone_nothing_stays(writer: Lane) -> None:
    with pytest.raises(ReviewIsClosed):
        await writer.run(reads_then_misses)
    assert await writer.run(kept) == set()


async def test_of_the_last_of_a_group_nothing_stays(writer: Lane) -> None:
    units: list[Any] = [Unit("1", 1), writes_then_misses]
    answers = await in_one_group(writer, units)
    assert [type(answer) for answer in answers] == [str, ReviewIsClosed]
    assert await writer.run(kept) == {"1"}


async def test_a_decision_beside_a_stale_step_is_stored_once_and_told(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review, other = await waiting(store), await submitted(store)
        position = await store.position(other.id)
        assert position is not None
        await store.cancel(other.id, SAM.id)
        diary = Diary()
        store.listen(diary)
        decided, stepped = await together(store, review, step_from(position, node="process", begun=True))
        assert isinstance(stepped, StaleRun)
        assert not isinstance(decided, BaseException)
        assert decided[1] is None
        assert [type(told.event) for told in diary.events].count(DecisionRecorded) == 1
        assert len(await store.checkpoints(other.id, before=None, limit=10)) == 1, "as submitted"


async def test_who_was_taken_for_dead_leaves_nothing_of_what_it_brings_later(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with replica(postgres_database, clock, A) as a, replica(postgres_database, clock, B) as b:
        review, other = await waiting(a), await submitted(a)
        position = await a.position(other.id)
        assert position is not None
        dies(postgres_database, A)
        assert await b.take(other.id)
        ghost = ReviewId(new_id())
        asked = ReviewRequested(review=ghost, attempt=1, draft="of a ghost")
        stale = step_from(
            position,
            AttemptStarted(attempt=1),
            asked,
            node="review",
            review=NewReview(id=ghost, policy=ANYONE),
        )
        decided, stepped = await together(a, review, stale)
        assert isinstance(stepped, StaleRun)
        assert not isinstance(decided, BaseException)
        assert on(postgres_database, f"SELECT id FROM review WHERE id = '{ghost}'") == []  # noqa: S608 - ours
        await parked(b, other.id)
