"""Several engines on one PostgreSQL database: what one has no room for, or leaves behind, another runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engines.procrastinate import ProcrastinateEngine
from core.events import NodeRetried
from core.model import Status
from tests.contracts.conftest import on
from tests.world import eventually, whole_core

if TYPE_CHECKING:
    from core.model import TaskId
    from core.store.database import Database
    from tests.world import StoppedClock, World


def engine_of(world: World) -> ProcrastinateEngine:
    assert isinstance(world.engine, ProcrastinateEngine)
    return world.engine


def stop_heart(database: Database, world: World) -> None:
    """As the others see it: its last heartbeat is long ago."""
    me = world.store.replica
    on(
        database,
        "UPDATE procrastinate_workers w SET last_heartbeat = now() - interval '20 seconds'"  # noqa: S608 - ours
        f" FROM replica r WHERE w.id = r.worker AND r.id = '{me}'",
    )


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
    assert on(postgres_database, "SELECT count(*) FROM procrastinate_events") == [(0,)], "without a job"
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
        whole_core(postgres_database, clock, is_shared=True, limit=0) as dying,
        whole_core(postgres_database, clock, is_shared=True) as other,
    ):
        task = await dying.submit()
        await engine_of(other).sweep()
        assert holder(postgres_database, task.id) == dying.store.replica, "it lives"
        stop_heart(postgres_database, dying)
        await engine_of(other).sweep()
        await reviewed(other, task.id)
        assert holder(postgres_database, task.id) == other.store.replica


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
            return not on(postgres_database, "SELECT id FROM procrastinate_jobs WHERE task_name = 'segment'")

        await eventually(done)
        assert [type(event) for event in await world.history(task.id)].count(NodeRetried) == 0


async def test_a_stop_leaves_what_is_held_to_the_others(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(postgres_database, clock, is_shared=True) as other:
        async with whole_core(postgres_database, clock, is_shared=True, limit=0) as leaving:
            task = await leaving.submit()
            assert holder(postgres_database, task.id) == leaving.store.replica
        await reviewed(other, task.id)
        assert holder(postgres_database, task.id) == other.store.replica
