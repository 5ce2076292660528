"""A callback's receiver that wants nothing more of a task (410) is told nothing more of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from core.errors import Unwanted
from core.model import ChannelName, DeliveryState
from tests.contracts.steps import submitted, waiting
from tests.world import PaperChannel, eventually, whole_core

if TYPE_CHECKING:
    from core.model import Delivery
    from core.store.database import Database
    from core.store.sql import SqlStore
    from tests.world import StoppedClock

WEBHOOK = ChannelName("webhook")
THERE = "https://receiver.example/hook"


async def of(store: SqlStore, task: str) -> list[Delivery]:
    return list(await store.deliveries(task))


async def test_what_comes_later_of_that_task_is_not_told_and_that_of_others_is(store: SqlStore) -> None:
    task, other = [(await store.review(await waiting(store, callback=THERE))).task.id for _ in range(2)]
    (first,) = await of(store, task)
    await store.delivery_given_up(first, "It is gone (410).", ends_here=True)
    for one in (task, other):
        await store.fail(one, "broken")
    assert [(one.state, one.due_at) for one in await of(store, task)] == [(DeliveryState.GIVEN_UP, None)] * 2
    assert [one.error for one in await of(store, task)] == [
        "It is gone (410).",
        "Its recipient wants nothing more of this task.",
    ]
    assert all(one.due_at is not None for one in await of(store, other))
    assert {one.task for one in await store.due_deliveries(WEBHOOK)} == {other}


async def test_what_waits_to_be_told_is_not_either(store: SqlStore) -> None:
    task = (await store.review(await waiting(store, callback=THERE))).task.id
    await store.fail(task, "broken")
    first, _ = await of(store, task)
    await store.delivery_given_up(first, "It is gone (410).", ends_here=True)
    assert await store.due_deliveries(WEBHOOK) == []


async def test_a_message_that_is_given_up_for_another_reason_ends_nothing_else(store: SqlStore) -> None:
    task = (await store.review(await waiting(store, callback=THERE))).task.id
    (first,) = await of(store, task)
    await store.delivery_given_up(first, "It was away for 75 hours.")
    await store.fail(task, "broken")
    _, second = await of(store, task)
    assert second.due_at is not None
    assert await of(store, (await submitted(store)).id) == []


async def test_that_a_receiver_has_ended_it_is_logged_and_nothing_to_be_paged_for(
    any_database: Database, clock: StoppedClock
) -> None:
    paper = PaperChannel(WEBHOOK)
    paper.faults = [Unwanted("It is gone (410).")]
    with capture_logs() as logs:
        async with whole_core(any_database, clock, channels=[paper]) as world:
            task = await world.submit("x", callback_url=THERE)
            review = await world.open_review(task.id)
            await paper.called(1)

            async def has_ended() -> bool:
                return any(one.state is DeliveryState.GIVEN_UP for one in await of(world.store, task.id))

            await eventually(has_ended)
            await world.approve(review)
            await world.end(task.id)
            other = await world.submit("y", callback_url=THERE)
            await world.open_review(other.id)
            assert (await paper.called(2)).delivery.task == other.id
            assert world.outbox.measures[WEBHOOK].given_up == 0
    told = [line for line in logs if line["event"] in {"deliveries_ended", "delivery_given_up"}]
    assert [(line["event"], line["task_id"]) for line in told] == [("deliveries_ended", task.id)]
