"""What follows at once: the same as an engine would store, in one transaction, and only of our own code."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from core.errors import Forbidden
from core.model import ReviewRequest, Status, Verdict
from core.nodes import ProcessNode, ResultNode, ReviewNode
from core.processors import from_function, offline
from core.store import credentials
from tests.core.graphs import definition, drafting, in_a_row
from tests.core.shapes import story
from tests.world import ANA, SAM, StoppedClock, eventually, theirs, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pocketflow import BaseNode

    from core.flow import FlowDefinition
    from core.store.database import Database
    from core.store.lane import Lane
    from core.store.sql import SqlStore
    from core.store.transaction import Transaction
    from tests.world import World


class TheirResult(ResultNode):
    """Somebody's own."""

    def post(self, shared: dict[str, Any], prep_res: object, exec_res: object) -> None: ...


def patched() -> ReviewNode:
    node = ReviewNode()
    setattr(node, "post", lambda shared, prep_res, exec_res: "approved")  # noqa: B010 - the checker would not have it
    return node


THEIR_PROCESSOR = from_function(theirs, "theirs")
THEIRS = {
    "a processor": lambda: ProcessNode(processor=THEIR_PROCESSOR),
    "a result": TheirResult,
    "a condition": lambda: ReviewNode(when=bool),
    "what is shown": lambda: ReviewNode(show=str),
    "what becomes of an answer": lambda: ReviewNode(apply=lambda shared, answer: None),
    "a method in place of ours": patched,
}


@pytest.fixture
async def nobody_runs(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[World]:
    """Core whose engine runs nothing."""
    flows = {
        "draft": drafting(offline),
        "theirs": drafting(THEIR_PROCESSOR),
        "two": in_a_row(
            ProcessNode(processor=offline), ReviewNode("first"), ReviewNode("second"), ResultNode()
        ),
        **{what: behind_a_review(make()) for what, make in THEIRS.items()},
    }
    async with whole_core(sqlite_database, clock, flows=flows, limit=0) as world:
        yield world


def behind_a_review(node: BaseNode) -> FlowDefinition:
    first = ReviewNode("first")
    first - "approved" >> node
    first - "rejected" >> ResultNode("refused")
    return definition(first)


async def test_a_submission_and_a_decision_are_stored_with_what_follows(nobody_runs: World) -> None:
    task = await nobody_runs.submit()
    review = await nobody_runs.open_review(task.id)
    await nobody_runs.reject(review, comment="once more")
    review = await nobody_runs.open_review(task.id, attempt=2)
    with capture_logs() as logs:
        await nobody_runs.approve(review)
    now = await nobody_runs.service.task(task.id)
    assert (now.status, now.attempt, now.final_result) == (Status.COMPLETED, 2, now.draft)
    assert [line["event"] for line in logs if line["log_level"] == "info"] == [
        "decision_recorded",
        "task_completed",
    ]


async def test_each_is_one_transaction(nobody_runs: World) -> None:
    """What one unit stores has one time, and versions follow each other."""
    clock = nobody_runs.clock
    assert isinstance(clock, StoppedClock)
    task = await nobody_runs.submit(flow="two")
    for _ in range(2):
        clock.advance(seconds=1)
        [waiting] = await nobody_runs.service.waiting_for(ANA.id)
        await nobody_runs.approve(waiting.id)
    stored = await nobody_runs.store.events(task.id, 0)
    assert [event.seq for event in stored] == [*range(1, len(stored) + 1)]
    assert len({event.at for event in stored}) == 3
    assert not await nobody_runs.store.runnable()


async def test_it_is_what_an_engine_stores(sqlite_database: Database, clock: StoppedClock) -> None:
    told: list[Any] = []
    flows = {"draft": drafting(offline), "theirs": drafting(THEIR_PROCESSOR)}
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        for flow in flows:
            task = await world.submit(flow=flow)
            await world.reject(await world.open_review(task.id), comment="once more")
            await world.approve(await world.open_review(task.id, attempt=2))
            end = await world.end(task.id)
            checkpoints = await world.service.checkpoints.of_task(task.id)
            told.append(
                (
                    story(await world.history(task.id)),
                    [(c.number, c.node, c.action, c.cause, c.changes) for c in checkpoints],
                    (end.status, end.outcome, end.attempt, end.final_result, end.node, end.point),
                )
            )
    assert told[0] == told[1]


@pytest.mark.parametrize("what", THEIRS)
async def test_before_anybody_elses_code_the_task_is_left_to_an_engine(nobody_runs: World, what: str) -> None:
    task = await nobody_runs.submit(flow=what)
    await nobody_runs.approve(await nobody_runs.open_review(task.id))
    assert (await nobody_runs.service.task(task.id)).status is Status.RUNNING
    assert [found for found, _ in await nobody_runs.store.runnable()] == [task.id]


async def test_a_processor_of_somebodys_is_left_to_an_engine(nobody_runs: World) -> None:
    task = await nobody_runs.submit(flow="theirs")
    assert (await nobody_runs.service.task(task.id)).status is Status.PENDING


@pytest.mark.parametrize("part", ["routes", "graph"])
async def test_a_defect_in_what_follows_does_not_cost_the_decision(nobody_runs: World, part: str) -> None:
    task = await nobody_runs.submit(flow="two")
    review = await nobody_runs.open_review(task.id)
    nobody_runs.flows["two"].__dict__[part] = None
    with capture_logs() as logs:
        decided = await nobody_runs.approve(review)
    assert decided.outcome == "approved"
    told = [(line["task_id"], line["error"]) for line in logs if line["event"] == "sequel_broke"]
    assert told == ([(task.id, "AttributeError")] if part == "graph" else []), (
        "what a node does is the segment's to tell"
    )
    assert [found for found, _ in await nobody_runs.store.runnable()] == [task.id]


async def test_nothing_follows_from_a_refusal_or_an_answer_too_few(nobody_runs: World) -> None:
    task = await nobody_runs.submit()
    review = await nobody_runs.open_review(task.id)
    with pytest.raises(Forbidden):
        await nobody_runs.service.decide(review, SAM.id, Verdict.APPROVE, via="api")
    assert (await nobody_runs.service.task(task.id)).status is Status.WAITING_FOR_REVIEW


async def test_only_what_was_committed_is_told(postgres_database: Database, clock: StoppedClock) -> None:
    """A group that is run again may find no more room here, so that the end is a job's to reach."""
    rooms = iter([True, False])

    def broken(tx: Transaction) -> None:
        tx.run(credentials.REPLACE_SECRET, name="nobody's", value=b"1")
        raise ZeroDivisionError

    async with whole_core(postgres_database, clock, is_shared=True, limit=0) as world:
        task = await world.submit()
        review = await world.open_review(task.id)
        world.store.ask_for_room(lambda: next(rooms))
        with capture_logs() as logs:
            decided, failed = await one_group(world.store, world.approve(review), broken)
        assert (type(decided), type(failed)) == (ReviewRequest, ZeroDivisionError)
        assert next(rooms, None) is None, "it was run twice"
        assert (await world.service.task(task.id)).status is Status.RUNNING
    told = [line["event"] for line in logs]
    assert "decision_recorded" in told
    assert "task_completed" not in told


async def one_group(store: SqlStore, first: Awaitable[Any], second: Callable[[Transaction], None]) -> Any:
    """What came of both, which the store ran in one transaction at first."""
    free = threading.Event()
    lane = store.lanes["write"]
    blocking = asyncio.ensure_future(lane.run(lambda _: free.wait()))
    await eventually(partial(_waiting, lane, 0))
    both = asyncio.gather(first, lane.run(second), return_exceptions=True)
    await eventually(partial(_waiting, lane, 2))
    free.set()
    await blocking
    return await both


async def _waiting(lane: Lane, units: int) -> bool:
    await asyncio.sleep(0)
    return lane.waiting == units
