"""One task that keeps every open stream awake.

aiohttp-sse starts a task for each stream to do so; that task was measured to be a seventh of the memory that
a stream takes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

PING = b": ping\n\n"
STUCK = 64 * 1024
"""Bytes that wait in our own buffer for a reader who takes none."""


class Pings:
    """Sends a comment to each stream every so many seconds; ends the scope of one whose reader is gone."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[asyncio.Timeout, tuple[float, web.StreamResponse, asyncio.Transport]] = {}
        self._joined = asyncio.Event()

    def join(
        self, scope: asyncio.Timeout, response: web.StreamResponse, transport: asyncio.Transport
    ) -> None:
        """From now on; `scope` is the stream's own."""
        self._due[scope] = (self._next(), response, transport)
        self._joined.set()

    def leave(self, scope: asyncio.Timeout) -> None:
        self._due.pop(scope, None)

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """For `cleanup_ctx`."""
        task = asyncio.create_task(self._run())
        yield
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            await self._joined.wait()
            await asyncio.sleep(self._seconds / 16)
            await self._ping_those_due()
            if not self._due:
                self._joined.clear()

    async def _ping_those_due(self) -> None:
        """The oldest stand first, so those that joined together are pinged together, and not all at once."""
        now = asyncio.get_running_loop().time()
        for scope, (at, response, transport) in list(self._due.items()):
            if at > now:
                return
            self.leave(scope)
            if await _is_alive(response, transport):
                self._due[scope] = (self._next(), response, transport)
                continue
            transport.abort()  # a polite end would wait for the reader
            if not scope.expired():
                scope.reschedule(now)

    def _next(self) -> float:
        return asyncio.get_running_loop().time() + self._seconds


async def _is_alive(response: web.StreamResponse, transport: asyncio.Transport) -> bool:
    """Ping; never waits, since the buffer has room."""
    if transport.is_closing() or transport.get_write_buffer_size() >= STUCK:
        return False
    try:
        await response.write(PING)
    except (ConnectionResetError, RuntimeError):  # RuntimeError: it has ended meanwhile
        return False
    return True
