"""What flows, people and moments do that nobody meant them to: nothing is lost, doubled or stuck."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pocketflow import AsyncFlow, Flow

from core.errors import CountersignError, StaleReview
from core.events import DecisionRecorded, NodeRetried, ReviewRequested
from core.model import LOCAL, Answer, OpenReview, Outcome, ReviewRequest, Status, Verdict
from core.nodes import ReviewNode, progress, review
from core.states import MAX_STATE
from tests.core.graphs import Does, DoesInThread, Shared, in_a_row
from tests.core.small_flows import ended_twice, flow_of, sets
from tests.world import ANA, BEN, DESK, PaperChannel, StoppedClock, eventually, policies, whole_core

if TYPE_CHECKING:
    from core.store.database import Database


class Panic(BaseException):
    """As a Rust extension raises it: no Exception."""


async def panics(shared: Shared) -> None:
    raise Panic("the extension broke")


async def fails_in_a_group(shared: Shared) -> None:
    raise BaseExceptionGroup("several", [Panic("the extension broke")])


@pytest.mark.parametrize("work", [panics, fails_in_a_group])
async def test_a_node_that_raises_what_is_no_exception_fails_its_task(
    sqlite_database: Database, clock: StoppedClock, work: Any
) -> None:
    flow = flow_of(Flow(start=Does("hot", work)), retries=0)
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
    assert done.status is Status.FAILED
    assert done.error is not None
    assert "Node 'hot' failed" in done.error


async def test_a_review_asked_in_a_group_of_tasks_waits_for_people(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def asks(shared: Shared) -> None:
        async with asyncio.TaskGroup():
            answer = await review("in a group")
        shared["final_result"] = answer.content

    flow = flow_of(Flow(start=Does("asks", asks)))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).final_result == "in a group"


@pytest.mark.parametrize("again", [False, True])
async def test_a_node_cannot_go_on_past_its_own_review_by_catching_everything(
    sqlite_database: Database, clock: StoppedClock, again: bool
) -> None:
    async def asks(shared: Shared) -> None:
        try:
            answer = await review("may I?")
        except BaseException:  # noqa: BLE001 - as careless as people are
            if again:
                raise RuntimeError("cleaning up went wrong") from None
            shared["final_result"] = "done without an answer"
            return
        shared["final_result"] = answer.content

    flow = flow_of(Flow(start=Does("asks", asks)))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).final_result == "may I?"


async def test_a_progress_that_is_no_number_is_no_harm(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def works(shared: Shared) -> None:
        progress(float("nan"), "how far?")
        shared["final_result"] = "done"

    flow = flow_of(Flow(start=Does("works", works)))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
    assert (done.status, done.final_result) == (Status.COMPLETED, "done")


async def test_an_attempt_does_not_name_the_second_of_its_reviews(
    any_database: Database, clock: StoppedClock
) -> None:
    """Whoever repeats a call that got no answer must not decide what they have not seen."""
    flow = in_a_row(
        sets("draft", processed_output="d"), ReviewNode("first"), ReviewNode("second"), sets("end")
    )
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.open_review(task.id)
        decide = partial(world.service.decide, reviewer=ANA.id, verdict=Verdict.APPROVE, via="api")
        await decide(OpenReview(task=task.id, attempt=1))
        second = await world.open_review(task.id, 2)
        with pytest.raises(StaleReview, match="review_id"):
            await decide(OpenReview(task=task.id, attempt=1))
        assert (await world.service.review(second)).is_open
        await decide(OpenReview(task=task.id, review=second, attempt=1))
        assert (await world.end(task.id)).outcome is Outcome.APPROVED


async def test_a_state_without_its_first_keys_can_be_forked_and_resumed(
    any_database: Database, clock: StoppedClock
) -> None:
    async def forgets(shared: Shared) -> None:
        shared.clear()

    flow = in_a_row(Does("forgets", forgets), sets("end", final_result="x"))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("the input")
        await world.end(task.id)
        fork = await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=1, fork=True)
        done = await world.end(fork.id)
        assert (done.status, done.input) == (Status.COMPLETED, "the input")
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=1)
        assert (await ended_twice(world, task.id)).status is Status.COMPLETED


async def test_what_is_shown_as_a_tuple_is_not_taken_for_edited(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    def fold(shared: Shared, answer: Answer) -> None:
        shared["final_result"] = answer.is_edited

    def show(shared: Shared) -> Any:
        return {"pair": (1, 2), 3: "three"}

    flow = in_a_row(ReviewNode("check", show=show, apply=fold), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).final_result is False


async def test_what_was_approved_before_a_checkpoint_of_an_older_branch_counts_again(
    any_database: Database, clock: StoppedClock
) -> None:
    asked = ReviewNode("check", show=lambda shared: shared["processed_output"], apply=lambda *_: None)
    flow = in_a_row(sets("draft", processed_output="d"), asked, sets("after", a=1), sets("end", b=1))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).final_result == "d"
        await world.service.checkpoints.resume(
            task.id, LOCAL, checkpoint=1, state={"processed_output": "other"}
        )
        await world.open_review(task.id, 2)
        resumed = await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=3)
        assert resumed.outcome is Outcome.APPROVED
        done = await ended_twice(world, task.id)
        assert (done.final_result, done.outcome) == ("d", Outcome.APPROVED)


@pytest.mark.parametrize("depth", [130, 300, 900, 5_000, 200_000])
async def test_what_is_nested_too_deep_fails_its_task_and_nothing_else(
    sqlite_database: Database, clock: StoppedClock, depth: int
) -> None:
    def deep(shared: Shared) -> None:
        value: Any = "x"
        for _ in range(depth):
            value = [value]
        shared["processed_output"] = value

    flow = in_a_row(DoesInThread("deep", deep), ReviewNode("check"), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        done = await world.end(task.id)
    assert done.status is Status.FAILED
    assert done.error is not None
    assert "is nested more than" in done.error


async def test_a_crowd_resumes_decides_and_cancels_at_once(
    any_database: Database, clock: StoppedClock
) -> None:
    """Whatever comes first: one history, one open review at most, and the task goes on or has ended."""
    flow = in_a_row(sets("draft", processed_output="d"), ReviewNode("check"), sets("end", final_result="x"))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        for _ in range(5):
            task = await world.submit()
            asked = await world.open_review(task.id)
            calls: list[Any] = []
            for number in range(30):
                calls += [
                    world.service.checkpoints.resume(task.id, LOCAL, checkpoint=number % 2),
                    world.approve(asked),
                    world.service.cancel(task.id, LOCAL),
                    world.service.checkpoints.resume(task.id, LOCAL, checkpoint=1, fork=True),
                    world.service.checkpoints.resume(task.id, LOCAL, checkpoint=1),
                ]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, CountersignError) for one in found if isinstance(one, BaseException))
            await eventually(partial(_settled, world, task.id))
            stored = await world.store.events(task.id, 0)
            assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
            reviews = await world.service.reviews(task.id)
            asked_for = [one.event for one in stored if isinstance(one.event, ReviewRequested)]
            assert len(reviews) == len(asked_for)
            now = await world.service.task(task.id)
            assert [one.id for one in reviews if one.is_open] == ([now.review] if now.review else [])
            made = [one.event for one in stored if isinstance(one.event, DecisionRecorded)]
            assert len({one.review for one in made}) == len(made)


async def _settled(world: Any, task_id: str) -> bool:
    await asyncio.sleep(0)
    status = (await world.service.task(task_id)).status
    return status not in {Status.PENDING, Status.RUNNING}


@pytest.mark.parametrize("action", ["\x00on", "\ud800"])
async def test_an_action_that_is_no_text_fails_its_task_with_a_sentence(
    any_database: Database, clock: StoppedClock, action: str
) -> None:
    async def works(shared: Shared) -> str:
        return action

    first = Does("works", works)
    first - "other" >> sets("end")
    async with whole_core(any_database, clock, flows={"draft": flow_of(Flow(start=first))}) as world:
        done = await world.end((await world.submit()).id)
    assert done.status is Status.FAILED
    assert done.error is not None
    assert "which is not text" in done.error


async def test_a_card_that_is_being_posted_while_its_task_is_resumed_says_so_afterwards(
    any_database: Database, clock: StoppedClock
) -> None:
    paper = PaperChannel()
    flow = in_a_row(sets("draft", processed_output="ten"), ReviewNode("check"), sets("end"))
    flow = replace(flow, policies=policies(DESK))
    async with whole_core(any_database, clock, flows={"draft": flow}, channels=[paper]) as world:
        paper.close()
        task = await world.submit()
        first = await world.open_review(task.id)
        await paper.until(lambda: paper.inside)
        await world.service.checkpoints.resume(
            task.id, LOCAL, checkpoint=1, state={"processed_output": "eleven"}
        )
        second = await world.open_review(task.id, 2)
        paper.open()
        await paper.until(lambda: [one for one in shown(paper, first) if one.superseded_by == 2])
        await paper.until(lambda: [one for one in shown(paper, second) if one.is_open])
        await world.approve(second)
        await paper.until(lambda: not shown(paper, second)[-1].is_open)


def shown(paper: PaperChannel, review_id: str) -> list[ReviewRequest]:
    return [
        call.content
        for call in paper.calls
        if isinstance(call.content, ReviewRequest) and call.content.id == review_id
    ]


async def test_a_run_that_took_too_long_keeps_the_answers_that_it_had(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    runs: list[None] = []

    async def asks(shared: Shared) -> None:
        runs.append(None)
        first = await review("one")
        if len(runs) == 2:
            await asyncio.Event().wait()
        shared["final_result"] = [first.content, (await review("two")).content]

    flow = flow_of(Flow(start=Does("asks", asks)), timeout=1.0)
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.event(task.id, NodeRetried)
        await eventually(lambda: _advanced(clock, world, task.id))
        await world.approve(await world.open_review(task.id, 2))
        done = await world.end(task.id)
    assert (done.final_result, len(runs)) == (["one", "two"], 4)


async def _advanced(clock: StoppedClock, world: Any, task_id: str) -> bool:
    clock.advance(timedelta(seconds=1))
    await asyncio.sleep(0)
    status = (await world.service.task(task_id)).status
    return bool(status is Status.WAITING_FOR_REVIEW)


async def test_two_servers_resume_decide_and_cancel_at_once(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """Only one may run at a time; should two, the database still keeps them apart."""
    flow = in_a_row(sets("draft", processed_output="d"), ReviewNode("check"), sets("end", final_result="x"))
    async with (
        whole_core(postgres_database, clock, flows={"draft": flow}, admins=[ANA.id]) as one,
        whole_core(postgres_database, clock, flows={"draft": flow}, admins=[ANA.id]) as other,
    ):
        for _ in range(3):
            task = await one.submit()
            asked = await eventually(partial(_asked, one, task.id))
            calls: list[Any] = []
            for number in range(20):
                for world in (one, other):
                    calls += [
                        world.service.checkpoints.resume(task.id, ANA.id, checkpoint=number % 2),
                        world.approve(asked, BEN),
                        world.service.cancel(task.id, LOCAL),
                        world.service.checkpoints.resume(task.id, ANA.id, checkpoint=1, fork=True),
                    ]
            found = await asyncio.gather(*calls, return_exceptions=True)
            broken = [
                x for x in found if isinstance(x, BaseException) and not isinstance(x, CountersignError)
            ]
            assert broken == []
            await eventually(partial(_settled_after_a_sweep, clock, one, task.id))
            stored = await one.store.events(task.id, 0)
            assert [event.seq for event in stored] == list(range(1, len(stored) + 1))
            made = [event.event for event in stored if isinstance(event.event, DecisionRecorded)]
            assert len({decision.review for decision in made}) == len(made)
            now = await one.service.task(task.id)
            still = [found.id for found in await one.service.reviews(task.id) if found.is_open]
            assert still == ([now.review] if now.review else [])


async def _asked(world: Any, task_id: str) -> Any:
    """By the store, as either server may have got there first, and only that one tells its own."""
    return next((found.id for found in await world.service.reviews(task_id) if found.is_open), None)


async def _settled_after_a_sweep(clock: StoppedClock, world: Any, task_id: str) -> bool:
    clock.advance(timedelta(seconds=31))
    await asyncio.sleep(0.01)
    return await _settled(world, task_id)


class Prepares(AsyncFlow):  # type: ignore[misc]  # PocketFlow has no types
    """A nested flow whose `prep` returns more than a state may hold."""

    name = "prepares"

    async def prep_async(self, shared: Shared) -> str:
        return "x" * (MAX_STATE + 1)


@pytest.mark.parametrize(
    "node",
    [ReviewNode("check", show=lambda _shared: "x" * (MAX_STATE + 1)), Prepares(start=sets("inner"))],
    ids=["show", "prep"],
)
async def test_more_than_a_state_may_hold_is_not_stored_elsewhere(
    sqlite_database: Database, clock: StoppedClock, node: Any
) -> None:
    async with whole_core(sqlite_database, clock, flows={"draft": flow_of(Flow(start=node))}) as world:
        done = await world.end((await world.submit()).id)
    assert done.status is Status.FAILED
    assert done.error is not None
    assert f"over {MAX_STATE}" in done.error
