"""Units for lanes, in groups of the test's making, and who is told of what they committed."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from core.events import TaskSubmitted
from core.model import StoredEvent, TaskId
from core.store import credentials
from core.store.postgresql import conninfo
from tests.world import PATIENCE, START

if TYPE_CHECKING:
    from core.model import ChannelName, Position
    from core.store.database import Database
    from core.store.lane import Lane
    from core.store.transaction import Transaction


class Told:
    """Whom a lane tells of what it committed."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    def __call__(
        self, events: list[StoredEvent], due: set[ChannelName], positions: list[Position], left: set[str]
    ) -> None:
        self.seqs += [event.seq for event in events]


class Unit:
    """Keeps a secret of its name; may raise before it, after it, or in the database."""

    def __init__(
        self, name: str, seq: int, *, before: Exception | None = None, after: Exception | None = None
    ) -> None:
        self.name, self.seq, self.before, self.after = name, seq, before, after
        self.runs = 0
        self.hold: threading.Event | None = None
        self.holding = threading.Event()

    def __call__(self, tx: Transaction) -> str:
        self.runs += 1
        if self.hold is not None:
            self.holding.set()
            self.hold.wait(PATIENCE)
        if self.before is not None:
            raise self.before
        credentials.secret(tx, self.name)
        event = TaskSubmitted(submitter="sam")
        tx.events.append(StoredEvent(task=TaskId("t"), seq=self.seq, at=START, event=event))
        if self.after is not None:
            raise self.after
        return self.name


def kept(tx: Transaction) -> set[str]:
    return {name for name in map(str, range(10)) if tx.one(credentials.SECRET, name=name) is not None}


async def in_one_group(writer: Lane, units: list[Unit]) -> list[str | BaseException]:
    """Hold the lane up until all units wait, so that they share a group; their answers."""
    first = Unit("first", 0)
    first.hold = threading.Event()
    holding = asyncio.ensure_future(writer.run(first))
    await asyncio.to_thread(first.holding.wait, PATIENCE)
    answers = asyncio.gather(*(writer.run(unit) for unit in units), return_exceptions=True)
    await asyncio.sleep(0)
    assert writer.waiting == len(units)
    first.hold.set()
    await holding
    return await answers


def cut_off(database: Database) -> None:
    """All others from it."""
    import psycopg

    with psycopg.connect(conninfo(database), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
