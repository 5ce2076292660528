"""A stop takes no longer than it says, whatever the tasks make of being cancelled."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from core.stopping import Deadline, cut_off, left_in_time
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def test_what_swallows_its_cancellation_is_left_and_named() -> None:
    begun, free = asyncio.Event(), asyncio.Event()

    async def deaf() -> None:
        begun.set()
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()

    task = asyncio.create_task(deaf(), name="segment 1")
    await begun.wait()
    with capture_logs() as logged:
        await cut_off([task], within=timedelta(milliseconds=10))
    assert [(line["event"], line["name"]) for line in logged] == [("would_not_stop", "segment 1")]
    free.set()
    await asyncio.wait_for(task, PATIENCE)


async def test_what_ends_when_it_is_cancelled_is_not_spoken_of() -> None:
    async def hears() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(hears()) for _ in range(3)]
    await asyncio.sleep(0)
    with capture_logs() as logged:
        await cut_off(tasks)
        await cut_off([])
    assert all(task.cancelled() for task in tasks)
    assert not logged


async def test_what_breaks_while_it_is_stopped_is_named_without_its_words() -> None:
    async def breaks() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("a draft") from None

    task = asyncio.create_task(breaks(), name="segment 2")
    await asyncio.sleep(0)
    with capture_logs() as logged:
        await cut_off([task])
    assert [(line["name"], line["error"]) for line in logged] == [("segment 2", "ValueError")]
    assert "a draft" not in str(logged)


def test_parts_share_what_is_left_of_a_stop() -> None:
    now = 100.0
    stop = Deadline(timedelta(seconds=9), seconds=lambda: now)
    now = 200.0
    assert stop.left(timedelta(seconds=3)) == timedelta(seconds=3), "it begins when it is first asked for"
    now = 206.0
    assert stop.left(timedelta(seconds=2), keep=timedelta(seconds=2)) == timedelta(seconds=1)
    assert stop.left(timedelta(seconds=9)) == timedelta(seconds=3)
    now = 300.0
    assert stop.left(timedelta(seconds=1)) == timedelta(0)


def test_what_ends_while_nothing_stops_takes_nothing_of_a_later_stop() -> None:
    now = [0.0]
    deadline = Deadline(timedelta(seconds=9), seconds=lambda: now[0])
    assert deadline.left_if_begun(timedelta(seconds=5)) == timedelta(seconds=5)
    now[0] = 3600.0
    assert deadline.left(timedelta(seconds=8), keep=timedelta(seconds=2)) == timedelta(seconds=7)
    assert deadline.left_if_begun(timedelta(seconds=8), keep=timedelta(seconds=2)) == timedelta(seconds=7)


async def test_a_part_that_will_not_be_left_is_left_all_the_same() -> None:
    @asynccontextmanager
    async def part() -> AsyncIterator[str]:
        yield "inside"
        await asyncio.Event().wait()

    with capture_logs() as logged:
        async with left_in_time(part(), "chats", lambda: timedelta(milliseconds=10)) as entered:
            assert entered == "inside"
    assert [(line["event"], line["part"]) for line in logged] == [("stop_cut_short", "chats")]


async def test_a_part_is_left_when_its_body_breaks_too() -> None:
    left = False

    @asynccontextmanager
    async def part() -> AsyncIterator[None]:
        nonlocal left
        yield
        left = True

    with pytest.raises(ValueError, match="broken"):
        async with left_in_time(part(), "chats", lambda: timedelta(seconds=1)):
            raise ValueError("broken")
    assert left
