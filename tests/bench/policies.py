"""What policies cost: a decision under three groups, and timers that wait."""

from __future__ import annotations

import secrets
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from core.clock import SystemClock
from core.feed import Feed
from core.model import Person, PersonId, Policy, Quorum, Verdict
from core.service import Service
from core.store.database import database
from core.store.schema import migrate
from core.store.sql import SqlStore
from tests.bench.server import CONFIGURATION, many
from tests.contracts.steps import waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from core.store.database import Database

NAMES = [PersonId(f"r{number}") for number in range(15)]
PEOPLE = {name: Person(id=name, name=name) for name in NAMES}
SINGLE = Policy(name="single", reviewers=tuple(NAMES))
GROUPS = Policy(
    name="groups",
    reviewers=tuple(NAMES),
    approvals=3,
    stages=(
        tuple(
            Quorum(name=f"g{number}", people=tuple(NAMES[number * 4 : number * 4 + 7]), approvals=1)
            for number in range(3)
        ),
    ),
)
"""Three groups that overlap; each has to approve."""
ROUNDS = 7
TIMED = f'{CONFIGURATION}deadline = "30d"\n'


async def decisions(folder: Path, each: int) -> tuple[float, float]:
    """CPU seconds of a decision that closes: of one reviewer alone, and of the last of three groups."""
    where = database(f"sqlite:///{folder / 'bench.db'}")
    migrate(where)
    with capture_logs():
        return await _decisions(where, each)


async def _decisions(where: Database, each: int) -> tuple[float, float]:
    alone: list[float] = []
    grouped: list[float] = []
    async with SqlStore(where, SystemClock()) as store:
        today = {policy.name: policy for policy in (SINGLE, GROUPS)}
        service = Service(store, Feed(store), PEOPLE, {}, policies=today)
        for _ in range(ROUNDS):
            alone.append(await _cpu(store, service, SINGLE, (), each))
            grouped.append(await _cpu(store, service, GROUPS, (NAMES[0], NAMES[14]), each))
    # Of the first round the caches are cold.
    return median(alone[1:]), median(grouped[1:])


async def _cpu(
    store: SqlStore, service: Service, policy: Policy, before: tuple[PersonId, ...], each: int
) -> float:
    reviews = [await waiting(store, policy) for _ in range(each)]
    for review in reviews:
        for person in before:
            await service.decide(review, person, Verdict.APPROVE, via="web")
    left = iter(reviews)

    async def last() -> None:
        await service.decide(next(left), NAMES[6], Verdict.APPROVE, via="web")

    began = time.process_time()
    await many(each, 32, last)
    took = (time.process_time() - began) / each
    for review in reviews:
        assert not (await store.review(review)).is_open
    return took


def multiply(file: Path, count: int, tables: Sequence[str] = ("task", "review", "timer")) -> None:
    """Make so many of one waiting task in this file, each with its review and a timer in a month."""
    with closing(sqlite3.connect(file)) as connection, connection:
        task, review = connection.execute("SELECT id, review_id FROM task LIMIT 1").fetchone()
        due = int((time.time() + timedelta(days=30).total_seconds()) * 1_000_000)
        pairs = [(secrets.token_hex(16), secrets.token_hex(16)) for _ in range(count)]
        changes = {
            "task": {"id": "?1", "review_id": "?2"},
            "review": {"id": "?2", "task_id": "?1"},
            "timer": {"review_id": "?2", "due_at": str(due)},
            "event": {"task_id": "?1"},
            "checkpoint": {"task_id": "?1"},
        }
        for table in tables:
            changed = changes[table]
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(changed.get(column, column) for column in columns)
            of = {"task": ("id", task), "review": ("id", review), "timer": ("review_id", review)}.get(
                table, ("task_id", task)
            )
            statement = (
                f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - our own names
                f"SELECT {values} FROM {table} WHERE {of[0]} = '{of[1]}' AND ?1 != ?2"
            )
            connection.executemany(statement, pairs)
