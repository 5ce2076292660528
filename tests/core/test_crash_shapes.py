"""A crash at every commit of every shape of flow, before it and after it: the same history all the same.

The database dies at a COMMIT, as it does for a process that is killed: nothing is stored any more and
nothing is answered. Then the whole core is started anew on what is stored, and the people press again.
`tests/walks/test_crash.py` does the same with real processes and `kill -9`.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from core.engines.procrastinate import ProcrastinateEngine
from core.errors import StoreUnavailable
from tests.core.shapes import SHAPES, flows, play, story
from tests.world import PATIENCE, StoppedClock, watches, whole_core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import URL, Dialect

    from core.model import TaskId
    from core.store.database import Connection, Database
    from core.store.placing import Placing
    from core.store.transaction import Cursor, Row, Transaction
    from tests.world import World


class Mortal:
    """A database that dies at its `commits`-th COMMIT of changes: after it, or before it where `lost`."""

    def __init__(self, real: Database, commits: int, *, lost: bool) -> None:
        self._real = real
        self.left = commits
        self.lost = lost
        self.is_dead = False
        self.died = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def url(self) -> URL:
        return self._real.url

    @property
    def dialect(self) -> Dialect:
        return self._real.dialect

    @property
    def has_one_writer(self) -> bool:
        return self._real.has_one_writer

    @property
    def begin_write(self) -> str:
        return self._real.begin_write

    @property
    def begin_read(self) -> str:
        return self._real.begin_read

    @property
    def group(self) -> int:
        return self._real.group

    def connect(self, *, read_only: bool = False) -> Connection:
        self.check()
        return MortalConnection(self, self._real.connect(read_only=read_only))

    def cursor(self, connection: Connection) -> Cursor:
        assert isinstance(connection, MortalConnection)
        return MortalCursor(self, self._real.cursor(connection.real))

    def transaction(self, cursor: Cursor, placing: Placing | None) -> Transaction:
        """What it stores counts with its COMMIT only, which is asked of the cursor."""
        assert isinstance(cursor, MortalCursor)
        return self._real.transaction(cursor.real, placing)

    def begin(self, cursor: Cursor, *, writes: bool) -> None:
        assert isinstance(cursor, MortalCursor)
        self.check()
        cursor.writes = writes
        self._real.begin(cursor.real, writes=writes)

    def leave(self, cursor: Cursor) -> None:
        assert isinstance(cursor, MortalCursor)
        self._real.leave(cursor.real)

    def unavailable(self, error: BaseException) -> StoreUnavailable | None:
        return error if isinstance(error, StoreUnavailable) else self._real.unavailable(error)

    def is_local(self, error: BaseException) -> bool:
        return self._real.is_local(error)

    def hurry(self, cursor: Cursor) -> None:
        assert isinstance(cursor, MortalCursor)
        self._real.hurry(cursor.real)

    def is_lost(self, error: BaseException) -> bool:
        return self._real.is_lost(error)

    def mark(self, cursor: Cursor) -> str | None:
        assert isinstance(cursor, MortalCursor)
        return self._real.mark(cursor.real)

    def was_committed(self, cursor: Cursor, mark: str) -> bool:
        assert isinstance(cursor, MortalCursor)
        return self._real.was_committed(cursor.real, mark)

    def check(self) -> None:
        if self.is_dead:
            raise StoreUnavailable("The process was killed.")

    def die(self) -> None:
        self.is_dead = True
        self._loop.call_soon_threadsafe(self.died.set)
        self.check()


class MortalConnection:
    def __init__(self, database: Mortal, real: Connection) -> None:
        self._database = database
        self.real = real

    def cursor(self) -> Cursor:
        return MortalCursor(self._database, self.real.cursor())

    def close(self) -> None:
        self.real.close()


class MortalCursor:
    def __init__(self, database: Mortal, real: Cursor) -> None:
        self._database = database
        self.real = real
        self.writes = False

    @property
    def rowcount(self) -> int:
        return self.real.rowcount

    def execute(self, operation: str, parameters: Mapping[str, Any], /) -> object:
        database = self._database
        database.check()
        if operation != "COMMIT" or not self.writes:
            return self.real.execute(operation, parameters)
        database.left -= 1
        if not database.left and database.lost:
            self.real.execute("ROLLBACK", {})  # as the database does for a client that is gone
            database.die()
        done = self.real.execute(operation, parameters)
        if not database.left:
            database.die()
        return done

    def executemany(self, operation: str, parameters: Sequence[Mapping[str, Any]], /) -> object:
        self._database.check()
        return self.real.executemany(operation, parameters)

    def fetchone(self) -> Row | None:
        return self.real.fetchone()

    def fetchall(self) -> list[Row]:
        return self.real.fetchall()


class Outside:
    """The world outside, as it hears of effects."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def receive(self, node: str, key: str) -> None:
        self.heard.append((node, key))

    @property
    def visits(self) -> Counter[str]:
        """How many keys each node came with."""
        return Counter(node for node, _ in set(self.heard))


@dataclass(frozen=True)
class Ending:
    """What is left of one story, without ids and times."""

    stories: list[Any]
    states: list[dict[str, Any]]
    checkpoints: list[Any]
    visits: Counter[str]


async def lived(database: Database, name: str, key: str, outside: Outside) -> Ending | None:
    """Play the shape over this database, from wherever it stands; None where it dies before the end."""
    try:
        shared = database.dialect.name == "postgresql"
        async with whole_core(
            database, StoppedClock(), flows=flows(outside.receive), is_shared=shared
        ) as world:
            if isinstance(world.engine, ProcrastinateEngine):
                watches(world)
                await world.engine.sweep()  # as it does every few seconds
            playing = asyncio.ensure_future(play(world.service, name, key))
            if isinstance(database, Mortal):
                await until_death(database, playing)
            async with asyncio.timeout(PATIENCE):
                return await ending(world, await playing, outside)
    except StoreUnavailable:
        if isinstance(database, Mortal) and database.is_dead:
            return None
        raise


async def until_death(database: Mortal, playing: asyncio.Future[Any]) -> None:
    """Return when they have played to the end; raise `StoreUnavailable` when the database dies."""
    dying = asyncio.ensure_future(database.died.wait())
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait({playing, dying}, return_when=asyncio.FIRST_COMPLETED)
    dying.cancel()
    if database.is_dead:
        playing.cancel()
        with suppress(asyncio.CancelledError, StoreUnavailable):
            await playing
        database.check()


async def ending(world: World, tasks: Sequence[TaskId], outside: Outside) -> Ending:
    checkpoints = [list(await world.service.checkpoints.of_task(task)) for task in tasks]
    return Ending(
        stories=[story(await world.history(task)) for task in tasks],
        states=[{**all_of[-1].state, "task_id": None} for all_of in checkpoints],
        checkpoints=[
            [
                (
                    c.node,
                    c.action,
                    c.attempt,
                    c.following,
                    c.point,
                    without_ids(c.cause),
                    c.parent,
                    c.superseded,
                )
                for c in all_of
            ]
            for all_of in checkpoints
        ],
        visits=outside.visits,
    )


def without_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{32}", "…", text)


async def crash_everywhere(database: Database, name: str) -> int:
    """Crash once at every commit, before and after it; how often that was."""
    undisturbed = await lived(database, name, "undisturbed", Outside())
    for number in count(1):
        for lost in (True, False):
            outside, key = Outside(), f"{number} {lost}"
            found = await lived(Mortal(database, number, lost=lost), name, key, outside)
            if found is not None:
                assert found == undisturbed
                return 2 * number - 2
            found = await lived(database, name, key, outside)
            assert found == undisturbed, f"killed {'before' if lost else 'after'} commit {number}"
    raise AssertionError


@pytest.mark.parametrize("name", SHAPES)
async def test_a_crash_at_any_commit_leads_to_the_same_history(sqlite_database: Database, name: str) -> None:
    # With nobody's code in it, only its submission and its nine answers are commits.
    assert await crash_everywhere(sqlite_database, name) >= (20 if name == "ours" else 22)


@pytest.mark.timeout(600)  # half a minute alone, and many times that on a machine that others use
async def test_a_crash_at_any_commit_of_one_of_several_leads_to_the_same_history(
    postgres_database: Database,
) -> None:
    assert await crash_everywhere(postgres_database, "fork") > 20


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SHAPES)
async def test_a_crash_of_one_of_several_at_any_commit_of_any_shape_leads_to_the_same_history(
    postgres_database: Database, name: str
) -> None:
    assert await crash_everywhere(postgres_database, name) >= 20
