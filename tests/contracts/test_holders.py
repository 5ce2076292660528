"""Who holds the work of a PostgreSQL database that several processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from core.errors import StaleRun
from core.events import AttemptStarted, TaskFailed
from core.model import Status, TaskId
from core.store.jobs import DEFER, QUEUE, SEGMENT, lock_of
from core.store.postgresql import conninfo
from core.store.recovery import POISON
from tests.contracts.conftest import on
from tests.contracts.hearts import A, B, beats, dies, replica, worker_of
from tests.contracts.steps import decide, new_id, parked, step, submitted
from tests.world import ANA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from core.model import ChannelName, Hint, StoredEvent
    from core.store.database import Database
    from core.store.sql import SqlStore
    from tests.world import StoppedClock


class Told:
    """A listener that asks, as an engine does, where the work of a task goes."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.left: list[tuple[TaskId, bool]] = []
        store.listen(self)

    def committed(self, events: Sequence[StoredEvent], due: AbstractSet[ChannelName]) -> None:
        self.left += [(event.task, self._store.is_left_to_a_job(event.task)) for event in events]

    def heard(self, hint: Hint) -> None:
        """What others do is not asked for."""


def tasks_of(database: Database) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in on(database, "SELECT status, holder, version, starts FROM task")]


def jobs(database: Database) -> list[str]:
    return [row[0] for row in on(database, "SELECT queueing_lock FROM procrastinate_jobs ORDER BY id")]


async def test_work_is_held_where_it_is_stored_while_there_is_room(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with replica(postgres_database, clock, A) as store:
        told = Told(store)
        task = await submitted(store)
        assert told.left == [(task.id, False)]
        assert await store.runnable() == [(task.id, None)]
        review = await parked(store, task.id)
        await decide(store, review)
        assert await store.runnable() == [(task.id, None)]
    assert tasks_of(postgres_database) == [("running", A, 3, 0)]
    assert jobs(postgres_database) == []


async def test_without_room_a_job_carries_it_and_the_runner_is_not_told_of_a_position(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with replica(postgres_database, clock, A, room=False) as store:
        told = Told(store)
        task = await submitted(store)
        assert told.left == [(task.id, True)]
        assert not store.is_left_to_a_job(task.id), "nothing is kept of it"
        assert await store.runnable() == []
        assert await store.position(task.id) is None
        assert jobs(postgres_database) == [lock_of(task.id, 1)]
        assert await store.uncovered() == [], "the job covers it"


async def test_a_job_of_ours_is_as_procrastinates_own(
    postgres_database: Database, clock: StoppedClock
) -> None:
    from procrastinate import App, SyncPsycopgConnector, sql

    async with replica(postgres_database, clock, A, room=False) as store:
        task = await submitted(store)
    app = App(connector=SyncPsycopgConnector(conninfo=conninfo(postgres_database)))
    with app.open():
        theirs = app.configure_task(SEGMENT, queue=QUEUE, queueing_lock="another")
        theirs.defer(task_id=task.id)
    ours, own = on(
        postgres_database,
        "SELECT queue_name, task_name, priority, lock, args, status, scheduled_at, attempts, worker_id"
        " FROM procrastinate_jobs ORDER BY id",
    )
    assert tuple(ours) == tuple(own)
    function = "procrastinate_defer_jobs_v1"
    assert function in sql.queries["defer_jobs"], "what Procrastinate itself calls"
    assert function in DEFER.text(postgres_database.dialect)[0]


async def test_a_decision_without_room_leaves_its_work_to_a_job_too(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        replica(postgres_database, clock, A) as free,
        replica(postgres_database, clock, B, room=False) as full,
    ):
        review = await parked(free, (await submitted(free)).id)
        await decide(full, review, ANA)
    assert tasks_of(postgres_database) == [("running", None, 3, 0)]
    assert len(jobs(postgres_database)) == 1


async def test_a_refused_unit_leaves_no_job(postgres_database: Database, clock: StoppedClock) -> None:
    async with replica(postgres_database, clock, A, room=False) as store:
        first = await submitted(store, key="k")
        assert (await submitted(store, key="k")).id == first.id
    assert len(jobs(postgres_database)) == 1


async def test_work_of_a_replica_that_lives_is_not_taken_and_that_of_a_dead_one_once(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        replica(postgres_database, clock, A) as dead,
        replica(postgres_database, clock, B) as other,
        replica(postgres_database, clock, "c" * 32) as third,
    ):
        task = await submitted(dead)
        assert not await other.take(task.id)
        assert await other.uncovered() == []
        dies(postgres_database, A)
        assert await other.uncovered() == [(task.id, 1)]
        assert [await other.take(task.id), await third.take(task.id)] == [True, False]
        assert await other.take(task.id), "it has it"
        assert await other.uncovered() == []
        assert tasks_of(postgres_database) == [("pending", B, 2, 0)]


async def test_who_has_just_begun_takes_nobody_for_dead(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """After an outage every heartbeat is old until all have beaten again, and it cannot know of any."""
    async with (
        replica(postgres_database, clock, A) as lives,
        replica(postgres_database, clock, B, is_new=True) as new,
    ):
        task = await submitted(lives)
        dies(postgres_database, A)
        assert not await new.may_judge()
        assert await new.uncovered() == []
        assert not await new.take(task.id), "nor by an old job"
        worker = worker_of(postgres_database, A)
        beats(postgres_database, worker)
        assert await lives.beaten(worker)
        assert await new.uncovered() == []
        assert tasks_of(postgres_database) == [("pending", A, 1, 0)]


async def test_who_has_not_heard_from_the_database_for_a_while_judges_nobody_until_all_had_time_to_beat(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """The database stood still, or this replica did: no connection was lost, and the worker is the same."""
    async with (
        replica(postgres_database, clock, A) as lives,
        replica(postgres_database, clock, B) as other,
    ):
        task = await submitted(lives)
        mine = worker_of(postgres_database, B)
        assert await other.may_judge()
        dies(postgres_database, A)
        beats(postgres_database, mine, ago=12)
        assert not await other.may_judge(), "it would be too early, whatever comes next"
        assert await other.uncovered() == []
        assert not await other.take(task.id)
        beats(postgres_database, mine)
        await other.beaten(mine)
        assert await other.may_judge(), "for itself it has beaten in time"
        beats(postgres_database, mine, ago=-12)
        await other.beaten(mine)
        assert not await other.may_judge(), "there was a gap by the database's clock"
        assert await other.uncovered() == []
        assert not await other.take(task.id)


async def test_who_wakes_up_after_its_work_was_taken_is_refused(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        replica(postgres_database, clock, A) as frozen,
        replica(postgres_database, clock, B) as other,
    ):
        task = await submitted(frozen)  # which knows the position without a read
        dies(postgres_database, A)
        assert await other.take(task.id)
        with pytest.raises(StaleRun):
            await step(frozen, task.id, AttemptStarted(attempt=1), begun=True)
        assert await frozen.position(task.id) is None
        await step(other, task.id, AttemptStarted(attempt=1), begun=True)


async def test_a_node_that_ends_its_replica_three_times_fails_its_task(
    postgres_database: Database, clock: StoppedClock
) -> None:
    names = [letter * 32 for letter in "abcd"]
    async with replica(postgres_database, clock, names[0]) as store:
        task = await submitted(store)
        await step(store, task.id, AttemptStarted(attempt=1), begun=True)
        dies(postgres_database, names[0])
    for times, name in enumerate(names[1:], 1):
        async with replica(postgres_database, clock, name) as store:
            assert await store.take(task.id) is (times < POISON)
            dies(postgres_database, name)
            if times < POISON:
                await step(store, task.id, begun=True)
            else:
                assert (await store.task(task.id)).status is Status.FAILED
                [*_, last] = await store.events(task.id, 0)
                assert isinstance(last.event, TaskFailed)
                assert "3 ends of a server" in last.event.error


async def test_a_stop_in_good_order_leaves_all_to_jobs_and_counts_nothing(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        replica(postgres_database, clock, A) as leaving,
        replica(postgres_database, clock, B) as other,
    ):
        task = await submitted(leaving)
        await step(leaving, task.id, AttemptStarted(attempt=1), begun=True)
        await leaving.retire()
        await leaving.retire()
        assert tasks_of(postgres_database) == [("running", None, 3, -1)]
        assert jobs(postgres_database) == [lock_of(task.id, 3)]
        assert [one.id for one in await other.others()] == []
        assert await other.take(task.id)
        assert tasks_of(postgres_database) == [("running", B, 4, 0)]


async def test_what_has_no_stored_work_is_nobodys(postgres_database: Database, clock: StoppedClock) -> None:
    async with replica(postgres_database, clock, A) as store, replica(postgres_database, clock, B) as other:
        await parked(store, (await submitted(store)).id)
        dies(postgres_database, A)
        assert await other.uncovered() == []
        assert not await other.take(TaskId(new_id()))


async def test_who_lives_is_known_by_its_heart_and_who_did_long_ago_is_forgotten(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with replica(postgres_database, clock, A) as store, replica(postgres_database, clock, B) as other:
        assert [(one.id, one.name, one.configuration) for one in await store.others()] == [(B, "b:1", B)]
        await other.reconfigure("anew")
        assert [one.configuration for one in await store.others()] == ["anew"]
        dies(postgres_database, B)
        assert await store.others() == []
        await store.bury()
        assert on(postgres_database, "SELECT count(*) FROM replica") == [(2,)], "it may only be slow"
        on(
            postgres_database,
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '2 minutes'",
        )
        await store.bury()
        assert on(postgres_database, "SELECT count(*) FROM replica") == [(0,)]
        [(worker,)] = on(postgres_database, "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
        assert not await other.beaten(worker)
        await other.enlist(worker)
        assert await other.beaten(worker)
        assert [one.configuration for one in await store.others()] == ["anew"]


async def test_who_cannot_run_a_begun_task_does_not_count_towards_giving_it_up(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """As a replica of the release before, while a new flow's replicas are replaced."""
    async with replica(postgres_database, clock, A) as old:
        task = await submitted(old)
        on(postgres_database, "UPDATE task SET holder = NULL, begun = 1, node = 'process', starts = 0")
        for _ in range(2 * POISON):
            assert await old.take(task.id)
            await old.leave(task.id)
        [(status, holder, _, starts)] = tasks_of(postgres_database)
        assert (status, holder, starts) == ("pending", None, 0)


async def test_a_heartbeat_that_was_stored_and_not_heard_of_ends_no_outage(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with replica(postgres_database, clock, A) as lives, replica(postgres_database, clock, B) as me:
        task = await submitted(lives)
        for silent in (A, B):
            dies(postgres_database, silent)
        beats(postgres_database, worker_of(postgres_database, B))
        # All that it knows of is from before.
        me._watch.since -= 40_000_000
        me._watch.last -= 20_000_000
        assert not await me.may_judge(), "the other one has only not beaten again yet"
        assert not await me.take(task.id)
