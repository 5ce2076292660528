"""A stop takes no longer than it says, whatever the tasks make of being cancelled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from structlog.testing import capture_logs

from core.stopping import cut_off
from tests.world import PATIENCE


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
