"""How parts are stopped: cancelled, and not waited for longer than a stop may take."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable
    from contextlib import AbstractAsyncContextManager

log = structlog.get_logger()

T = TypeVar("T")

CUT_OFF = timedelta(seconds=1)
"""How long a cancelled task may take to end: somebody else's code may take the cancellation for an error."""


async def cut_off(tasks: Collection[asyncio.Task[Any]], *, within: timedelta = CUT_OFF) -> None:
    """Cancel the tasks and let them end; one that does not is left alone, and named in the log.

    How that one ends is told, too, with its name: nobody else reads its error. `serve` would say later where
    it broke, and not of which part; elsewhere asyncio would log its words, which may quote a secret.
    """
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    ended, left = await asyncio.wait(tasks, timeout=within.total_seconds())
    for task in left:
        log.warning("would_not_stop", name=task.get_name())
        task.add_done_callback(_ended)
    for task in ended:
        _ended(task)


def _ended(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("broke_while_stopping", name=task.get_name(), error=type(error).__name__)


class Deadline:
    """When a whole stop is to be over: its parts, one after the other, share what is left of it."""

    def __init__(self, within: timedelta, *, seconds: Callable[[], float] = monotonic) -> None:
        self._within = within.total_seconds()
        self._seconds = seconds
        self._ends: float | None = None

    def begin(self) -> float:
        """From now on, and not again; the second at which it ends."""
        if self._ends is None:
            self._ends = self._seconds() + self._within
        return self._ends

    def left(self, most: timedelta, *, keep: timedelta = timedelta(0)) -> timedelta:
        """For one part: at most `most`, and less where those that follow would not have `keep`."""
        rest = timedelta(seconds=self.begin() - self._seconds()) - keep
        return max(min(most, rest), timedelta(0))

    def left_if_begun(self, most: timedelta, *, keep: timedelta = timedelta(0)) -> timedelta:
        """The same for what also ends while nothing stops, as a turn does whose lease was lost: `most` then.

        It begins no stop: the real one, hours later, would have nothing left.
        """
        return most if self._ends is None else self.left(most, keep=keep)


@asynccontextmanager
async def together(parts: Iterable[AbstractAsyncContextManager[object]]) -> AsyncIterator[None]:
    """All of `parts`, entered one after the other, left side by side."""
    entered: list[AsyncExitStack] = []
    try:
        for part in parts:
            stack = AsyncExitStack()
            await stack.enter_async_context(part)
            entered.append(stack)
        yield
    finally:
        await asyncio.gather(*(stack.aclose() for stack in entered))


@asynccontextmanager
async def left_in_time(
    part: AbstractAsyncContextManager[T], name: str, grace: Callable[[], timedelta]
) -> AsyncIterator[T]:
    """`part`, whose leaving is cancelled after `grace`, asked for when it begins."""
    async with AsyncExitStack() as stack:
        entered = await stack.enter_async_context(part)
        try:
            yield entered
        finally:
            leave = stack.pop_all().aclose
            try:
                async with asyncio.timeout(grace().total_seconds()):
                    await leave()
            except TimeoutError:
                log.warning("stop_cut_short", part=name)
