"""Resuming from a checkpoint: in place and as a fork, with an edited state, by those who may."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pocketflow import AsyncNode, Flow

from core.errors import Invalid, KeyReused, NotAnAdmin, NotFound, ReviewIsClosed, TaskIsRunning
from core.events import FINAL, TaskForked, TaskRewound
from core.model import LOCAL, Outcome, ReviewRequest, Status, TaskFilter
from core.nodes import ReviewNode
from core.nodes import review as ask
from core.states import MAX_STATE
from tests.core.graphs import Does, Shared, definition, in_a_row
from tests.core.small_flows import edit, ended_twice, flow_of, sets
from tests.world import ANA, BEN, DESK, SAM, PaperChannel, StoppedClock, policies, whole_core

if TYPE_CHECKING:
    from core.model import Task, TaskId
    from core.store.database import Database
    from tests.world import World


def paying() -> Any:
    async def pay(shared: Shared) -> None:
        shared["final_result"] = f"paid {shared['amount']}"

    return in_a_row(sets("price", amount=10, processed_output="ten"), ReviewNode("check"), Does("pay", pay))


async def test_a_task_goes_on_from_a_checkpoint_with_an_edited_state(
    any_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(any_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).final_result == "paid 10"
        before = [(c.number, c.node, c.following) for c in await world.service.checkpoints.of_task(task.id)]
        assert before == [(0, None, "/"), (1, "price", "check"), (2, "check", "pay"), (3, "pay", None)]

        resumed = await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=1, state={"amount": 12})
        assert (resumed.status, resumed.outcome, resumed.final_result, resumed.ended_at) == (
            Status.RUNNING,
            None,
            None,
            None,
        )
        second = await world.open_review(task.id, 2)
        found = await world.service.review(second)
        assert (found.attempt, found.previous) == (2, None)
        await world.approve(second)
        done = await ended_twice(world, task.id)
        assert (done.final_result, done.attempt, done.outcome) == ("paid 12", 2, Outcome.APPROVED)

        points = await world.service.checkpoints.of_task(task.id)
        assert [(c.number, c.parent, c.superseded) for c in points] == [
            (0, None, False),
            (1, 0, False),
            (2, 1, True),
            (3, 2, True),
            (4, 1, False),
            (5, 4, False),
            (6, 5, False),
        ]
        assert points[4].changes == {"amount": (10, 12)}
        assert "Resumed from checkpoint 1" in points[4].cause
        rewound = [e for e in await world.history(task.id) if isinstance(e, TaskRewound)]
        assert rewound == [
            TaskRewound(
                checkpoint=1, node="check", attempt=2, by="local", by_name="local (open)", edited=["amount"]
            )
        ]
        first = (await world.service.reviews(task.id))[0]
        assert (first.outcome, first.superseded_by) == (Outcome.APPROVED, 2)


async def test_an_open_review_of_the_branch_left_is_closed_on_every_card(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    paper = PaperChannel()
    asked = ReviewNode("check")
    start = sets("price", processed_output="ten")
    start >> asked
    flow = definition(start)
    flow = type(flow)(graph=flow.graph, settings=flow.settings, policies=policies(DESK))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}, channels=[paper]) as world:
        task = await world.submit()
        first = await world.open_review(task.id)
        await world.service.checkpoints.resume(
            task.id, LOCAL, checkpoint=1, state={"processed_output": "eleven"}
        )
        second = await world.open_review(task.id, 2)
        with pytest.raises(ReviewIsClosed, match="attempt 2 has replaced it"):
            await world.approve(first)
        closed = await world.service.review(first)
        assert (closed.outcome, closed.superseded_by) == (Outcome.CANCELLED, 2)
        assert (await world.service.review(second)).draft == "eleven"
        await paper.until(
            lambda: [
                call
                for call in paper.calls
                if call.kind == "update"
                and isinstance(call.content, ReviewRequest)
                and call.content.id == first
            ]
        )
        await world.approve(second)
        assert (await world.end(task.id)).final_result == "eleven"


async def test_a_fork_is_a_new_task_that_names_its_parent(
    any_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(any_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit("for Sam")
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        fork = await world.service.checkpoints.resume(
            task.id, LOCAL, checkpoint=2, state={"amount": 1}, fork=True
        )
        assert (fork.parent, fork.parent_checkpoint, fork.submitter, fork.input) == (
            task.id,
            2,
            "local",
            "for Sam",
        )
        done = await world.end(fork.id)
        assert (done.final_result, done.status, done.outcome) == ("paid 1", Status.COMPLETED, None)
        assert (await world.service.task(task.id)).final_result == "paid 10"
        story = await world.history(fork.id)
        assert story[1] == TaskForked(
            parent=task.id, checkpoint=2, by="local", by_name="local (open)", edited=["amount"]
        )
        first = await world.service.checkpoints.one(fork.id, 1)
        assert (first.state["task_id"], first.state["amount"]) == (fork.id, 1)


async def test_a_fork_counts_its_attempts_anew(any_database: Database, clock: StoppedClock) -> None:
    async with whole_core(any_database, clock) as world:
        task = await world.submit()
        await world.reject(await world.open_review(task.id))
        await world.open_review(task.id, 2)
        forks = {
            number: await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=number, fork=True)
            for number in (0, 1, 3)
        }
        states = {n: (await world.service.checkpoints.one(fork.id, 1)).state for n, fork in forks.items()}
        assert {n: state["current_attempt"] for n, state in states.items()} == {0: 0, 1: 1, 3: 1}
        review = await world.service.review(await world.open_review(forks[3].id))
        assert (review.attempt, review.draft) == (1, states[3]["processed_output"])


async def test_each_review_says_which_attempt_replaced_it_and_an_approval_that_holds_says_none(
    any_database: Database, clock: StoppedClock
) -> None:
    price = sets("price", amount=10, processed_output="ten")
    board = ReviewNode("board", policy="two")
    price >> Inquires() >> board
    board - "approved" >> sets("pay", final_result="paid")
    flow = flow_of(Flow(start=price), interrupt_after=("price",))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id, 1))
        await world.approve(await world.open_review(task.id, 2))
        await edit(world, await world.open_review(task.id, 3), "nine")
        again = await world.open_review(task.id, 4)
        assert await superseded(world, task.id) == [
            ("price", Outcome.APPROVED, None),
            ("asks", Outcome.APPROVED, None),
            ("board", Outcome.EDITED, 2),
            ("board", Outcome.OPEN, None),
        ]
        await world.approve(again, ANA)
        await world.approve(again, BEN)
        await world.end(task.id)
        points = await world.service.checkpoints.of_task(task.id)
        assert [(c.number, c.node) for c in points][1:4] == [(1, "price"), (2, "price"), (3, "asks")]

        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=2)
        anew = await world.open_review(task.id, 5)
        assert await superseded(world, task.id) == [
            ("price", Outcome.APPROVED, None),
            ("asks", Outcome.APPROVED, 3),
            ("board", Outcome.EDITED, 2),
            ("board", Outcome.APPROVED, 3),
            ("asks", Outcome.OPEN, None),
        ]
        assert (await world.service.review(anew)).attempt == 3


class Inquires(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
    name = "asks"

    async def prep_async(self, shared: Shared) -> None:
        await ask("May I?")


async def superseded(world: World, task: str) -> list[tuple[str, Outcome, int | None]]:
    return [(r.node, r.outcome, r.superseded_by) for r in await world.service.reviews(task)]


async def test_an_approval_that_was_asked_anew_holds_again_where_somebody_goes_back_to_it(
    any_database: Database, clock: StoppedClock
) -> None:
    paper = PaperChannel()
    price, legal, board = sets("price", processed_output="ten"), ReviewNode("legal"), ReviewNode("board")
    price >> legal
    legal - "approved" >> board
    board - "rejected" >> price
    flow = definition(price)
    flow = type(flow)(graph=flow.graph, settings=flow.settings, policies=policies(DESK))
    async with whole_core(any_database, clock, flows={"draft": flow}, channels=[paper]) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id, 1))
        await world.reject(await world.open_review(task.id, 2))
        await world.approve(await world.open_review(task.id, 3))
        await world.open_review(task.id, 4)
        assert [number for *_, number in await superseded(world, task.id)] == [2, 2, None, None]

        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=2)
        await world.open_review(task.id, 5)
        first, *_ = await world.service.reviews(task.id)
        assert await superseded(world, task.id) == [
            ("legal", Outcome.APPROVED, None),
            ("board", Outcome.REJECTED, 2),
            ("legal", Outcome.APPROVED, 3),
            ("board", Outcome.CANCELLED, 3),
            ("board", Outcome.OPEN, None),
        ]
        assert (await world.service.task(task.id)).outcome is Outcome.APPROVED

        def shown() -> list[ReviewRequest]:
            cards = [call.content for call in paper.calls if isinstance(call.content, ReviewRequest)]
            return [card for card in cards if card.id == first.id]

        await paper.until(lambda: shown()[-1:] if shown()[-1].superseded_by is None else [])

        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=5)
        await world.open_review(task.id, 6)
        assert [number for *_, number in await superseded(world, task.id)][:3] == [2, 2, None], (
            "back on the branch that it was left for"
        )


async def test_forks_of_a_task_are_listed(any_database: Database, clock: StoppedClock) -> None:
    async with whole_core(any_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit()
        await world.open_review(task.id)
        assert await world.service.checkpoints.forks(task.id) == []
        made = []
        for number in (0, 1):
            clock.advance(seconds=1)
            made.append(await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=number, fork=True))
        found = await world.service.checkpoints.forks(task.id)
        assert [(f.task, f.checkpoint, f.by_name, f.at) for f in found] == [
            (fork.id, number, "local (open)", fork.created_at) for number, fork in enumerate(made)
        ]


async def test_a_task_whose_node_is_gone_is_moved_by_an_admin(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(sqlite_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit()
        asked = await world.open_review(task.id)
    changed = in_a_row(sets("price"), ReviewNode("inspect"), sets("ship", final_result="shipped"))
    async with whole_core(sqlite_database, clock, flows={"draft": changed}, admins=[BEN.id]) as world:
        await world.approve(asked)
        done = await world.end(task.id)
        assert (done.status, done.error) == (
            Status.FAILED,
            "Node 'check' is not in the flow 'draft' any more.",
        )
        with pytest.raises(NotAnAdmin):
            await world.service.checkpoints.resume(task.id, ANA.id, checkpoint=1, node="ship")
        with pytest.raises(Invalid, match="has no node 'pay'; it has: inspect, price, ship"):
            await world.service.checkpoints.resume(task.id, BEN.id, checkpoint=1, node="pay")
        await world.service.checkpoints.resume(task.id, BEN.id, checkpoint=1, node="ship")
        done = await ended_twice(world, task.id)
        assert (done.status, done.final_result, done.error) == (Status.COMPLETED, "shipped", None)


async def test_what_cannot_be_resumed_says_why_and_changes_nothing(
    any_database: Database, clock: StoppedClock
) -> None:
    flows = {"draft": paying(), "busy": flow_of(busy_graph())}
    async with whole_core(any_database, clock, flows=flows, admins=[ANA.id]) as world:
        task = await world.submit()
        await world.open_review(task.id)
        other = await world.submit()
        await world.open_review(other.id)
        before = await world.history(task.id)
        for error, more in (
            (NotFound, {"checkpoint": 2}),
            (NotFound, {"checkpoint": -1}),
            (Invalid, {"checkpoint": 1, "state": {"amount": "ten"}}),
            (Invalid, {"checkpoint": 1, "state": {"task_id": other.id}}),
            (Invalid, {"checkpoint": 1, "state": {"note": "nul \x00"}}),
            (Invalid, {"checkpoint": 1, "node": "nowhere"}),
        ):
            for fork in (False, True):
                with pytest.raises(error):
                    await world.service.checkpoints.resume(task.id, ANA.id, fork=fork, **more)
        with pytest.raises(NotAnAdmin):
            await world.service.checkpoints.resume(task.id, SAM.id, checkpoint=1)
        assert await world.history(task.id) == before
        busy = await world.submit(flow="busy")
        await world.diary.until(lambda: world.diary.of(busy.id)[1:])
        with pytest.raises(TaskIsRunning, match="running"):
            await world.service.checkpoints.resume(busy.id, ANA.id, checkpoint=0)


def busy_graph() -> Any:
    async def wait(shared: Shared) -> None:
        await asyncio.Event().wait()

    return Flow(start=Does("busy", wait))


async def test_resuming_after_the_end_of_a_flow_needs_a_node(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(sqlite_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        with pytest.raises(Invalid, match="the flow ends; name the `node`"):
            await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=3)
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=3, node="pay")
        done = await ended_twice(world, task.id)
        assert (done.final_result, done.outcome) == ("paid 10", Outcome.APPROVED)


async def test_a_follower_sees_both_ends_of_a_task_that_was_resumed(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(sqlite_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        first = [stored.seq async for stored in world.service.follow(task.id)]
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=2)
        await ended_twice(world, task.id)
        again = [stored.seq async for stored in world.service.follow(task.id)]
        rest = [stored.seq async for stored in world.service.follow(task.id, after=first[-1])]
    assert again == [*first, *rest]
    assert rest


async def test_a_checkpoint_at_an_interrupt_asks_again(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    first = sets("price", amount=10)
    first >> sets("pay", final_result="paid")
    flow = flow_of(Flow(start=first), interrupt_after=("price",), interrupt_before=("pay",))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.approve(await world.open_review(task.id, 2))
        await world.end(task.id)
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=1)
        await world.approve(await world.open_review(task.id, 3))
        await world.approve(await world.open_review(task.id, 4))
        done = await ended_twice(world, task.id)
        assert done.final_result == "paid"
        found = [(r.node, r.attempt, r.point.value) for r in await world.service.reviews(task.id)]
    assert found == [("price", 1, "after"), ("pay", 1, "before"), ("price", 2, "after"), ("pay", 2, "before")]


async def test_checkpoints_come_in_pages_newest_first(any_database: Database, clock: StoppedClock) -> None:
    async def count(shared: Shared) -> str:
        shared["count"] = shared.get("count", 0) + 1
        return "again" if shared["count"] < 6 else "done"

    node = Does("count", count)
    node - "again" >> node
    async with whole_core(any_database, clock, flows={"draft": definition(node)}) as world:
        task = await world.submit()
        await world.end(task.id)
        whole = await world.service.checkpoints.of_task(task.id)
        assert [(c.number, c.changes.get("count")) for c in whole] == [
            (0, None),
            (1, (None, 1)),
            *((n, (n - 1, n)) for n in range(2, 7)),
        ]
        newest = await world.service.checkpoints.of_task(task.id, limit=2)
        earlier = await world.service.checkpoints.of_task(task.id, before=newest[0].number, limit=3)
        rest = await world.service.checkpoints.of_task(task.id, before=earlier[0].number, limit=3)
        assert [*rest, *earlier, *newest] == list(whole)
        assert await world.service.checkpoints.of_task(task.id, before=0) == []


async def test_few_large_checkpoints_come_at_once(any_database: Database, clock: StoppedClock) -> None:
    async def grow(shared: Shared) -> str:
        shared["count"] = shared.get("count", 0) + 1
        shared["text"] = "x" * (MAX_STATE * 2 // 5)
        return "again" if shared["count"] < 5 else "done"

    node = Does("grow", grow)
    node - "again" >> node
    async with whole_core(any_database, clock, flows={"draft": definition(node)}) as world:
        task = await world.submit()
        await world.end(task.id)
        pages: list[list[int]] = []
        before: int | None = None
        while before != 0:
            found = await world.service.checkpoints.of_task(task.id, before=before)
            pages.append([one.number for one in found])
            before = found[0].number
        assert pages == [[4, 5], [2, 3], [0, 1]]
        assert (await world.service.checkpoints.of_task(task.id, before=5, limit=1))[0].changes == {
            "count": (3, 4)
        }


async def test_one_checkpoint_comes_however_large_it_is(any_database: Database, clock: StoppedClock) -> None:
    flow = in_a_row(sets("one", text="x" * (MAX_STATE - 1000)), sets("two", done=True))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.end(task.id)
        assert [one.number for one in await world.service.checkpoints.of_task(task.id)] == [2]
        assert [one.number for one in await world.service.checkpoints.of_task(task.id, before=2)] == [0, 1]


async def test_an_approval_on_another_branch_does_not_count_on_this_one(
    any_database: Database, clock: StoppedClock
) -> None:
    """To and fro between two branches: what was approved on one must not pass for approved on the other."""
    flow = in_a_row(sets("draft", processed_output="d"), ReviewNode("check"), sets("a"), sets("b"))
    async with whole_core(any_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        # 1 draft, 2 check (approved), 3 a, 4 b; then past the review: 5 (from 1), 6 a, 7 b.
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=1, node="a")
        assert (await ended(world, task.id, 2)).outcome is None
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=3)  # 8 (from 3), 9 b
        assert (await ended(world, task.id, 3)).outcome is Outcome.APPROVED
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=6)  # 10 (from 6), 11 b
        done = await ended(world, task.id, 4)
        assert (done.outcome, done.final_result) == (None, None)
        points = await world.service.checkpoints.of_task(task.id)
        assert [c.number for c in points if not c.superseded] == [0, 1, 5, 6, 10, 11]
        await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=9, node="b")  # 12 (from 9), 13 b
        done = await ended(world, task.id, 5)
        assert (done.outcome, done.final_result) == (Outcome.APPROVED, "d")
        points = await world.service.checkpoints.of_task(task.id)
        assert [c.number for c in points if not c.superseded] == [0, 1, 2, 3, 8, 9, 12, 13]


async def ended(world: World, task: TaskId, times: int) -> Task:
    """The task after it ended for so many times."""
    await world.diary.until(lambda: [e for e in world.diary.of(task) if isinstance(e, FINAL)][times - 1 :])
    return await world.service.task(task)


async def test_a_state_that_an_edit_makes_too_large_is_refused(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = in_a_row(sets("draft", much="x" * (MAX_STATE - 1_000)), sets("end"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.end(task.id)
        before = await world.history(task.id)
        for fork in (False, True):
            with pytest.raises(Invalid, match=f"over {MAX_STATE}"):
                await world.service.checkpoints.resume(
                    task.id, LOCAL, checkpoint=1, state={"more": "y" * 1_000}, fork=fork
                )
        assert await world.history(task.id) == before


@pytest.mark.parametrize("fork", [False, True])
async def test_a_task_is_not_resumed_where_its_flow_has_nothing_to_go_on_with(
    any_database: Database, clock: StoppedClock, fork: bool
) -> None:
    """Its result would be lost to a failure that is known beforehand."""
    async with whole_core(any_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
    changed = in_a_row(sets("price"), ReviewNode("inspect"), sets("ship", final_result="shipped"))
    for flows, sentence in (
        ({"draft": changed}, "Checkpoint 2 leads to 'pay'.* no node of that name.*inspect, price, ship"),
        ({"other": changed}, "flow 'draft' is not configured any more"),
    ):
        async with whole_core(any_database, clock, flows=flows) as world:
            with pytest.raises(Invalid, match=sentence):
                await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=2, fork=fork)
            for node in ("nul \x00", "\ud800"):
                with pytest.raises(Invalid):
                    await world.service.checkpoints.resume(task.id, LOCAL, checkpoint=2, node=node, fork=fork)
            assert (await world.service.task(task.id)).final_result == "paid 10"


@pytest.mark.parametrize("fork", [False, True])
async def test_a_resume_that_is_repeated_because_its_answer_was_lost_happens_once(
    any_database: Database, clock: StoppedClock, fork: bool
) -> None:
    async with whole_core(any_database, clock, flows={"draft": paying()}) as world:
        task = await world.submit()
        await world.open_review(task.id)
        resume = partial(world.service.checkpoints.resume, task.id, LOCAL, fork=fork, key="once")
        first, second = await asyncio.gather(resume(checkpoint=1), resume(checkpoint=1))
        await world.open_review(first.id, 1 if fork else 2)
        third = await resume(checkpoint=1)
        assert first.id == second.id == third.id
        assert (await world.service.task(first.id)).attempt == (1 if fork else 2)
        assert len((await world.service.tasks(TaskFilter())).tasks) == (2 if fork else 1)
        with pytest.raises(KeyReused):
            await resume(checkpoint=0)
        with pytest.raises(KeyReused):
            await resume(checkpoint=1, fork=not fork)
