"""What may be shown now, of any queues: what a look at every row finds, and no dearer where they are long."""

from __future__ import annotations

import sqlite3
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from core.model import ChannelName
from core.store import deliveries, queues
from core.store.rows import DELIVERY_COLUMNS, micros
from core.store.sql import SqlStore
from core.store.statements import Statement, p
from core.store.tables import delivery
from core.store.transaction import Transaction
from tests.contracts.steps import ANYONE, waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from core.store.database import Database
    from tests.world import StoppedClock

Row = dict[str, Any]
HOUR = 3_600_000_000
GIVE_WAY = Statement(
    update(delivery).where(delivery.c.id == p("id")).values(gives_way=p("gives_way")),
)
PLACES = ("desk", "desk/7", "hall", "Äther", "-1001", "1")


def row(number: int, task: str, review: str, **said: Any) -> Row:
    made: Row = dict.fromkeys(DELIVERY_COLUMNS)
    made |= {"id": f"{number:032}", "task_id": task, "review_id": review, "event_seq": 2, "channel": "paper"}
    made |= {"address": "desk", "state": "due", "version": 1, "shown": 0, "tries": 0, "retired": 0}
    made["gives_way"] = 0
    return made | said


def drawn(random: Random, tasks: Mapping[str, str], now: int) -> list[Row]:
    rows = []
    for number in range(random.randrange(60)):
        task = random.choice(list(tasks))
        has_message = random.random() < 0.5
        rows.append(
            row(
                number,
                task,
                tasks[task],
                review_id=tasks[task] if random.random() < 0.8 else None,
                event_seq=random.randrange(1, 5),
                channel=random.choice(["paper", "paper", "paper", "slack"]),
                address=random.choice(PLACES),
                state=random.choice(["sent", "given_up"] if has_message else ["due", "due", "given_up"]),
                message=f"m{number}" if has_message else None,
                # no two at once: which of them is first is nobody's promise
                due_at=random.choice([None, now - 1000 + number, now - number, now + 1 + number]),
                gives_way=random.choice([0, 0, HOUR]),
            )
        )
    return rows


def waits(one: Row, rows: Iterable[Row]) -> bool:
    """A reply, for the card that begins its thread; a draft's file, for its card."""
    return any(
        (other["task_id"], other["channel"], other["address"])
        == (one["task_id"], one["channel"], one["address"])
        and other["review_id"] is not None
        and other["message"] is None
        and other["state"] == "due"
        and (
            other["event_seq"] < one["event_seq"]
            or (other["event_seq"] == one["event_seq"] and one["review_id"] is None)
        )
        for other in rows
    )


def turn(one: Row) -> int:
    """The least is the next."""
    return int(one["due_at"] + (one["gives_way"] if one["message"] is None else 0))


def heads(rows: list[Row], now: int) -> list[tuple[bool, int, str]]:
    """By looking at every row: of each place the oldest change and the post whose turn it is; all changes
    first."""
    lanes: dict[tuple[bool, str], list[Row]] = {}
    for one in rows:
        is_due = one["channel"] == "paper" and one["due_at"] is not None and one["due_at"] <= now
        is_post = one["message"] is None
        if is_due and not (is_post and waits(one, rows)):
            lanes.setdefault((is_post, one["address"]), []).append(one)
    first = [min(lane, key=lambda one: (turn(one), one["event_seq"])) for lane in lanes.values()]
    return sorted((one["message"] is None, turn(one), one["id"]) for one in first)


@pytest.mark.parametrize("seed", range(10))
async def test_of_each_place_the_oldest_change_and_the_oldest_post_are_found(
    seed: int, any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        reviews = [await store.review(await waiting(store, ANYONE)) for _ in range(4)]
    random = Random(seed)  # noqa: S311 - the same for the same seed, and no secret
    rows = drawn(random, {one.task.id: one.id for one in reviews}, micros(clock.now()))
    connection = any_database.connect()
    transaction = Transaction(connection.cursor(), any_database.dialect)
    transaction.now = clock.now()
    put(transaction, rows)
    found = queues.due(transaction, "paper")
    connection.close()
    turns = {one["id"]: turn(one) for one in rows if one["due_at"] is not None}
    shown = [(one.message is None, turns[one.id], one.id) for one in found]
    assert sorted(shown) == heads(rows, micros(clock.now()))
    assert [each[:2] for each in shown] == sorted(each[:2] for each in shown)


def put(transaction: Transaction, rows: Iterable[Row]) -> None:
    deliveries.insert_deliveries(
        transaction, [{name: one[name] for name in DELIVERY_COLUMNS} for one in rows]
    )
    for one in rows:
        if one["gives_way"]:
            transaction.run(GIVE_WAY, id=one["id"], gives_way=one["gives_way"])


def steps(database: Database, now: datetime) -> int:
    """Of SQLite's virtual machine, in tens, for one look."""
    connection = database.connect()
    assert isinstance(connection, sqlite3.Connection)
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    transaction = Transaction(connection.cursor(), database.dialect)
    transaction.now = now
    queues.due(transaction, "paper")  # what comes first only once, such as reading the schema
    connection.set_progress_handler(step, 10)
    assert len(queues.due(transaction, ChannelName("paper"))) == 1
    connection.close()
    return taken


@pytest.mark.parametrize(
    "told",
    [{"message": "m", "state": "sent"}, {}, {"gives_way": HOUR}],
    ids=["changes", "posts", "posts that give way"],
)
async def test_a_look_costs_no_more_where_a_thousand_wait_behind_the_first(
    told: Row, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(sqlite_database, clock) as store:
        reviews = [await store.review(await waiting(store, ANYONE)) for _ in range(4)]
    now, spent = micros(clock.now()), []
    connection = sqlite_database.connect()
    transaction = Transaction(connection.cursor(), sqlite_database.dialect)
    for some in (range(3), range(3, 1000)):
        of = {number: reviews[min(number, 3)] for number in some}
        put(transaction, [row(n, one.task.id, one.id, due_at=now - 1, **told) for n, one in of.items()])
        spent.append(steps(sqlite_database, clock.now()))
    connection.close()
    assert spent[1] <= spent[0] + 10
