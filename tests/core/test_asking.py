"""The functions of a review: what users' `when`, `show` and `apply` may get wrong."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from core.asking import answers_of
from core.errors import FlowError
from core.events import NodeRetried
from core.model import Answer, Outcome, Status, Verdict
from core.nodes import ReviewNode
from tests.core.graphs import Shared, in_a_row
from tests.core.judging import ONE, by, review
from tests.core.small_flows import sets, state_of
from tests.world import ANA, BEN, StoppedClock, flow_settings, whole_core

if TYPE_CHECKING:
    from core.store.database import Database


@pytest.mark.parametrize("what", ["when", "show", "apply"])
async def test_a_function_of_a_review_that_hangs_fails_its_task_in_time(
    sqlite_database: Database, clock: StoppedClock, what: str
) -> None:
    """It would keep one of the few places in which tasks run, for ever."""
    never = threading.Event()

    def hang(*_: Any) -> None:
        never.wait(30)

    functions: dict[str, Any] = {what: hang}
    flow = in_a_row(ReviewNode("check", **functions), sets("end"))
    flow = type(flow)(graph=flow.graph, settings=flow_settings(timeout=0.5), policies=flow.policies)
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        if what == "apply":
            await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
        story = await world.history(task.id)
    never.set()
    assert (done.status, done.error) == (
        Status.FAILED,
        f"'{what}' of review 'check' took longer than 0.5 s.",
    )
    assert not [event for event in story if isinstance(event, NodeRetried)]


@pytest.mark.parametrize("what", ["when", "show", "apply"])
def test_a_function_of_a_review_that_is_asynchronous_is_refused(what: str) -> None:
    """Called as a plain one it does nothing at all, and the answer would be lost without a word."""

    async def later(*_: Any) -> None: ...

    functions: dict[str, Any] = {what: later}
    with pytest.raises(FlowError, match=f"'{what}' of review 'check' is asynchronous"):
        ReviewNode("check", **functions)


async def test_a_function_that_returns_a_coroutine_is_refused_when_it_runs(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def later() -> None: ...

    flow = in_a_row(ReviewNode("check", apply=lambda *_: later()), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
    assert done.status is Status.FAILED
    assert done.error is not None
    assert "'apply' of review 'check' is asynchronous" in done.error


async def test_a_condition_that_is_neither_true_nor_false_names_itself(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    class Neither:
        def __bool__(self) -> bool:
            raise ValueError("the truth of an array is ambiguous")

    flow = in_a_row(ReviewNode("check", when=lambda _: Neither()), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
    assert done.status is Status.FAILED
    assert done.error is not None
    assert done.error.startswith("'when' of review 'check' raised ValueError: the truth")


@pytest.mark.parametrize("what", ["when", "show", "apply"])
async def test_what_a_function_of_a_review_raises_may_be_unable_to_say_so(
    sqlite_database: Database, clock: StoppedClock, what: str
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise TypeError("no words")

    def breaks(*_: Any) -> None:
        raise Mute

    functions: dict[str, Any] = {what: breaks}
    flow = in_a_row(ReviewNode("check", **functions), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        if what == "apply":
            await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
    assert done.error == f"{what!r} of review 'check' raised Mute: (it cannot say why)."


async def test_what_is_shown_otherwise_each_time_is_not_taken_for_edited(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """What reviewers saw is stored; `show` is not asked again, days later."""
    seen: list[bool] = []
    numbers = itertools.count(1)

    def show(shared: Shared) -> str:
        number = next(numbers)
        if number > 1:
            raise RuntimeError("the price service is closed at night")
        return f"look number {number}"

    def fold(shared: Shared, answer: Answer) -> None:
        seen.append(answer.is_edited)
        shared["final_result"] = answer.content

    flow = in_a_row(ReviewNode("check", show=show, apply=fold), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
    assert (done.status, done.final_result, seen) == (Status.COMPLETED, "look number 1", [False])


def test_an_edit_goes_with_the_answer_to_its_own_question() -> None:
    """A node that asks two questions is not told of an edit of the first that the second was edited, too."""
    edited = replace(review(closed=Outcome.EDITED), draft="ten")
    approved = replace(review(closed=Outcome.APPROVED), draft="twelve")
    another = replace(review(closed=Outcome.APPROVED), draft="by air")
    found = answers_of([edited, approved, another, another])
    assert [(one.draft, one.is_edited) for one in found] == [
        ("twelve", True),
        ("by air", False),
        ("by air", False),
    ]


@pytest.mark.parametrize("outcome", [Outcome.EXPIRED, Outcome.REJECTED])
def test_a_flow_is_told_why_it_was_no_whoever_spoke_last(outcome: Outcome) -> None:
    no = replace(by(BEN.id, Verdict.REJECT), comment="too long")
    yes = replace(by(ANA.id), comment="fine")
    (answer,) = answers_of([review(ONE, no, yes, closed=outcome)])
    assert answer.comment == "too long"


class Careless(ReviewNode):
    def post(self, shared: Shared, prep_res: Any, exec_res: Answer) -> str:
        raise ValueError("not foreseen")


async def test_a_verdict_that_cannot_be_applied_is_not_asked_for_again(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = in_a_row(Careless("check"), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
        assert (done.status, done.error) == (Status.FAILED, "Node 'check' failed: ValueError: not foreseen")
        assert len(await world.service.reviews(task.id)) == 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_edit_that_others_approved_is_one_also_after_a_restart(
    any_database: Database, clock: StoppedClock, restarted: bool
) -> None:
    def fold(shared: Shared, answer: Answer) -> None:
        shared["said"] = [answer.is_edited, answer.content]

    node = ReviewNode("check", policy="two", show=lambda _: "ten", apply=fold)
    flow = in_a_row(node, sets("end"))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        first = await world.open_review(task.id)
        await world.service.decide(first, ANA.id, Verdict.EDIT, content="twelve", via="api")
        second = await world.open_review(task.id, 2)
        await world.approve(second)
        if restarted:
            await world.engine.stop(timedelta(0))
        await world.approve(second, BEN)
        if not restarted:
            await world.end(task.id)
            assert (await state_of(world, task.id))["said"] == [True, "twelve"]
    if restarted:
        async with whole_core(any_database, clock, flows={"draft": flow}) as world:
            await world.end(task.id)
            assert (await state_of(world, task.id))["said"] == [True, "twelve"]
