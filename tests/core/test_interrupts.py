"""Where a flow may ask people: at a ReviewNode, before or after any node, inside a node, in nested flows."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from pocketflow import AsyncBatchNode, AsyncFlow, AsyncNode, AsyncParallelBatchNode, BatchFlow, Flow, Node
from structlog.testing import capture_logs

from core.definitions import definition as configured
from core.errors import FlowError, Invalid, SettingsError
from core.events import (
    AttemptStarted,
    DecisionRecorded,
    NodeFinished,
    NodeRetried,
    ProgressReported,
    ReviewEdited,
    TextStreamed,
    kind,
)
from core.graph import Graph
from core.model import Answer, Outcome, Status, Verdict
from core.nodes import ResultNode, ReviewNode, progress, review, run_key, stream_text
from tests.core.graphs import Does, DoesInThread, Shared, definition, in_a_row
from tests.core.small_flows import edit, flow_of, sets, state_of
from tests.world import ANA, BEN, StoppedClock, flow_settings, policies, whole_core

if TYPE_CHECKING:
    from pocketflow import BaseNode

    from core.model import Json
    from core.store.database import Database


# A ReviewNode of the user's


async def test_a_review_is_asked_only_when_its_condition_holds(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    def is_large(shared: Shared) -> bool:
        return bool(shared["amount"] > 100)

    async def read(shared: Shared) -> None:
        shared["amount"] = shared["task_input"]["amount"]

    async def pay(shared: Shared) -> None:
        shared["final_result"] = f"paid {shared['amount']}"

    flow = in_a_row(Does("read", read), ReviewNode("large", when=is_large), Does("pay", pay))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        small = await world.submit({"amount": 99})
        done = await world.end(small.id)
        assert (done.final_result, done.outcome) == ("paid 99", None)
        assert not await world.service.reviews(small.id)

        large = await world.submit({"amount": 101})
        await world.approve(await world.open_review(large.id))
        done = await world.end(large.id)
        assert (done.final_result, done.outcome) == ("paid 101", Outcome.APPROVED)


async def test_what_reviewers_see_and_what_becomes_of_their_answer_is_the_flows_to_say(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    def show(shared: Shared) -> Json:
        return {"amount": shared["amount"], "to": "Sam"}

    def fold(shared: Shared, answer: Answer) -> None:
        shared["amount"] = answer.content["amount"]  # type: ignore[index, call-overload]  # JSON, as a user's code takes it
        shared["said"] = [answer.comment, answer.is_edited, list(answer.reviewers)]

    node = ReviewNode("check", show=show, apply=fold)
    flow = in_a_row(sets("price", amount=10), node, sets("after", done=True))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        asked = await world.open_review(task.id)
        assert (await world.service.review(asked)).draft == {"amount": 10, "to": "Sam"}
        await edit(world, asked, {"amount": 8, "to": "Sam"}, comment="less")
        done = await world.end(task.id)
        state = await state_of(world, task.id)
    assert (state["amount"], state["said"]) == (8, ["less", True, ["Ana Ruiz"]])
    assert (state["feedback"], state["feedback_comment"]) == ("approved", "less")
    assert done.final_result == {"amount": 8, "to": "Sam"}, "the last approved draft, as there is no result"


async def test_what_a_reviews_own_apply_changed_is_an_intermediate_result(
    any_database: Database, clock: StoppedClock
) -> None:
    def take(shared: Shared, answer: Answer) -> None:
        shared["amount"] = answer.content

    def shown(shared: Shared) -> Json:
        amount: Json = shared["amount"]
        return amount

    price = sets("price", amount=10)
    check = ReviewNode("check", show=shown, apply=take)
    second, pay = ReviewNode("second"), sets("pay", final_result="paid")
    price >> check
    check - "approved" >> second
    check - "rejected" >> price
    second - "approved" >> pay
    async with whole_core(any_database, clock, flows={"draft": definition(price)}) as world:
        task = await world.submit()
        await world.reject(await world.open_review(task.id))
        await edit(world, await world.open_review(task.id, 2), 8)
        await world.approve(await world.open_review(task.id, 3))
        await world.end(task.id)
        finished = [e for e in await world.history(task.id) if isinstance(e, NodeFinished)]
        assert [(e.node, e.action, e.checkpoint) for e in finished] == [
            ("price", None, 1),
            ("check", "rejected", 2),
            ("price", None, 3),
            ("check", "approved", 4),
            ("pay", None, 6),
        ], "what a review without its own `apply` changes, its decision tells"
        assert (await world.service.checkpoints.one(task.id, 4)).changes["amount"] == (10, 8)
        told = [kind(e) for e in await world.history(task.id)]
        assert told[-3:] == ["task_resumed", "node_finished", "task_completed"]


async def test_after_a_review_of_its_own_apply_the_task_is_seen_running(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    def take(shared: Shared, answer: Answer) -> None:
        shared["taken"] = answer.content

    flow = in_a_row(sets("price", processed_output=10), ReviewNode("check", apply=take), sets("pay", paid=1))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        told = [kind(e) for e in await world.history(task.id)]
    after = told[told.index("review_approved") + 1 :]
    assert after == ["node_finished", "task_resumed", "node_finished", "task_completed"]


@pytest.mark.parametrize("what", ["when", "show", "apply"])
async def test_a_function_of_a_review_that_raises_is_named_and_nothing_is_lost(
    sqlite_database: Database, clock: StoppedClock, what: str
) -> None:
    def broken(shared: Shared, *_: Any) -> Any:
        raise KeyError("amount")

    functions: dict[str, Any] = {what: broken}
    flow = in_a_row(sets("price", amount=10), ReviewNode("check", **functions))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        if what == "apply":
            await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
        assert done.status is Status.FAILED
        assert done.error == f"'{what}' of review 'check' raised KeyError: 'amount'."
        assert (await state_of(world, task.id))["amount"] == 10


async def test_reviews_in_sequence_belong_to_one_attempt_until_one_rejects(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    first, legal, ops = sets("make", processed_output="a text"), ReviewNode("legal"), ReviewNode("ops")
    first >> legal
    legal - "approved" >> ops
    legal - "rejected" >> first
    ops - "approved" >> sets("publish", final_result="published")
    ops - "rejected" >> first
    async with whole_core(sqlite_database, clock, flows={"draft": definition(first)}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.reject(await world.open_review(task.id, 2), comment="no")
        await world.approve(await world.open_review(task.id, 3))
        await world.approve(await world.open_review(task.id, 4))
        assert (await world.end(task.id)).final_result == "published"
        asked = [
            (r.node, r.attempt, r.outcome, r.superseded_by) for r in await world.service.reviews(task.id)
        ]
    assert asked == [
        ("legal", 1, Outcome.APPROVED, 2),
        ("ops", 1, Outcome.REJECTED, 2),
        ("legal", 2, Outcome.APPROVED, None),
        ("ops", 2, Outcome.APPROVED, None),
    ]


async def test_a_rejection_that_does_not_come_back_is_no_new_attempt(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    asked = ReviewNode()
    asked - "approved" >> sets("pay")
    asked - "rejected" >> sets("tell", told=True)
    flow = definition(asked, flow_settings(max_attempts=1))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.reject(await world.open_review(task.id))
        done = await world.end(task.id)
        assert (done.status, done.outcome, done.attempt) == (Status.COMPLETED, Outcome.REJECTED, 1)
        assert (await state_of(world, task.id))["told"] is True


# Edits


async def test_an_edit_of_a_draft_is_the_approved_result(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(sqlite_database, clock) as world:
        task = await world.submit("a text\nof two lines")
        await edit(world, await world.open_review(task.id), "a text\nof two better lines", comment="tidied")
        done = await world.end(task.id)
        recorded = await world.event(task.id, DecisionRecorded)
        found = (await world.service.reviews(task.id))[0]
        state = await state_of(world, task.id)
    assert (done.outcome, done.final_result) == (Outcome.APPROVED, "a text\nof two better lines")
    assert isinstance(recorded, DecisionRecorded)
    assert (recorded.verdict, recorded.content) == ("edit", "a text\nof two better lines")
    assert str(recorded.diff).splitlines()[-2:] == ["-of two lines", "+of two better lines"]
    assert (found.draft, found.decisions[0].content) == (
        "a text\nof two lines",
        "a text\nof two better lines",
    )
    assert state["processed_output"] == "a text\nof two better lines"


async def test_an_edit_under_a_quorum_is_the_next_attempts_draft(
    any_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(any_database, clock) as world:
        task = await world.submit("one", flow="two")
        await edit(world, await world.open_review(task.id), "another", comment="mine")
        second = await world.open_review(task.id, 2)
        found = await world.service.review(second)
        assert (found.attempt, found.draft) == (2, "another")
        assert ReviewEdited(review=(await world.service.reviews(task.id))[0].id, attempt=1) in (
            await world.history(task.id)
        )
        assert (await world.service.task(task.id)).outcome is None, "an edit alone decides nothing"
        await world.approve(second)
        await world.approve(second, BEN)
        done = await world.end(task.id)
    assert (done.final_result, done.outcome, done.attempt) == ("another", Outcome.APPROVED, 2)


@pytest.mark.parametrize(
    ("draft", "content", "sentence"),
    [
        ("text", {"a": 1}, "has to be text, as it was, not an object"),
        ("text", "text", "approve it, or change something"),
        ({"a": 1}, "text", "has to be an object"),
        ({"a": 1}, {"b": 1}, "has lost 'a'"),
        ({"a": 1}, {"a": 1, "b": 2}, "'b', which was not there"),
        ({"a": 1}, {"a": "1"}, "'a' has to be a number, as it was, not text"),
        ({"a": {"b": [1]}}, {"a": {"b": "x"}}, "'b' has to be a list"),
        ([1], 1, "has to be a list"),
    ],
)
async def test_an_edit_of_another_shape_changes_nothing(
    sqlite_database: Database, clock: StoppedClock, draft: Json, content: Json, sentence: str
) -> None:
    flow = in_a_row(sets("make", processed_output=draft), ReviewNode())
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        asked = await world.open_review(task.id)
        before = await world.history(task.id)
        with pytest.raises(Invalid, match=sentence):
            await edit(world, asked, content)
        assert await world.history(task.id) == before
        await world.approve(asked)
        assert (await world.end(task.id)).final_result == draft


async def test_content_comes_with_an_edit_and_with_nothing_else(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(sqlite_database, clock) as world:
        task = await world.submit()
        asked = await world.open_review(task.id)
        for verdict, content in ((Verdict.EDIT, None), (Verdict.APPROVE, "x"), (Verdict.REJECT, "x")):
            with pytest.raises(Invalid, match="`content`"):
                await world.service.decide(asked, ANA.id, verdict, content=content, via="api")


# Before and after a node


async def test_a_node_is_interrupted_before_it_runs_without_knowing(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    ran: list[Any] = []

    async def pay(shared: Shared) -> None:
        ran.append(shared["amount"])
        shared["final_result"] = shared["amount"]

    first, second = sets("price", amount=10), Does("pay", pay)
    first >> second
    flow = flow_of(Flow(start=first), interrupt_before=("pay",))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("for Sam")
        asked = await world.open_review(task.id)
        found = await world.service.review(asked)
        assert (found.draft, found.node, ran) == ({"task_input": "for Sam", "amount": 10}, "pay", [])
        await edit(world, asked, {"task_input": "for Sam", "amount": 7})
        done = await world.end(task.id)
        assert (ran, done.final_result, done.outcome) == ([7], 7, Outcome.APPROVED)


async def test_a_no_before_a_node_ends_the_flow_without_it(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    ran: list[int] = []

    async def pay(shared: Shared) -> None:
        ran.append(1)

    flow = flow_of(Flow(start=Does("pay", pay)), interrupt_before=("pay",))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.reject(await world.open_review(task.id), comment="no")
        done = await world.end(task.id)
        assert (done.status, done.outcome, done.final_result, ran) == (
            Status.COMPLETED,
            Outcome.REJECTED,
            None,
            [],
        )


async def test_a_node_is_interrupted_after_it_ran_and_its_action_is_kept(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    ran: list[int] = []

    async def choose(shared: Shared) -> str:
        ran.append(1)
        shared["processed_output"] = "the choice"
        return "left"

    start = Does("choose", choose)
    start - "left" >> sets("left", went="left")
    start >> sets("right", went="right")
    flow = flow_of(Flow(start=start), interrupt_after=("choose",))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        asked = await world.open_review(task.id)
        assert (await world.service.review(asked)).draft == "the choice"
        await edit(world, asked, "another choice")
        await world.end(task.id)
        state = await state_of(world, task.id)
    assert (ran, state["went"], state["processed_output"]) == ([1], "left", "another choice")


async def test_a_no_after_a_node_takes_its_own_way_for_that_where_it_has_one(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    runs: list[Any] = []

    async def make(shared: Shared) -> None:
        runs.append(shared.get("feedback_comment"))

    node = Does("make", make)
    node - "rejected" >> node
    flow = flow_of(Flow(start=node), interrupt_after=("make",))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.reject(await world.open_review(task.id), comment="again")
        await world.approve(await world.open_review(task.id, 2))
        done = await world.end(task.id)
    assert (runs, done.attempt, done.outcome) == ([None, "again"], 2, Outcome.APPROVED)


async def test_an_interrupted_node_that_fails_is_tried_again_without_asking_again(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    calls: list[int] = []

    async def flaky(shared: Shared) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no line")

    flow = flow_of(Flow(start=Does("pay", flaky)), interrupt_before=("pay",))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.diary.until(lambda: calls)
        await world.diary.until(lambda: [e for e in world.diary.of(task.id) if isinstance(e, NodeRetried)])
        clock.advance(seconds=1)
        await world.end(task.id)
        assert (len(calls), len(await world.service.reviews(task.id))) == (2, 1)


# Inside a node


class Asks(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
    """Asks twice, and notes what it went through."""

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self.name = "asks"
        self.seen = seen

    async def prep_async(self, shared: Shared) -> None:
        shared["prepared"] = shared.get("prepared", 0) + 1
        self.seen.append("prep")

    async def exec_async(self, prep_res: object) -> list[Any]:
        self.seen.append(run_key({}))
        first = await review("first question")
        second = await review({"second": first.content}, policy="two")
        return [first.outcome.value, first.comment, second.outcome.value]

    async def post_async(self, shared: Shared, prep_res: object, exec_res: list[Any]) -> str:
        shared["answers"] = exec_res
        return "default"


async def test_a_node_asks_from_inside_and_runs_again_with_the_answers(
    any_database: Database, clock: StoppedClock
) -> None:
    seen: list[Any] = []
    async with whole_core(any_database, clock, flows={"draft": in_a_row(Asks(seen))}) as world:
        task = await world.submit()
        await world.reject(await world.open_review(task.id), comment="not so")
        second = await world.open_review(task.id, 2)
        found = await world.service.review(second)
        assert (found.draft, found.policy.name, found.attempt) == ({"second": "first question"}, "two", 1)
        await world.approve(second)
        await world.approve(second, BEN)
        await world.end(task.id)
        state = await state_of(world, task.id)
        starts = [e for e in await world.history(task.id) if isinstance(e, AttemptStarted)]
    assert state["answers"] == ["rejected", "not so", "approved"]
    assert state["prepared"] == 1, "what a run that was interrupted did to the state is dropped"
    assert seen[::2] == ["prep"] * 3
    assert len(set(seen[1::2])) == 1, "one visit, one key"
    assert len(starts) == 1


async def goes_on_unasked(shared: Shared) -> str:
    return "paid" if review("pay 5000?") else "refused"  # type: ignore[truthy-bool]


async def test_a_node_that_does_not_await_its_review_fails_and_lets_nothing_through(
    any_database: Database, clock: StoppedClock
) -> None:
    pays, paid = Does("asks", goes_on_unasked), sets("paid", final_result="paid")
    pays - "paid" >> paid
    flow = flow_of(Flow(start=pays), retries=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with whole_core(any_database, clock, flows={"draft": flow}) as world:
            done = await world.end((await world.submit()).id)
    assert (done.status, done.final_result) == (Status.FAILED, None)
    assert done.error is not None
    assert "Node 'asks' called review() and did not await it, so that nobody was asked" in done.error


class AsksInThread(Node):  # type: ignore[misc]  # PocketFlow has no types
    def exec(self, prep_res: object) -> object:
        return review("x")


def test_a_synchronous_node_that_asks_is_refused_when_its_flow_is_loaded() -> None:
    with pytest.raises(FlowError, match="'AsksInThread' asks for a review from a synchronous node"):
        Graph(Flow(start=AsksInThread()))


@pytest.mark.parametrize("what", ["when", "show", "apply"])
def test_what_a_review_calls_is_a_function(what: str) -> None:
    with pytest.raises(FlowError, match=f"'{what}' of review 'large' is True; it has to be a function"):
        ReviewNode("large", **{what: True})  # type: ignore[arg-type]


async def test_each_visit_of_a_node_has_a_key_of_its_own_and_its_retries_share_it(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """In one attempt, too: whoever heeds the key would take the second visit for the first, done again."""
    keys: list[str] = []

    async def works(shared: Shared) -> str:
        keys.append(run_key(shared))
        if len(keys) == 1:
            raise ValueError("only once")
        return "again" if len(keys) < 4 else "default"

    node = Does("works", works)
    node - "again" >> node
    async with whole_core(sqlite_database, clock, flows={"draft": flow_of(Flow(start=node))}) as world:
        task = await world.submit()
        await world.event(task.id, NodeRetried)
        clock.advance(seconds=1)
        assert (await world.end(task.id)).attempt == 1
    assert keys[0] == keys[1]
    assert len(set(keys[1:])) == 3


async def test_an_interrupted_node_that_fails_later_keeps_its_answers(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    calls: list[int] = []

    class Fails(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
        name = "fails"

        async def exec_async(self, prep_res: object) -> str:
            answer = await review("may I?")
            calls.append(1)
            if len(calls) == 1:
                raise OSError("no line")
            return str(answer.content)

        async def post_async(self, shared: Shared, prep_res: object, exec_res: str) -> None:
            shared["final_result"] = exec_res

    async with whole_core(sqlite_database, clock, flows={"draft": in_a_row(Fails())}) as world:
        task = await world.submit()
        await edit(world, await world.open_review(task.id), "you may")
        await world.diary.until(lambda: [e for e in world.diary.of(task.id) if isinstance(e, NodeRetried)])
        clock.advance(seconds=1)
        assert (await world.end(task.id)).final_result == "you may"
        assert len(await world.service.reviews(task.id)) == 1


async def test_an_edit_under_a_quorum_inside_a_node_is_asked_about_again(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    class One(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
        name = "one"

        async def exec_async(self, prep_res: object) -> list[Any]:
            answer = await review("text", policy="two")
            return [answer.content, answer.is_edited]

        async def post_async(self, shared: Shared, prep_res: object, exec_res: Any) -> None:
            shared["final_result"] = exec_res

    async with whole_core(sqlite_database, clock, flows={"draft": in_a_row(One())}) as world:
        task = await world.submit()
        await edit(world, await world.open_review(task.id), "better")
        second = await world.open_review(task.id, 2)
        await world.approve(second)
        await world.approve(second, BEN)
        assert (await world.end(task.id)).final_result == ["better", True]


async def test_a_sequential_batch_may_ask_for_each_item(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    class Each(AsyncBatchNode):  # type: ignore[misc]  # PocketFlow has no types
        name = "each"

        async def prep_async(self, shared: Shared) -> list[str]:
            return ["a", "b"]

        async def exec_async(self, item: str) -> Json:
            return (await review(item)).content

        async def post_async(self, shared: Shared, prep_res: object, exec_res: Any) -> None:
            shared["final_result"] = exec_res

    async with whole_core(sqlite_database, clock, flows={"draft": in_a_row(Each())}) as world:
        task = await world.submit()
        await edit(world, await world.open_review(task.id), "A")
        await world.approve(await world.open_review(task.id, 2))
        assert (await world.end(task.id)).final_result == ["A", "b"]


async def test_a_policy_that_is_not_there_is_named(sqlite_database: Database, clock: StoppedClock) -> None:
    class Asks(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
        async def exec_async(self, prep_res: object) -> object:
            return await review("x", policy="nowhere")

    async with whole_core(sqlite_database, clock, flows={"draft": in_a_row(Asks())}) as world:
        done = await world.end((await world.submit()).id)
        assert "There is no policy 'nowhere'" in str(done.error)


async def test_a_review_asked_from_a_task_of_the_nodes_own_is_refused(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def ask() -> object:
        return await review("x")

    class Parallel(AsyncParallelBatchNode):  # type: ignore[misc]  # PocketFlow has no types
        async def prep_async(self, shared: Shared) -> list[int]:
            return [1, 2]

        async def exec_async(self, item: int) -> object:
            return await ask()

    flow = definition(Parallel(), flow_settings(retries=0))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
        assert "review() has to be awaited by the node itself" in str(done.error)


# Nested flows


@pytest.mark.parametrize("outer", [Flow, AsyncFlow])
async def test_a_review_in_a_nested_flow_waits_with_what_the_flow_prepared(
    any_database: Database, clock: StoppedClock, outer: type[Flow]
) -> None:
    class Inner(Flow):  # type: ignore[misc]  # PocketFlow has no types
        name = "inner"

        def prep(self, shared: Shared) -> Json:
            shared["entered"] = shared.get("entered", 0) + 1
            return {"number": 7}

        def post(self, shared: Shared, prep_res: Any, exec_res: str | None) -> str:
            shared["left"] = [prep_res, exec_res]
            return "fine" if exec_res == "approved" else "bad"

    make = sets("make", processed_output="text")
    make >> ReviewNode("legal")
    inner = Inner(start=make)
    inner - "fine" >> sets("good", final_result="good")
    inner - "bad" >> sets("poor", final_result="poor")
    flow = flow_of(outer(start=inner))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        asked = await world.open_review(task.id)
        assert (await world.service.review(asked)).node == "inner/legal"
        await world.approve(asked)
        done = await world.end(task.id)
        state = await state_of(world, task.id)
    assert (done.final_result, state["entered"], state["left"]) == ("good", 1, [{"number": 7}, "approved"])


async def test_a_flow_without_a_post_of_its_own_hands_on_its_last_action(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    inner = Flow(start=ReviewNode("legal"))
    inner.name = "inner"
    inner - "approved" >> sets("good", final_result="good")
    inner - "rejected" >> sets("poor", told="poor")
    async with whole_core(sqlite_database, clock, flows={"draft": flow_of(Flow(start=inner))}) as world:
        for decide, key in ((world.approve, "final_result"), (world.reject, "told")):
            task = await world.submit()
            await decide(await world.open_review(task.id))
            await world.end(task.id)
            assert (await state_of(world, task.id))[key] in {"good", "poor"}


async def test_a_nested_flow_is_interrupted_before_and_after_as_a_node_is(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    inner = Flow(start=sets("make", processed_output="text"))
    inner.name = "inner"
    inner >> sets("publish", final_result="published")
    flow = flow_of(Flow(start=inner), interrupt_before=("inner",), interrupt_after=("inner", "inner/make"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        for number, node in enumerate(["inner", "inner/make", "inner"], 1):
            asked = await world.open_review(task.id, number)
            assert (await world.service.review(asked)).node == node
            await world.approve(asked)
        assert (await world.end(task.id)).final_result == "published"


# Loading


def test_what_cannot_wait_is_refused_when_it_is_loaded() -> None:
    inner = BatchFlow(start=ReviewNode("legal"))
    with pytest.raises(FlowError, match="'legal' asks for a review inside 'BatchFlow'"):
        Graph(Flow(start=inner))

    class Parallel(AsyncParallelBatchNode):  # type: ignore[misc]  # PocketFlow has no types
        async def exec_async(self, item: object) -> object:
            return [await review(str(one)) for one in [item]]

    with pytest.raises(FlowError, match="items that run in parallel"):
        Graph(AsyncFlow(start=Parallel()))


def test_names_are_unique_in_their_flow_and_hold_no_slash() -> None:
    one, two = sets("same"), sets("same")
    one >> two
    with pytest.raises(FlowError, match="Two nodes of the flow are named 'same'"):
        Graph(Flow(start=one))
    with pytest.raises(FlowError, match="without a slash"):
        Graph(Flow(start=sets("a/b")))
    with pytest.raises(FlowError, match="no start node"):
        Graph(Flow())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"graph": "nowhere_flow:make"}, "cannot be imported"),
        ({"graph": "tests.core.test_interrupts:sets"}, "raised TypeError"),
        ({"graph": "tests.core.test_interrupts:raise_mute"}, "raised Mute[.]$"),
        ({"graph": "tests.core.test_interrupts:make_nothing"}, "returned NoneType"),
        ({"graph": "tests.core.test_interrupts:make_node"}, "has to be a PocketFlow Flow"),
        ({"graph": "no-colon"}, "must name module:function"),
        (
            {"interrupt_before": ("nowhere",)},
            "interrupt_before: there is no node 'nowhere'; there are: process",
        ),
        ({"graph": "tests.core.test_interrupts:make_stranger"}, "There is no policy 'stranger'"),
    ],
)
def test_a_flow_that_cannot_be_loaded_says_why(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        configured(flow_settings(**more), policies(), None)


@pytest.mark.parametrize(
    ("made", "is_strict", "said"),
    [
        ("make_rejected_only", False, [["approved"]]),
        ("make_approved_only", False, []),
        ("make_approved_only", True, [["rejected"]]),
        ("make_review_only", True, []),
    ],
)
def test_at_the_start_a_verdict_that_would_fail_the_task_is_named(
    made: str, is_strict: bool, said: list[list[str]]
) -> None:
    settings = flow_settings(graph=f"tests.core.test_interrupts:{made}", strict_actions=is_strict)
    with capture_logs() as logs:
        configured(settings, policies(), None)
    assert [line["verdicts"] for line in logs if line["event"] == "verdict_leads_nowhere"] == said


class Prepared(Flow):  # type: ignore[misc]  # PocketFlow has no types
    """One whose own `prep` makes what is shown."""

    def prep(self, shared: Shared) -> None:
        shared["processed_output"] = shared["task_input"]


def make_prepared() -> Flow:
    return Prepared(start=ReviewNode())


def make_shown() -> Flow:
    return Flow(start=ReviewNode(show=lambda shared: shared["task_input"]))


def make_second() -> Flow:
    return in_a_row(sets("process", processed_output=1), ReviewNode()).graph.flow


@pytest.mark.parametrize(
    ("made", "nodes"),
    [("make_review_only", ["review"]), ("make_shown", []), ("make_prepared", []), ("make_second", [])],
)
def test_at_the_start_a_review_that_shows_nothing_is_named(made: str, nodes: list[str]) -> None:
    with capture_logs() as logs:
        configured(flow_settings(graph=f"tests.core.test_interrupts:{made}"), policies(), None)
    assert [line["node"] for line in logs if line["event"] == "review_shows_nothing"] == nodes


def make_review_only(*verdicts: str) -> Flow:
    review = ReviewNode()
    for verdict in verdicts:
        review - verdict >> ResultNode()
    return Flow(start=review)


def make_approved_only() -> Flow:
    return make_review_only("approved")


def make_rejected_only() -> Flow:
    return make_review_only("rejected")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("not even that")


def raise_mute() -> None:
    raise Mute


def make_nothing() -> None: ...


def make_node() -> BaseNode:
    return sets("lonely")


def make_stranger() -> Flow:
    return Flow(start=ReviewNode(policy="stranger"))


async def test_the_approval_flow_is_one_review_of_what_was_submitted(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = configured(flow_settings("approval", shipped="approval"), policies(), None)
    async with whole_core(sqlite_database, clock, flows={"approval": flow}) as world:
        good = await world.submit({"refund": 20}, flow="approval")
        asked = await world.open_review(good.id)
        assert (await world.service.review(asked)).draft == {"refund": 20}
        await world.approve(asked)
        done = await world.end(good.id)
        assert (done.final_result, done.outcome) == ({"refund": 20}, Outcome.APPROVED)

        bad = await world.submit("no", flow="approval")
        await world.reject(await world.open_review(bad.id))
        done = await world.end(bad.id)
        assert (done.status, done.final_result, done.outcome) == (
            Status.COMPLETED,
            None,
            Outcome.REJECTED,
        )


# What a node says


async def test_progress_and_text_are_events_from_threads_too(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    def work(shared: Shared) -> None:
        progress(0.5, "half")
        stream_text("Hello ")
        stream_text("world")
        progress(2.0, "all")

    node = DoesInThread("slow", work)
    async with whole_core(sqlite_database, clock, flows={"draft": in_a_row(node)}) as world:
        task = await world.submit()
        await world.end(task.id)
        story = await world.history(task.id)
    assert "".join(e.text for e in story if isinstance(e, TextStreamed)) == "Hello world"
    last = [e for e in story if isinstance(e, ProgressReported)][-1]
    assert (last.node, last.fraction, last.text) == ("slow", 1.0, "all")


def test_a_node_may_be_tried_without_countersign() -> None:
    class Plain(Node):  # type: ignore[misc]  # PocketFlow has no types
        def exec(self, prep_res: object) -> None:
            progress(0.5)
            stream_text("x")

    Plain().run({})
    with pytest.raises(FlowError, match="only while Countersign runs the node"):
        run_key({})


async def test_an_edit_that_others_reject_is_the_draft_that_they_rejected(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    seen: list[Any] = []

    async def make(shared: Shared) -> None:
        seen.append((shared["processed_output"], shared["feedback_comment"]))
        shared["processed_output"] = f"draft {len(seen)}"

    process, asked = Does("make", make), ReviewNode(policy="two")
    process >> asked
    asked - "approved" >> sets("done")
    asked - "rejected" >> process
    async with whole_core(sqlite_database, clock, flows={"draft": definition(process)}) as world:
        task = await world.submit()
        await edit(world, await world.open_review(task.id), "Ana's own")
        await world.reject(await world.open_review(task.id, 2), BEN, comment="worse")
        await world.open_review(task.id, 3)
    assert seen == [(None, None), ("Ana's own", "worse")]


async def test_letting_a_node_run_leaves_it_what_an_earlier_review_said(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    seen: list[Any] = []

    async def make(shared: Shared) -> None:
        seen.append((shared["feedback"], shared["feedback_comment"]))
        shared["processed_output"] = "a draft"

    process, asked = Does("make", make), ReviewNode()
    process >> asked
    asked - "approved" >> sets("done")
    asked - "rejected" >> process
    flow = flow_of(Flow(start=process), interrupt_before=("make",))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id), comment="go on")
        await world.reject(await world.open_review(task.id, 2), comment="shorter")
        await world.approve(await world.open_review(task.id, 3), comment="go on")
        await world.open_review(task.id, 4)
    assert seen == [(None, None), ("rejected", "shorter")]


@pytest.mark.parametrize("how", ["exits", "asks", "hangs"])
async def test_a_flows_own_prep_is_held_to_what_nodes_are(
    sqlite_database: Database, clock: StoppedClock, how: str
) -> None:
    class Inner(AsyncFlow):  # type: ignore[misc]  # PocketFlow has no types
        name = "inner"

        async def prep_async(self, shared: Shared) -> object:
            assert len(run_key(shared)) == 64
            if how == "exits":
                raise SystemExit(3)
            if how == "asks":
                return await review("may I?")
            return await asyncio.Event().wait()

    flow = flow_of(Flow(start=Inner(start=sets("one"))), retries=0, timeout=0.05 if how == "hangs" else 10.0)
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
        says = {
            "exits": "it raised SystemExit(3)",
            "asks": "not by a flow's own prep",
            "hangs": "'inner' took longer than 0.05 s",
        }
        assert says[how] in str(done.error)
