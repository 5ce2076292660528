"""Flows: the seed's graph, loops, retries, failures, and nodes that misbehave."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pocketflow import Flow, Node
from structlog.testing import capture_logs

from core.errors import FlowError
from core.events import (
    ActionUnmatched,
    AttemptStarted,
    NodeFinished,
    NodeRetried,
    TaskCompleted,
    TaskFailed,
    TaskResumed,
    TaskSubmitted,
)
from core.graph import Graph
from core.model import Outcome, Status, Verdict
from core.nodes import ProcessNode, ResultNode, ReviewNode
from core.processors import offline
from tests.core.graphs import Does, DoesInThread, Shared, definition, drafting, in_a_row
from tests.world import (
    ANA,
    BEN,
    PATIENCE,
    StoppedClock,
    World,
    eventually,
    flow_settings,
    policies,
    whole_core,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.flow import FlowDefinition
    from core.model import Answer, Json, Task
    from core.store.database import Database
    from core.store.sql import SqlStore

SEED_KEYS = {"task_input", "processed_output", "feedback", "final_result", "current_attempt", "task_id"}


class Seen:
    """A processor that keeps what it was given."""

    def __init__(self) -> None:
        self.shared: list[Shared] = []

    async def __call__(self, shared: Any) -> Json:
        self.shared.append(dict(shared))
        return f"draft {len(self.shared)}"


async def ended(database: Database, clock: StoppedClock, flow: FlowDefinition) -> tuple[Task, list[object]]:
    """Run one task of a flow that nobody reviews; the task and its history."""
    async with whole_core(database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        done = await world.end(task.id)
        return done, list(await world.history(task.id))


async def test_the_seeds_keys_are_shared_and_feedback_reaches_the_next_attempt(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    seen = Seen()
    async with whole_core(sqlite_database, clock, flows={"draft": drafting(seen)}) as world:
        task = await world.submit("do it")
        await world.reject(await world.open_review(task.id), comment="shorter, please")
        await world.reject(await world.open_review(task.id, 2))
        await world.approve(await world.open_review(task.id, 3), comment="good")
        done = await world.end(task.id)
    first, second, third = seen.shared
    assert set(first) >= SEED_KEYS
    assert (first["task_input"], first["task_id"], first["current_attempt"]) == ("do it", task.id, 0)
    assert (first["processed_output"], first["feedback"], first["final_result"]) == (None, None, None)
    assert (second["feedback"], second["feedback_comment"]) == ("rejected", "shorter, please")
    assert (second["current_attempt"], second["processed_output"], second["attempt"]) == (1, "draft 1", 2)
    assert (third["feedback"], third["feedback_comment"], third["attempt"]) == ("rejected", None, 3)
    assert (done.final_result, done.draft, done.attempt) == ("draft 3", "draft 3", 3)


async def test_the_reasons_of_all_who_rejected_reach_the_next_attempt(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    seen = Seen()
    veto = replace(policies()["default"], rejections=2)
    flow = replace(drafting(seen), policies={"default": veto})
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("do it")
        review = await world.open_review(task.id)
        await world.reject(review, BEN, "too long")
        await world.reject(review, ANA, "too late")
        await world.open_review(task.id, 2)
    assert seen.shared[1]["feedback_comment"] == "Ben Okri: too long\nAna Ruiz: too late"


async def test_the_last_checkpoint_holds_the_approval_and_its_comment(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    after: list[Shared] = []

    async def keep(shared: Shared) -> None:
        after.append(dict(shared))

    flow = in_a_row(ProcessNode(processor=offline), ReviewNode(), Does("after", keep), ResultNode())
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id), comment="go on")
        await world.end(task.id)
        assert TaskResumed(attempt=1) in await world.history(task.id)
    assert (after[0]["feedback"], after[0]["feedback_comment"]) == ("approved", "go on")
    assert after[0]["final_result"] == "x"


async def test_an_edit_at_the_last_attempt_is_not_called_a_rejection(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = drafting(offline, flow_settings(max_attempts=1, policy="two"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        review = await world.open_review(task.id)
        await world.service.decide(review, BEN.id, Verdict.EDIT, content="y", via="api")
        done = await world.end(task.id)
        assert done.error == "Edited at attempt 1, and max_attempts allows 1."


async def test_rejections_end_at_max_attempts_with_a_reason(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = drafting(offline, flow_settings(max_attempts=2))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.reject(await world.open_review(task.id))
        await world.reject(await world.open_review(task.id, 2))
        done = await world.end(task.id)
        assert (done.status, done.outcome, done.attempt) == (Status.FAILED, Outcome.REJECTED, 2)
        assert "max_attempts" in str(done.error)
        assert sum(isinstance(event, AttemptStarted) for event in await world.history(task.id)) == 2


async def test_a_failed_step_is_retried_with_growing_waits_and_then_fails_its_task(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    calls: list[int] = []

    async def broken(shared: Any) -> Json:
        calls.append(1)
        raise ValueError(f"call {len(calls)}")

    flow = drafting(broken, flow_settings(retries=3, backoff=2))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        for number, wait in enumerate((2, 4, 8), 1):
            event = await world.event(task.id, NodeRetried, number)
            assert event == NodeRetried(
                node="process", retry=number, error=f"Node 'process' failed: ValueError: call {number}"
            )
            due = await eventually(lambda: due_at(world.store, task.id))
            assert due == clock.now() + timedelta(seconds=wait)
            clock.advance(seconds=wait - 0.001)
            await world.store.check()
            assert len(calls) == number
            clock.advance(seconds=0.001)
        done = await world.end(task.id)
        assert (done.status, done.error) == (Status.FAILED, "Node 'process' failed: ValueError: call 4")
        assert (done.attempt, done.outcome) == (1, None)
    assert len(calls) == 4


async def due_at(store: SqlStore, task: str) -> object:
    position = await store.position(task)
    return position and position.due_at


async def test_a_retry_that_works_leads_on_as_if_nothing_had_been(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    calls: list[int] = []

    async def once_broken(shared: Any) -> Json:
        calls.append(shared["attempt"])
        if len(calls) == 1:
            raise OSError("no line")
        return "fine"

    async with whole_core(sqlite_database, clock, flows={"draft": drafting(once_broken)}) as world:
        task = await world.submit("x")
        await world.event(task.id, NodeRetried)
        clock.advance(seconds=1)
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).final_result == "fine"
    assert calls == [1, 1], "a retry is no attempt"


async def test_each_node_has_its_own_retries(sqlite_database: Database, clock: StoppedClock) -> None:
    failures = {"one": 2, "two": 2}

    def failing(name: str) -> Does:
        async def work(shared: Shared) -> None:
            failures[name] -= 1
            if failures[name] >= 0:
                raise ValueError(name)

        return Does(name, work)

    flow = in_a_row(failing("one"), failing("two"), ResultNode())
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        for number, (node, retry) in enumerate([("one", 1), ("one", 2), ("two", 1), ("two", 2)], 1):
            event = await world.event(task.id, NodeRetried, number)
            assert isinstance(event, NodeRetried)
            assert (event.node, event.retry) == (node, retry)
            clock.advance(seconds=retry)
        assert (await world.end(task.id)).status is Status.COMPLETED


async def test_a_second_reviews_rejection_takes_the_first_ones_result_back(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = in_a_row(ProcessNode(processor=offline), ReviewNode("style"), ReviewNode("legal"))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id))
        await world.reject(await world.open_review(task.id, 2))
        done = await world.end(task.id)
        assert (done.status, done.outcome, done.final_result) == (Status.COMPLETED, Outcome.REJECTED, None)


async def test_one_tasks_failure_touches_no_other(sqlite_database: Database, clock: StoppedClock) -> None:
    async def broken_for_some(shared: Any) -> Json:
        if shared["task_input"] == "bad":
            raise RuntimeError("bad input")
        return "ok"

    flow = drafting(broken_for_some, flow_settings(retries=0))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        tasks = [await world.submit("bad" if n % 3 == 0 else "good") for n in range(12)]
        for number, task in enumerate(tasks):
            if number % 3 == 0:
                assert (await world.end(task.id)).status is Status.FAILED
            else:
                await world.approve(await world.open_review(task.id))
                assert (await world.end(task.id)).status is Status.COMPLETED


async def test_a_step_that_takes_too_long_fails(sqlite_database: Database, clock: StoppedClock) -> None:
    async def endless(shared: Any) -> Json:
        await asyncio.Event().wait()
        return None

    done, _ = await ended(sqlite_database, clock, drafting(endless, flow_settings(timeout=0.05, retries=0)))
    assert done.error == "Node 'process' took longer than 0.05 s."


async def test_a_step_whose_own_call_timed_out_says_so(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def impatient(shared: Any) -> Json:
        raise TimeoutError("the model did not answer")

    done, _ = await ended(sqlite_database, clock, drafting(impatient, flow_settings(retries=0)))
    assert done.error == "Node 'process' failed: TimeoutError: the model did not answer"


async def test_a_blocking_step_is_left_behind_at_its_timeout(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    release = threading.Event()

    def blocks(shared: Shared) -> None:
        release.wait(PATIENCE)

    flow = definition(DoesInThread("slow", blocks), flow_settings(timeout=0.05, retries=0))
    done, _ = await ended(sqlite_database, clock, flow)
    release.set()
    assert done.error == "Node 'slow' took longer than 0.05 s."


@pytest.mark.parametrize(
    "left",
    [object(), {1, 2}, float("nan"), b"bytes", "\ud800"],
    ids=["object", "set", "nan", "bytes", "half a pair"],
)
async def test_what_cannot_be_stored_fails_the_task_at_once(
    sqlite_database: Database, clock: StoppedClock, left: Any
) -> None:
    async def leave(shared: Shared) -> None:
        shared["mine"] = left

    done, history = await ended(sqlite_database, clock, in_a_row(Does("odd", leave), ResultNode()))
    assert done.status is Status.FAILED
    assert "'odd' left in shared what is not JSON" in str(done.error)
    assert not [event for event in history if isinstance(event, NodeRetried)]


async def test_a_state_without_end_fails_the_task(sqlite_database: Database, clock: StoppedClock) -> None:
    async def hoard(shared: Shared) -> None:
        shared["mine"] = "x" * (9 * 2**20)

    done, _ = await ended(sqlite_database, clock, in_a_row(Does("hoarder", hoard), ResultNode()))
    assert "characters of state" in str(done.error)


async def test_a_loop_in_shared_fails_the_task(sqlite_database: Database, clock: StoppedClock) -> None:
    async def tie(shared: Shared) -> None:
        shared["mine"] = shared

    done, _ = await ended(sqlite_database, clock, in_a_row(Does("tied", tie), ResultNode()))
    assert done.status is Status.FAILED


@pytest.mark.parametrize("text", ["nul \x00 here", "half \ud800 here"])
async def test_an_error_that_no_database_takes_is_told_all_the_same(
    any_database: Database, clock: StoppedClock, text: str
) -> None:
    async def broken(shared: Any) -> Json:
        raise ValueError(text)

    done, _ = await ended(any_database, clock, drafting(broken, flow_settings(retries=0)))
    assert str(done.error).startswith(f"Node 'process' failed: ValueError: {text.split(maxsplit=1)[0]}")
    assert str(done.error).endswith("here")


async def test_an_error_that_cannot_say_why_is_told_all_the_same(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def broken(shared: Any) -> Json:
        raise Mute

    done, _ = await ended(sqlite_database, clock, drafting(broken, flow_settings(retries=0)))
    assert "Mute" in str(done.error)


async def test_a_synchronous_node_runs_off_the_event_loop(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    release = threading.Event()

    def work(shared: Shared) -> str:
        assert release.wait(PATIENCE)
        shared["final_result"] = "made in a thread"
        return "default"

    node = DoesInThread("slow", work)
    async with whole_core(sqlite_database, clock, flows={"draft": in_a_row(node, ResultNode())}) as world:
        slow = await world.submit()
        await world.event(slow.id, AttemptStarted)
        quick = await world.submit()  # the loop is free
        await world.event(quick.id, AttemptStarted)
        release.set()
        assert (await world.end(slow.id)).final_result == "made in a thread"
        await world.end(quick.id)
    assert threading.main_thread().name not in node.threads


class Exits(BaseException):
    """What no `except Exception` sees."""


@pytest.mark.parametrize("how", ["async exit", "thread exit", "cancels itself", "thread base"])
async def test_a_node_that_would_end_the_service_fails_its_task_only(
    sqlite_database: Database, clock: StoppedClock, how: str
) -> None:
    async def in_loop(shared: Shared) -> None:
        if how == "async exit":
            sys.exit(3)
        raise asyncio.CancelledError

    def in_thread(shared: Shared) -> None:
        if how == "thread exit":
            sys.exit(3)
        raise Exits("out")

    node = DoesInThread("bad", in_thread) if how.startswith("thread") else Does("bad", in_loop)
    flows = {"bad": definition(node, flow_settings("bad", retries=0)), "draft": drafting(offline)}
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        bad = await world.submit(flow="bad")
        done = await world.end(bad.id)
        assert done.status is Status.FAILED
        assert "'bad'" in str(done.error)
        good = await world.submit()
        await world.approve(await world.open_review(good.id))
        assert (await world.end(good.id)).status is Status.COMPLETED


async def test_an_action_that_leads_nowhere_fails_the_task_of_a_strict_flow(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def lost(shared: Shared) -> str:
        return "lft"

    node = Does("fork", lost)
    node - "left" >> ResultNode()
    done, _ = await ended(sqlite_database, clock, definition(node, flow_settings(strict_actions=True)))
    assert done.error == "Node 'fork' returned the action 'lft', which leads nowhere; it has: left."


async def test_an_action_that_leads_nowhere_ends_the_flow_and_is_recorded(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def lost(shared: Shared) -> str:
        return "lft"

    node = Does("fork", lost)
    node - "left" >> ResultNode()
    done, history = await ended(sqlite_database, clock, definition(node))
    assert done.status is Status.COMPLETED
    assert ActionUnmatched(node="fork", action="lft", choices=["left"]) in history


async def test_an_approval_that_leads_nowhere_names_the_choices(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    review = ReviewNode()
    review - "rejected" >> ResultNode()
    async with whole_core(sqlite_database, clock, flows={"draft": definition(review)}) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
        assert (done.status, done.outcome) == (Status.FAILED, Outcome.APPROVED)
        assert done.error == "Review 'review' came out approved, which leads nowhere; it has: rejected."


async def test_in_a_strict_flow_a_rejection_that_leads_nowhere_fails_the_task(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    review = ReviewNode()
    review - "approved" >> ResultNode()
    flow = definition(review, flow_settings(strict_actions=True))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.reject(await world.open_review(task.id))
        assert (await world.end(task.id)).error == (
            "Review 'review' came out rejected, which leads nowhere; it has: approved."
        )


async def test_a_rejection_for_which_a_review_has_no_successor_ends_the_flow_without_a_result(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """Whatever was approved before."""
    flow = in_a_row(ProcessNode(processor=offline), ReviewNode("style"), ReviewNode("legal"), ResultNode())
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id))
        await world.reject(await world.open_review(task.id, 2))
        done = await world.end(task.id)
        assert (done.status, done.outcome, done.final_result) == (Status.COMPLETED, Outcome.REJECTED, None)
        found = await world.history(task.id)
        assert ActionUnmatched(node="legal", action="rejected", choices=["approved"]) in found


async def test_a_rejection_that_ends_the_flow_completes_without_a_result(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = in_a_row(ProcessNode(processor=offline), ReviewNode())
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.reject(await world.open_review(task.id))
        done = await world.end(task.id)
        assert (done.status, done.outcome, done.final_result) == (Status.COMPLETED, Outcome.REJECTED, None)
        assert (await world.history(task.id))[-1] == TaskCompleted(final_result=None, outcome="rejected")


async def test_two_reviews_in_one_attempt_are_two_reviews(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = in_a_row(
        ProcessNode(processor=offline), ReviewNode("style"), ReviewNode("legal", policy="two"), ResultNode()
    )
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id))
        legal = await world.open_review(task.id, 2)
        found = await world.service.reviews(task.id)
        assert [(r.node, r.attempt, r.policy.name) for r in found] == [
            ("style", 1, "default"),
            ("legal", 1, "two"),
        ]
        await world.approve(legal)
        await world.approve(legal, BEN)
        assert (await world.end(task.id)).final_result == "x"


async def test_a_node_without_work_after_it_ends_the_flow_without_a_result(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def idle(shared: Shared) -> None:
        return None

    done, history = await ended(sqlite_database, clock, in_a_row(Does("only", idle)))
    assert (done.status, done.final_result, done.outcome) == (Status.COMPLETED, None, None)
    assert [type(event) for event in history] == [TaskSubmitted, AttemptStarted, NodeFinished, TaskCompleted]


async def test_a_review_of_nothing_shows_nothing(sqlite_database: Database, clock: StoppedClock) -> None:
    async with whole_core(
        sqlite_database, clock, flows={"draft": in_a_row(ReviewNode(), ResultNode())}
    ) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).status is Status.COMPLETED


async def test_a_node_that_is_gone_fails_its_task(sqlite_database: Database, clock: StoppedClock) -> None:
    async with whole_core(sqlite_database, clock) as world:
        task = await world.submit("x")
        review = await world.open_review(task.id)
    other = in_a_row(ProcessNode("make", processor=offline), ReviewNode("look"), ResultNode())
    async with whole_core(sqlite_database, clock, flows={"draft": other}) as world:
        await world.approve(review)
        assert (await world.end(task.id)).error == "Node 'review' is not in the flow 'draft' any more."


async def test_a_flow_that_is_gone_fails_its_task(sqlite_database: Database, clock: StoppedClock) -> None:
    async with whole_core(sqlite_database, clock) as world:
        task = await world.submit("x")
        review = await world.open_review(task.id)
    async with whole_core(sqlite_database, clock, flows={"other": drafting(offline)}) as world:
        await world.approve(review)
        assert (await world.end(task.id)).error == "The flow 'draft' is not configured any more."


async def test_a_policy_that_is_missing_fails_its_task(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = in_a_row(ProcessNode(processor=offline), ReviewNode(policy="gone"), ResultNode())
    done, history = await ended(sqlite_database, clock, flow)
    assert done.status is Status.FAILED
    assert isinstance(history[-1], TaskFailed)


async def test_the_log_says_what_became_of_a_task_and_none_of_its_words(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def breaks(shared: Any) -> Json:
        if shared["task_input"] == "bad words":
            raise ValueError("secret words")
        return "a draft's words"

    flows = {"draft": drafting(breaks, flow_settings(retries=1, max_attempts=1))}
    with capture_logs() as logged:
        async with whole_core(sqlite_database, clock, flows=flows) as world:
            bad, good, refused = [await world.submit(text) for text in ("bad words", "x", "y")]
            await world.event(bad.id, NodeRetried)
            await eventually(lambda: has_line(logged, "node_retried"))
            clock.advance(seconds=2)
            await world.end(bad.id)
            await world.approve(await world.open_review(good.id))
            await world.reject(await world.open_review(refused.id), comment="a comment's words")
            await world.end(good.id)
            await world.end(refused.id)
            await eventually(lambda: has_line(logged, "task_failed", times=2))
            await eventually(lambda: has_line(logged, "task_completed"))
    told = [
        (line["task_id"], line["event"], line.get("node"), line.get("error"))
        for line in logged
        if line["event"] in {"task_completed", "task_failed", "node_retried"}
    ]
    assert sorted(told, key=str) == sorted(
        [
            (bad.id, "node_retried", "process", "ValueError"),
            (bad.id, "task_failed", "process", "ValueError"),
            (good.id, "task_completed", None, None),
            (refused.id, "task_failed", "review", "MaxAttempts"),
        ],
        key=str,
    )
    assert "words" not in str(logged)


async def has_line(logged: Sequence[Any], event: str, times: int = 1) -> bool:
    await asyncio.sleep(0)
    return len([line for line in logged if line["event"] == event]) >= times


async def has_run(runs: Sequence[object], times: int) -> bool:
    return len(runs) == times


async def dies(world: World) -> None:
    """As in a crash, nothing that happens from now on is stored."""
    await world.store.__aexit__(None, None, None)


async def test_a_slow_step_outlives_any_number_of_stops_in_good_order(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    begun: list[int] = []
    gate = asyncio.Event()

    async def slow(shared: Any) -> Json:
        begun.append(1)
        await gate.wait()
        return "fine"

    flows = {"draft": drafting(slow, flow_settings(timeout=60))}
    task = None
    for start in range(5):
        async with whole_core(sqlite_database, clock, flows=flows) as world:
            task = task or await world.submit()
            async with asyncio.timeout(PATIENCE):
                while len(begun) <= start:
                    await world.store.check()
    gate.set()
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        assert task is not None
        await world.open_review(task.id)


async def test_a_node_found_running_at_three_starts_fails_and_others_go_on(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    started: list[str] = []

    async def poison(shared: Any) -> Json:
        started.append(shared["task_input"])
        if shared["task_input"] == "poison":
            await asyncio.Event().wait()
        return "fine"

    flows = {"draft": drafting(poison, flow_settings(timeout=60))}
    task = other = None
    for start in range(3):
        async with whole_core(sqlite_database, clock, flows=flows) as world:
            task = task or await world.submit("poison")
            other = other or await world.submit("good")
            if start == 0:
                await world.open_review(other.id)
            async with asyncio.timeout(PATIENCE):
                while started.count("poison") <= start:
                    await world.store.check()
            await dies(world)
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        assert task is not None
        assert other is not None
        failed = await world.service.task(task.id)
        assert failed.status is Status.FAILED
        assert "starts of the service" in str(failed.error)
        review = (await world.service.reviews(other.id))[0]
        await world.approve(review.id)
        assert (await world.end(other.id)).status is Status.COMPLETED
    assert started.count("poison") == 3


async def test_a_step_cut_off_by_a_stop_is_run_again(sqlite_database: Database, clock: StoppedClock) -> None:
    entered = asyncio.Event()
    calls: list[int] = []

    async def slow_once(shared: Any) -> Json:
        calls.append(1)
        if len(calls) == 1:
            entered.set()
            await asyncio.Event().wait()
        return "fine"

    flows = {"draft": drafting(slow_once)}
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        task = await world.submit("x")
        await entered.wait()
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        review = await eventually(lambda: world.service.reviews(task.id))
        await world.approve(review[0].id)
        await world.end(task.id)
        kinds = [type(event) for event in await world.history(task.id)]
    assert kinds[:3] == [TaskSubmitted, AttemptStarted, NodeFinished], "as if it had not been cut off"
    assert len(calls) == 2


async def test_retries_are_kept_over_a_restart(sqlite_database: Database, clock: StoppedClock) -> None:
    async def broken(shared: Any) -> Json:
        raise ValueError("no")

    flows = {"draft": drafting(broken, flow_settings(retries=1, backoff=10))}
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        task = await world.submit("x")
        await world.event(task.id, NodeRetried)
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        assert (await world.service.task(task.id)).status is Status.RUNNING
        clock.advance(seconds=10)
        assert (await world.end(task.id)).status is Status.FAILED
        retried = [event for event in await world.history(task.id) if isinstance(event, NodeRetried)]
        assert len(retried) == 1


async def rings_in(clock: StoppedClock, wait: float) -> bool:
    return clock.now() + timedelta(seconds=wait) in clock.alarms


async def test_a_clock_that_is_set_back_makes_no_retry_wait_longer(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    runs: list[int] = []

    async def broken(shared: Any) -> Json:
        runs.append(1)
        raise ValueError("no")

    flows = {"draft": drafting(broken, flow_settings(retries=2, backoff=10))}
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        task = await world.submit("x")
        await world.event(task.id, NodeRetried)
        await eventually(partial(rings_in, clock, 10))
        clock.advance(hours=-1)
        clock.advance(seconds=9.9)
        await world.store.check()
        assert len(runs) == 1
        clock.advance(seconds=0.1)
        await world.event(task.id, NodeRetried, 2)
        await eventually(partial(rings_in, clock, 20))
    async with whole_core(sqlite_database, clock, flows=flows) as world:  # a start goes by what is stored
        clock.advance(hours=-1)
        clock.advance(seconds=20)
        assert (await world.end(task.id)).status is Status.FAILED
    assert len(runs) == 3


async def test_a_retry_that_a_stop_cut_off_has_been_counted(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    runs: list[int] = []

    async def broken(shared: Any) -> Json:
        runs.append(1)
        if len(runs) == 2:
            await asyncio.Event().wait()
        raise ValueError("no")

    flows = {"draft": drafting(broken, flow_settings(retries=1, backoff=10))}
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        task = await world.submit("x")
        await world.event(task.id, NodeRetried)
        clock.advance(seconds=10)
        await eventually(partial(has_run, runs, 2))
    async with whole_core(sqlite_database, clock, flows=flows) as world:
        await world.diary.until(lambda: world.diary.of(task.id))
        assert [type(event) for event in world.diary.of(task.id)] == [TaskFailed]


class Stumbles(ReviewNode):
    """A review whose own way of taking an answer raises."""

    def post(self, shared: Shared, prep_res: Json, exec_res: Answer) -> str:
        raise ValueError("no")


async def test_a_verdict_that_its_review_cannot_take_is_not_asked_for_again(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    flow = in_a_row(ProcessNode(processor=offline), Stumbles("legal"), ResultNode())
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.approve(await world.open_review(task.id))
        await world.diary.until(lambda: type(world.diary.of(task.id)[-1]) in {TaskFailed, NodeRetried})
        assert (await world.service.task(task.id)).status is Status.FAILED


def test_two_nodes_of_one_name_are_refused() -> None:
    first, second = ReviewNode("same"), ResultNode("same")
    first - "approved" >> second
    with pytest.raises(FlowError, match="same"):
        Graph(Flow(start=first))


def test_a_plain_node_is_named_by_its_class() -> None:
    class Price(Node):  # type: ignore[misc]  # PocketFlow has no types
        pass

    first, loop = Price(), ReviewNode()
    first >> loop
    loop - "rejected" >> first
    assert set(Graph(Flow(start=first)).places) == {"/", "Price", "review"}
