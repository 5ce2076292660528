"""Short jobs that an answer does not wait for, or not to the end, such as a private word; and their owner."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog

from core.defects import defect

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import TracebackType

log = structlog.get_logger()

T = TypeVar("T")

GRACE = 0.5
"""Seconds that running errands get when their owner leaves."""


class Errands:
    """`async with` it. A failed errand is logged without its message: those of chat clients quote secrets."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._busy = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE)
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def start(self, job: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(job, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Round work that somebody else waits for, and `quiet` with them: a press, a card being sent."""
        self._busy += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._quiet.set()

    async def quiet(self, seconds: float) -> None:
        """Return once nobody is busy, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("calls_cut_off", calls=self._busy)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("errand_failed", errand=task.get_name(), **defect(error))
