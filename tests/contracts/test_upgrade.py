"""What the first release left in its database, as this one finds it and goes on with it.

`made_by_0001.json` holds rows that revision 8534332 wrote: one task of each kind, named by its title.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from core.events import ClaimEnded, NodeRetried, ReviewerReminded
from core.model import Outcome, ReviewRequest, Status, Verdict
from core.store.schema import HEAD, _upgrade, migrate, revision
from tests.contracts.conftest import on
from tests.world import ANA, BEN, eventually, whole_core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Task, TaskId
    from core.store.database import Database
    from tests.world import StoppedClock, World

MADE = json.loads((Path(__file__).parent / "made_by_0001.json").read_text())
TITLES = {row[0]: row[2] for row in MADE["task"][1:]}
IDS: dict[str, TaskId] = {title: task for task, title in TITLES.items()}


@pytest.fixture
def carried_over(new_database: Database) -> Database:
    """The first release's database, brought to this one's schema."""
    _upgrade(new_database, "0001")
    url = new_database.url
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).begin() as connection:
        for table, (columns, *rows) in MADE.items():
            values = ", ".join(f":{column}" for column in columns)
            insert = text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})")  # noqa: S608 - names of ours
            connection.execute(insert, [dict(zip(columns, row, strict=True)) for row in rows])
    migrate(new_database)
    assert revision(new_database) == HEAD
    return new_database


def by_title(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Rows that begin with a task's id, without it, in their order."""
    found: dict[str, list[Any]] = {}
    for task, *rest in rows:
        found.setdefault(TITLES[task], []).append(rest[0] if len(rest) == 1 else tuple(rest))
    return found


def test_a_task_stands_at_its_review_where_it_waits_or_has_an_outcome_to_apply(
    carried_over: Database,
) -> None:
    points = {
        title: point for title, [point] in by_title(on(carried_over, "SELECT id, point FROM task")).items()
    }
    live = {"waiting", "waiting again", "half decided", "approved", "rejected"}
    assert {title for title, point in points.items() if point == "review"} == live
    assert {points[title] for title in points.keys() - live} == {"run"}


def test_what_has_ended_did_so_when_it_was_last_changed(carried_over: Database) -> None:
    rows = on(carried_over, "SELECT id, ended_at, updated_at FROM task WHERE ended_at IS NOT NULL")
    assert by_title(rows).keys() == {"completed", "failed", "cancelled"}
    assert all(ended == updated for [(ended, updated)] in by_title(rows).values())


def test_a_checkpoint_says_where_its_flow_went_on(carried_over: Database) -> None:
    rows = on(carried_over, "SELECT task_id, node, following, point FROM checkpoint ORDER BY task_id, number")
    found = by_title(rows)
    assert found["completed"] == [
        ("process", "review", "run"),
        ("review", "process", "run"),
        ("process", "review", "run"),
        ("review", "result", "run"),
        ("result", None, "run"),
    ]
    assert found["waiting"] == found["approved"] == found["cancelled"] == [("process", "review", "run")]
    assert found["begun"] == [("process", "review", "run"), ("review", "process", "run")]


def test_a_review_knows_the_checkpoint_before_it(carried_over: Database) -> None:
    rows = on(carried_over, "SELECT task_id, checkpoint FROM review ORDER BY task_id, event_seq")
    found = by_title(rows)
    assert found["completed"] == found["waiting again"] == [1, 3]
    assert found["begun"] == found["approved"] == found["rejected"] == found["waiting"] == [1]


async def open_review(world: World, title: str) -> ReviewRequest:
    """The open one, once there is one."""

    async def look() -> list[ReviewRequest]:
        return [review for review in await world.store.reviews(IDS[title]) if review.is_open]

    (found,) = await eventually(look)
    return found


async def over(world: World, title: str) -> Task:
    """The task, once it has ended."""

    async def look() -> Task | None:
        task = await world.service.task(IDS[title])
        return task if task.status.is_final else None

    found = await eventually(look)
    assert found is not None
    return found


async def test_every_task_goes_on_to_its_end(carried_over: Database, clock: StoppedClock) -> None:
    clock.advance(timedelta(days=1))
    async with whole_core(carried_over, clock) as world:
        approved = await over(world, "approved")
        assert (approved.status, approved.final_result) == (Status.COMPLETED, "draft 1 of approved")
        attempts = {"waiting": 1, "waiting again": 2, "rejected": 2, "begun": 2, "retrying": 1, "pending": 1}
        for title, attempt in attempts.items():
            review = await open_review(world, title)
            assert review.attempt == attempt
            await world.approve(review.id)
            done = await over(world, title)
            assert (done.status, done.outcome, done.attempt) == (Status.COMPLETED, Outcome.APPROVED, attempt)
            assert done.final_result
        half = await open_review(world, "half decided")
        assert [made.reviewer for made in half.decisions] == [ANA.id]
        await world.approve(half.id, BEN)
        assert (await over(world, "half decided")).status is Status.COMPLETED


async def test_at_a_review_of_then_people_look_and_put_off(
    carried_over: Database, clock: StoppedClock
) -> None:
    async with whole_core(carried_over, clock) as world:
        for title in ("waiting", "half decided"):
            review = await open_review(world, title)
            assert (review.claims, review.snoozes) == ((), ())
            await world.service.looking.claim(review.id, BEN.id, via="web")
            found = await world.service.looking.snooze(review.id, BEN.id, timedelta(hours=1), via="web")
            assert [one.person for one in found.claims] == [one.person for one in found.snoozes] == [BEN.id]
            clock.advance(minutes=15)
            await world.event(IDS[title], ClaimEnded)
            clock.advance(minutes=45)
            await world.event(IDS[title], ReviewerReminded)
            await world.approve(review.id, BEN)
            assert await world.store.timers(review.id) == []


async def test_every_history_is_read(carried_over: Database, clock: StoppedClock) -> None:
    async with whole_core(carried_over, clock) as world:
        for title, task in IDS.items():
            assert await world.history(task), title
            assert await world.service.checkpoints.of_task(task)
        assert NodeRetried in {type(event) for event in await world.history(IDS["retrying"])}


@pytest.mark.parametrize("title", ["completed", "cancelled", "failed", "waiting", "waiting again"])
async def test_a_task_can_be_taken_back_to_before_its_review(
    carried_over: Database, clock: StoppedClock, title: str
) -> None:
    async with whole_core(carried_over, clock, admins=[ANA.id]) as world:
        before = [review.attempt for review in await world.store.reviews(IDS[title])]
        await world.service.checkpoints.resume(IDS[title], ANA.id, checkpoint=1)
        review = await open_review(world, title)
        assert review.attempt == before[-1] + 1
        assert review.draft == f"draft 1 of {title}"
        await world.service.decide(review.id, BEN.id, Verdict.APPROVE, via="api")
        assert (await over(world, title)).final_result == f"draft 1 of {title}"


async def test_what_was_approved_before_a_checkpoint_still_is_after_it(
    carried_over: Database, clock: StoppedClock
) -> None:
    async with whole_core(carried_over, clock, admins=[ANA.id]) as world:
        task = await world.service.checkpoints.resume(IDS["completed"], ANA.id, checkpoint=4)
        assert task.outcome is Outcome.APPROVED
        done = await over(world, "completed")
        assert (done.status, done.final_result) == (Status.COMPLETED, "draft 2 of completed")
