"""What follows at once: the same as an engine would store, in one transaction, and only of our own code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from core.errors import Forbidden
from core.model import Status, Verdict
from core.nodes import ProcessNode, ResultNode, ReviewNode
from core.processors import from_function, offline
from tests.core.graphs import definition, drafting, in_a_row
from tests.core.shapes import story
from tests.world import ANA, SAM, StoppedClock, theirs, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pocketflow import BaseNode

    from core.flow import FlowDefinition
    from core.store.database import Database
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


async def test_a_defect_in_what_follows_does_not_cost_the_decision(nobody_runs: World) -> None:
    task = await nobody_runs.submit(flow="two")
    review = await nobody_runs.open_review(task.id)
    nobody_runs.flows["two"].__dict__["routes"] = None
    decided = await nobody_runs.approve(review)
    assert decided.outcome == "approved"
    assert [found for found, _ in await nobody_runs.store.runnable()] == [task.id]


async def test_nothing_follows_from_a_refusal_or_an_answer_too_few(nobody_runs: World) -> None:
    task = await nobody_runs.submit()
    review = await nobody_runs.open_review(task.id)
    with pytest.raises(Forbidden):
        await nobody_runs.service.decide(review, SAM.id, Verdict.APPROVE, via="api")
    assert (await nobody_runs.service.task(task.id)).status is Status.WAITING_FOR_REVIEW
