"""Several engines on one PostgreSQL database: what one has no room for, or leaves behind, another runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pocketflow import Flow
from structlog.testing import capture_logs

from core.engines.procrastinate import ProcrastinateEngine
from core.errors import StoreUnavailable
from core.events import NodeRetried, kind
from core.flow import FlowDefinition, FlowRunner
from core.graph import Graph
from core.model import Status
from core.nodes import ProcessNode, ResultNode, ReviewNode
from core.store.jobs import QUEUE, SEGMENT, UPKEEP
from core.store.postgresql import conninfo
from tests.contracts.conftest import on
from tests.world import THEIRS, draft_flows, eventually, flow_settings, policies, watches
from tests.world import whole_core as whole_core_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from core.model import Json, Task, TaskId
    from core.ports import Processor
    from core.store.database import Database
    from tests.world import StoppedClock, World


def whole_core(
    database: Database, clock: StoppedClock, *, flows: Mapping[str, FlowDefinition] | None = None, **more: Any
) -> AbstractAsyncContextManager[World]:
    """One of several, with a processor that an engine has to run."""
    return whole_core_of(
        database, clock, flows=draft_flows(processor=THEIRS) if flows is None else flows, **more
    )


def engine_of(world: World) -> ProcrastinateEngine:
    assert isinstance(world.engine, ProcrastinateEngine)
    return world.engine


async def done_beside(database: Database, statement: str) -> None:
    """A change of rows that Procrastinate changes, too, while the loop turns.

    Its connections are the loop's: one that holds the row's lock would never get to let go of it.
    """
    await asyncio.to_thread(on, database, statement)


async def stop_heart(database: Database, world: World) -> None:
    """As the others see it: its last heartbeat is long ago, and none follows."""

    async def still(worker_id: int) -> None:
        return

    jobs = engine_of(world)._app.job_manager
    jobs.update_heartbeat = still  # type: ignore[method-assign]  # this is the fault
    me = world.store.replica
    await done_beside(
        database,
        "UPDATE procrastinate_workers w SET last_heartbeat = now() - interval '20 seconds'"  # noqa: S608 - ours
        f" FROM replica r WHERE w.id = r.worker AND r.id = '{me}'",
    )


def drafted(processor: Processor) -> dict[str, FlowDefinition]:
    """The flow `draft`, with this for its processor."""
    process, look = ProcessNode(processor=processor), ReviewNode("review")
    process >> look
    look - "approved" >> ResultNode()
    graph = Graph(Flow(start=process))
    return {"draft": FlowDefinition(graph=graph, settings=flow_settings(), policies=policies())}


def holder(database: Database, task: str) -> str | None:
    found: str | None = on(database, f"SELECT holder FROM task WHERE id = '{task}'")[0][0]  # noqa: S608 - ours
    return found


async def reviewed(world: World, task: TaskId) -> None:
    """Once somebody has run its first segment."""

    async def waits() -> bool:
        return (await world.store.task(task)).status is Status.WAITING_FOR_REVIEW

    await eventually(waits)


async def test_what_is_stored_here_is_run_here(postgres_database: Database, clock: StoppedClock) -> None:
    async with whole_core(postgres_database, clock, is_shared=True) as world:
        task = await world.submit()
        review = await world.open_review(task.id)
        assert holder(postgres_database, task.id) == world.store.replica
        await world.approve(review)
        assert (await world.end(task.id)).status is Status.COMPLETED
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'segment'"
    assert on(postgres_database, jobs) == [(0,)]
    assert on(postgres_database, "SELECT count(*) FROM replica") == [(0,)]


async def test_what_one_has_no_room_for_another_runs(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        whole_core(postgres_database, clock, is_shared=True, held=0) as full,
        whole_core(postgres_database, clock, is_shared=True) as free,
    ):
        task = await full.submit()
        await reviewed(full, task.id)
        assert holder(postgres_database, task.id) == free.store.replica
        review = (await full.store.reviews(task.id))[0]
        await full.approve(review.id)
        assert (await free.end(task.id)).status is Status.COMPLETED


async def test_the_work_of_a_dead_replica_is_run_by_another(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        whole_core(postgres_database, clock, is_shared=True, limit=0, held=1) as dying,
        whole_core(postgres_database, clock, is_shared=True) as other,
    ):
        task = await dying.submit()
        await engine_of(other).sweep()
        assert holder(postgres_database, task.id) == dying.store.replica, "it lives"
        await stop_heart(postgres_database, dying)
        await engine_of(other).sweep()
        assert holder(postgres_database, task.id) == dying.store.replica, "as far as a newcomer can tell"
        watches(other)
        await engine_of(other).sweep()
        await reviewed(other, task.id)
        assert holder(postgres_database, task.id) == other.store.replica


async def test_a_flow_that_is_not_known_here_is_left_to_who_may_know_it(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """As while a new one comes to one replica after the other; where none knows more, the task fails."""

    class Known:
        may_know = True

        async def leave(self, task: TaskId) -> bool:
            if self.may_know:
                await world.store.leave(task)
            return self.may_know

    others = Known()
    async with whole_core(postgres_database, clock, is_shared=True, limit=0) as world:
        task = await world.submit()
        runner = FlowRunner(world.store, {}, clock, others)
        await runner.run(task.id)
        assert holder(postgres_database, task.id) is None
        assert await world.store.take(task.id)
        others.may_know = False
        await runner.run(task.id)
        assert (await world.end(task.id)).error == "The flow 'draft' is not configured any more."


async def test_a_replica_that_was_frozen_is_refused_what_another_took(
    postgres_database: Database, clock: StoppedClock
) -> None:
    gate, at_work = asyncio.Event(), asyncio.Event()

    async def slowly(shared: Mapping[str, Json]) -> Json:
        at_work.set()
        await gate.wait()
        return "the frozen one's draft"

    async def at_once(shared: Mapping[str, Json]) -> Json:
        return "the other one's draft"

    async with (
        whole_core(postgres_database, clock, is_shared=True, held=1, flows=drafted(slowly)) as frozen,
        whole_core(postgres_database, clock, is_shared=True, flows=drafted(at_once)) as other,
    ):
        task = await frozen.submit()
        await at_work.wait()
        await stop_heart(postgres_database, frozen)
        watches(other)
        await engine_of(other).sweep()
        await reviewed(other, task.id)
        gate.set()
        await eventually(lambda: at_rest(frozen))
        [review] = await other.store.reviews(task.id)
        assert review.draft == "the other one's draft"
        await frozen.approve(review.id)
        await eventually(lambda: completed(other, task.id))  # by either: still the other takes it for dead
        kinds = [kind(event) for event in await frozen.history(task.id)]
        assert kinds.count("review_requested") == 1


async def completed(world: World, task: TaskId) -> bool:
    return (await world.store.task(task)).status is Status.COMPLETED


async def at_rest(world: World) -> bool:
    await asyncio.sleep(0)
    return not world.engine.held


async def test_after_an_outage_nobody_is_taken_for_dead_before_all_had_time_to_beat(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        whole_core(postgres_database, clock, is_shared=True, limit=0, held=1) as slow,
        whole_core(postgres_database, clock, is_shared=True) as other,
    ):
        task = await slow.submit()
        watches(other)
        await engine_of(other).registered(worker_of(postgres_database, other))
        await stop_heart(postgres_database, slow)
        await engine_of(other).sweep()
        assert holder(postgres_database, task.id) == slow.store.replica
        watches(other)
        await engine_of(other).sweep()
        await reviewed(other, task.id)


async def test_a_worker_that_was_forgotten_begins_anew(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        whole_core(postgres_database, clock, is_shared=True) as world,
        whole_core(postgres_database, clock, is_shared=True, held=0) as full,
    ):
        before = worker_of(postgres_database, world)
        await forget(postgres_database, before)
        with pytest.raises(StoreUnavailable, match="forgotten"):
            await engine_of(world).beaten(before)
        task = await full.submit()  # its job cannot be fetched for a worker that nobody knows
        await reviewed(full, task.id)
        assert worker_of(postgres_database, world) != before


async def forget(database: Database, worker: int) -> None:
    await done_beside(database, f"DELETE FROM procrastinate_workers WHERE id = {worker}")  # noqa: S608 - ours


async def test_a_worker_that_was_forgotten_before_its_first_heartbeat_begins_anew(
    postgres_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing to fetch, too: its heartbeat alone tells it."""
    began: list[int] = []
    registered = ProcrastinateEngine.registered

    async def forgotten_at_first(engine: ProcrastinateEngine, worker: int) -> None:
        began.append(worker)
        if len(began) == 1:
            await forget(postgres_database, worker)
        await registered(engine, worker)

    async def nothing(_: ProcrastinateEngine) -> list[str]:
        return []

    monkeypatch.setattr("core.engines.procrastinate.BEAT", 0.01)
    monkeypatch.setattr(ProcrastinateEngine, "registered", forgotten_at_first)
    monkeypatch.setattr(ProcrastinateEngine, "queues", nothing)
    async with whole_core(postgres_database, clock, is_shared=True) as world:

        async def known() -> bool:
            is_known = await world.store.beaten(began[-1])
            return is_known and len(began) > 1

        await eventually(known)
        assert worker_of(postgres_database, world) == began[-1]


async def test_a_worker_whose_question_is_never_answered_begins_anew(
    postgres_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps the server from it: here somebody holds its row. Else nobody would see that we live."""
    monkeypatch.setattr("core.engines.procrastinate.BEAT", 0.01)
    monkeypatch.setattr("core.engines.procrastinate.ANSWER", 0.5)
    async with whole_core(postgres_database, clock, is_shared=True) as world:
        before = worker_of(postgres_database, world)
        async with await psycopg.AsyncConnection.connect(conninfo(postgres_database)) as other:
            held = "SELECT id FROM procrastinate_workers WHERE id = %s FOR UPDATE"
            with capture_logs() as logs:
                await other.execute(held, [before])

                async def began_anew() -> bool:
                    return not await world.store.beaten(before)

                await eventually(began_anew)
    assert [line for line in logs if line["event"] == "jobs_interrupted"]


async def test_a_replica_that_is_frozen_as_its_worker_is_answered_keeps_nothing_locked(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """Else the others could store no sweep beside its own, and take over nothing, until it wakes."""
    async with whole_core(postgres_database, clock, is_shared=True) as world:
        worker = worker_of(postgres_database, world)
        beat = f"UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = {worker}"  # noqa: S608 - ours
        async with engine_of(world)._app.connector.pool.connection() as frozen:  # type: ignore[attr-defined]  # that of PsycopgConnector
            await frozen.execute(beat)
            await done_beside(postgres_database, f"SET lock_timeout = '1s'; {beat}")


async def test_work_goes_on_after_every_connection_was_cut(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        whole_core(postgres_database, clock, is_shared=True) as world,
        whole_core(postgres_database, clock, is_shared=True, held=0) as full,
    ):
        on(
            postgres_database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

        async def submitted() -> Task | None:
            with suppress(StoreUnavailable):
                return await full.submit(key="once")
            return None

        task = await eventually(submitted)
        assert task is not None

        async def waits() -> bool:
            with suppress(StoreUnavailable):
                return (await world.store.task(task.id)).status is Status.WAITING_FOR_REVIEW
            return False

        await eventually(waits)


async def test_jobs_of_a_dead_worker_are_done_by_others(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """Whatever it was at: a task's work, or a sweep, beside which the next one waits already."""
    async with whole_core(postgres_database, clock, is_shared=True) as world:
        watches(world)
        task = await world.submit()
        review = await world.open_review(task.id)
        [(worker,)] = on(
            postgres_database,
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '20 seconds')"
            " RETURNING id",
        )
        for queue, name in ((QUEUE, SEGMENT), (UPKEEP, "sweep")):
            on(
                postgres_database,
                "INSERT INTO procrastinate_jobs"  # noqa: S608 - ours
                " (queue_name, task_name, args, status, worker_id, queueing_lock)"
                f" VALUES ('{queue}', '{name}', jsonb_build_object('task_id', '{task.id}'), 'doing',"
                f" {worker}, '{name}/dead')",
            )
        await engine_of(world).sweep()

        async def done() -> bool:
            await asyncio.sleep(0)
            return not on(
                postgres_database, "SELECT id FROM procrastinate_jobs WHERE queueing_lock LIKE '%/dead'"
            )

        await eventually(done)
        await world.approve(review)
        await world.end(task.id)


def worker_of(database: Database, world: World) -> int:
    [(found,)] = on(database, f"SELECT worker FROM replica WHERE id = '{world.store.replica}'")  # noqa: S608 - ours
    return int(found)


async def test_a_job_that_comes_twice_is_harmless(postgres_database: Database, clock: StoppedClock) -> None:
    async with whole_core(postgres_database, clock, is_shared=True) as world:
        task = await world.submit()
        review = await world.open_review(task.id)
        for version in (100, 101):
            await engine_of(world)._defer(task.id, version)
        await engine_of(world)._defer(task.id, 101)  # which waits there already
        await world.approve(review)
        await world.end(task.id)

        async def done() -> bool:
            await asyncio.sleep(0)
            return not on(postgres_database, "SELECT id FROM procrastinate_jobs WHERE task_name = 'segment'")

        await eventually(done)
        assert [type(event) for event in await world.history(task.id)].count(NodeRetried) == 0


async def test_a_stop_leaves_what_is_held_to_the_others(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(postgres_database, clock, is_shared=True) as other:
        async with whole_core(postgres_database, clock, is_shared=True, limit=0, held=1) as leaving:
            task = await leaving.submit()
            assert holder(postgres_database, task.id) == leaving.store.replica
        await reviewed(other, task.id)
        assert holder(postgres_database, task.id) == other.store.replica


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (StoreUnavailable("away"), ("job_interrupted", "warning")),
        (KeyError("a defect"), ("job_broke", "error")),
    ],
)
async def test_what_a_job_meets_is_told_and_its_task_is_run_by_another_job(
    postgres_database: Database, clock: StoppedClock, fault: Exception, told: tuple[str, str]
) -> None:
    """Procrastinate catches it, and its own words are silenced."""
    async with (
        whole_core(postgres_database, clock, is_shared=True, held=0) as full,
        whole_core(postgres_database, clock, is_shared=True) as free,
    ):
        faults, take = [fault], free.store.take

        async def broken(task: TaskId) -> bool:
            if faults:
                raise faults.pop()
            return await take(task)

        free.store.take = broken  # type: ignore[method-assign]  # this is the fault
        with capture_logs() as logs:
            task = await full.submit()
            await eventually(lambda: swept(free, logs))
            await reviewed(free, task.id)
    assert told_of_jobs(logs) == [told]


async def swept(world: World, logs: Sequence[Mapping[str, Any]]) -> bool:
    """Once the job has failed: the regular sweep comes within seconds, and this one now."""
    await engine_of(world).sweep()
    return bool(told_of_jobs(logs))


def told_of_jobs(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Not the sweeps that found the job there already: how many there are is the machine's."""
    return [
        (line["event"], line["log_level"])
        for line in logs
        if line["event"].startswith("job_") and line["log_level"] != "debug"
    ]
