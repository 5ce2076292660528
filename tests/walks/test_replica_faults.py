"""What can go wrong where several replicas share one PostgreSQL, with real processes under load.

In every fault no acknowledged decision is lost, nothing is applied twice, every task ends in the end, and
meanwhile decisions are answered 503 rather than wrongly. `python -m tests.faults` prints a line for each; a
failure names its seed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

from core.store.postgresql import conninfo
from tests.walks.filling import fill
from tests.walks.outages import own_server, postgres_disk
from tests.walks.runs import eventually, seeded
from tests.walks.storms import storm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from random import Random

    from core.store.database import Database
    from tests.walks.fleet import Replica
    from tests.walks.storms import Storm

TAKEN_OVER = 45.0
"""Seconds after which the work of a replica that ended has begun elsewhere."""
OUTAGE = 20.0
"""Seconds for which the database is away."""
SKEWED = Path(__file__).parent / "skewed_child.py"
AHEAD = 10
"""Seconds by which one replica's clock is wrong."""
LOCK = 4711
HOLD_COMMITS = f"""
CREATE FUNCTION hold_commit() RETURNS trigger AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NULL; END $$ LANGUAGE plpgsql;
CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION hold_commit();
"""
LET_COMMITS_GO = "DROP TRIGGER IF EXISTS hold_commit ON event; DROP FUNCTION IF EXISTS hold_commit();"
BACKENDS = (
    "SELECT application_name, pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name LIKE 'replica-%'"
)
HOLDS_TASK = "EXISTS (SELECT FROM task WHERE holder = replica.id"
BUSY = f"{HOLDS_TASK} AND status IN ('pending', 'running'))"
RUNNING = f"{HOLDS_TASK} AND status = 'running')"


# kill -9


async def one_that(there: Storm, condition: str) -> Replica:
    """A replica of which that is true now, in SQL."""

    async def look() -> list[Replica]:
        found = {row[0] for row in await there.rows(f"SELECT name FROM replica WHERE {condition}")}  # noqa: S608 - ours
        pids = {int(name.rpartition(":")[2]) for name in found}
        return [replica for replica in there.replicas if replica.is_up and replica.pid in pids]

    return (await eventually(look, within=TAKEN_OVER))[0]


async def idle(there: Storm, chance: Random) -> Replica:
    """It holds nothing, and nobody asks it for anything."""
    aside = chance.choice(there.replicas)
    aside.is_up = False
    try:
        await asyncio.sleep(0.2)  # what it was asked last is answered
    finally:
        aside.is_up = True
    await aside.kill()
    return aside


async def running(there: Storm, chance: Random) -> Replica:
    victim = await one_that(there, RUNNING)
    await victim.kill()
    return victim


async def parked(there: Storm, chance: Random) -> Replica:
    """What it ran last waits for a person."""
    victim = await one_that(
        there,
        f"{HOLDS_TASK} AND status = 'waiting_for_review') AND NOT {BUSY}",
    )
    await victim.kill()
    return victim


async def delivering(there: Storm, chance: Random) -> Replica:
    there.answering.clear()
    try:
        await eventually(lambda: is_true(there.in_delivery > 0), within=TAKEN_OVER)
        victim = await one_that(there, holds("outbox%"))
        await victim.kill()
    finally:
        there.answering.set()
    return victim


async def is_true(claim: bool) -> bool:
    return claim


async def leading(there: Storm, chance: Random) -> Replica:
    victim = await one_that(there, holds("timers"))
    await victim.kill()
    return victim


def holds(lease: str) -> str:
    now = "extract(epoch FROM clock_timestamp()) * 1000000"
    return (
        "EXISTS (SELECT FROM lease WHERE holder = replica.id "
        f"AND lease.name LIKE '{lease}' AND expires_at > {now})"
    )


async def committing(there: Storm, chance: Random) -> Replica:
    """Its COMMIT is under way; afterwards the database does it, or does not."""
    async with held_commits(there) as hold:
        name, backend = await waiting(hold)
        victim = named(there, name)
        await victim.kill()
        if chance.random() < 0.5:
            await hold.execute("SELECT pg_terminate_backend(%s)", (backend,))
    return victim


@asynccontextmanager
async def held_commits(there: Storm) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """No transaction that stores an event gets past its COMMIT."""
    async with await psycopg.AsyncConnection.connect(conninfo(there.database), autocommit=True) as hold:
        await hold.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            yield hold
        finally:
            await hold.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


async def waiting(hold: psycopg.AsyncConnection[Any]) -> tuple[str, int]:
    """The name of a replica that waits for a lock, and the number of the database's process."""

    async def look() -> Any:
        cursor = await hold.execute(f"{BACKENDS} AND wait_event_type = 'Lock'")
        return await cursor.fetchone()

    name, backend = await eventually(look, within=TAKEN_OVER)
    return name, backend


def named(there: Storm, name: str) -> Replica:
    return there.replicas[int(name.rpartition("-")[2])]


KILLS: dict[str, Callable[[Storm, Random], Awaitable[Replica]]] = {
    "in the middle of a commit": committing,
    "running a segment": running,
    "delivering": delivering,
    "holding a lease": leading,
    "parked": parked,
    "idle": idle,
}


async def kills(there: Storm, chance: Random, states: list[str]) -> None:
    """One after the other, each started again at once."""
    await there.rows(HOLD_COMMITS)
    try:
        for state in states:
            await there.until_told(3)
            victim = await KILLS[state](there, chance)
            await there.until_told(3)
            await victim.start()
    finally:
        await there.rows(LET_COMMITS_GO)


async def no_complaints(there: Storm) -> None:
    assert [replica.complaints() for replica in there.replicas] == [[] for _ in there.replicas]


async def killed(folder: Path, database: Database, *states: str) -> None:
    seed, chance = seeded()
    async with storm(folder, database, seed) as there:
        await kills(there, chance, list(states))
        await there.end()
        await no_complaints(there)
        there.tell(kills=len(states))


# Others


async def frozen(folder: Path, database: Database) -> None:
    """Until its work is elsewhere; then it wakes up in the middle of a step that another has done."""
    seed, _ = seeded()
    async with storm(folder, database, seed) as there:
        await there.until_told(3)
        victim = await one_that(there, RUNNING)
        victim.freeze()
        began = time.monotonic()
        names = await there.rows("SELECT id, name FROM replica")
        (me,) = [row[0] for row in names if row[1].endswith(f":{victim.pid}")]
        mine = f"SELECT id FROM task WHERE holder = '{me}' AND status IN ('pending', 'running')"  # noqa: S608 - ours
        held = await there.rows(mine)

        async def is_taken_over() -> bool:
            return await there.rows(mine) == []

        await eventually(is_taken_over, within=TAKEN_OVER)
        took = time.monotonic() - began
        await there.until_told(10)
        victim.thaw()
        await there.until_told(20)
        await there.end()
        await no_complaints(there)
        there.tell(taken_over_s=f"{took:.1f}", held=len(held))


async def stopped(folder: Path, seconds: float = OUTAGE) -> None:
    seed, _ = seeded()
    with own_server() as server:
        database = await asyncio.to_thread(server.database)
        async with storm(folder, database, seed) as there:
            await there.until_told(5)
            await asyncio.to_thread(server.kill)
            began, told, refused = time.monotonic(), len(there.told), there.refused
            await asyncio.sleep(seconds)  # the fault itself
            assert there.refused > refused
            assert there.lost == 0, "somebody had no answer"
            began = time.monotonic()
            await asyncio.to_thread(server.start)
            assert len(there.told) <= told + there.in_flight
            await there.until_told(1)
            took = time.monotonic() - began
            await there.until_told(20)
            await there.end()
            there.tell(decisions_503=there.refused_decisions, first_decision_after_s=f"{took:.1f}")


async def cut(folder: Path, database: Database, cuts: int) -> None:
    """At random, and often in the very middle of a commit: what was refused is not there."""
    seed, chance = seeded()
    async with storm(folder, database, seed) as there:
        await there.rows(HOLD_COMMITS)
        try:
            for number in range(cuts):
                if number % 3:
                    backends = sorted(row[1] for row in await there.rows(BACKENDS))
                    for backend in chance.sample(backends, len(backends) // 2):
                        await there.rows(f"SELECT pg_terminate_backend({backend})")
                else:
                    async with held_commits(there) as hold:
                        _, backend = await waiting(hold)
                        await hold.execute("SELECT pg_terminate_backend(%s)", (backend,))
                await there.until_told(chance.randrange(1, 4))
        finally:
            await there.rows(LET_COMMITS_GO)
        await there.end()
        await no_complaints(there)
        assert there.stored_though_refused == 0
        there.tell(cuts=cuts, decisions_503=there.refused_decisions)


async def skewed(folder: Path, database: Database) -> None:
    seed, _ = seeded()
    commands = {0: (str(SKEWED), str(AHEAD)), 2: (str(SKEWED), str(-AHEAD / 2))}
    async with storm(folder, database, seed, commands=commands) as there:
        await there.until_told(60)
        victim = await one_that(there, RUNNING)
        await victim.kill()
        await there.until_told(20)
        await there.end()
        await no_complaints(there)
        there.tell(ahead_s=AHEAD)


async def full(folder: Path) -> None:
    seed, _ = seeded()
    with postgres_disk() as disk, own_server() as server:
        database = await asyncio.to_thread(server.database, disk=disk / "tables")
        async with storm(folder, database, seed) as there:
            await there.until_told(5)
            fill(disk / "rubbish")

            async def refuses() -> bool:
                return there.refused_decisions >= 3 and there.refused >= 20

            await eventually(refuses, within=TAKEN_OVER)
            (disk / "rubbish").unlink()
            began = time.monotonic()
            await there.until_told(1)
            took = time.monotonic() - began
            await there.until_told(20)
            await there.end()
            assert there.stored_though_refused == 0
            there.tell(decisions_503=there.refused_decisions, first_decision_after_s=f"{took:.1f}")


class Line(NamedTuple):
    """What goes wrong, and the story told under it."""

    name: str
    story: Callable[[Path, Database], Awaitable[None]]


def kill_line(state: str) -> Line:
    return Line(f"kill -9, {state}", lambda folder, database: killed(folder, database, state))


TABLE = [
    *(kill_line(state) for state in KILLS),
    Line("frozen, its work taken over, awake again", frozen),
    Line("database stopped for 20 s", lambda folder, _: stopped(folder)),
    Line("connections cut in mid-commit", lambda folder, database: cut(folder, database, 40)),
    Line("clocks 10 s and 15 s apart", skewed),
    Line("disk full", lambda folder, _: full(folder)),
]


@pytest.mark.soak
@pytest.mark.parametrize("line", [pytest.param(line, id=f"replicas: {line.name}") for line in TABLE])
async def test_in_every_fault_of_replicas_nothing_is_lost_or_doubled(
    tmp_path: Path, postgres_database: Database, line: Line
) -> None:
    await line.story(tmp_path, postgres_database)


@pytest.mark.soak
async def test_fifty_kills_in_every_state(tmp_path: Path, postgres_database: Database) -> None:
    await killed(tmp_path, postgres_database, *([*KILLS] * 9)[:50])


async def test_a_few_kills_lose_and_double_nothing(tmp_path: Path, postgres_database: Database) -> None:
    await killed(tmp_path, postgres_database, *[*KILLS][:3])


async def test_connections_cut_in_mid_commit_lose_and_double_nothing(
    tmp_path: Path, postgres_database: Database
) -> None:
    await cut(tmp_path, postgres_database, 6)
