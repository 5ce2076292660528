"""One task that keeps every open stream awake.

aiohttp-sse starts a task for each stream to do so; that task was measured to be a seventh of the memory that
a stream takes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from core.defects import defect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

log = structlog.get_logger(__name__)

PING = b": ping\n\n"


@dataclass(slots=True)
class _Stream:
    response: web.StreamResponse
    transport: asyncio.Transport
    due: float
    is_behind: bool = False
    """At its last turn, something still waited in our own buffer."""


class Pings:
    """Sends a comment to each stream every so many seconds; ends the scope of one whose reader is gone.

    So is a reader who has been behind for two turns: the kernel's buffers are full, and so is ours.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._streams: dict[asyncio.Timeout, _Stream] = {}
        self._joined = asyncio.Event()

    def join(
        self, scope: asyncio.Timeout, response: web.StreamResponse, transport: asyncio.Transport
    ) -> None:
        """From now on; `scope` is the stream's own."""
        self._streams[scope] = _Stream(response, transport, self._next())
        self._joined.set()

    def leave(self, scope: asyncio.Timeout) -> None:
        self._streams.pop(scope, None)

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """For `cleanup_ctx`."""
        task = asyncio.create_task(self._run(), name="pings")
        yield
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            await self._joined.wait()
            await asyncio.sleep(self._seconds / 16)
            try:
                await self._take_turns()
            except Exception as error:  # noqa: BLE001 - a defect must not end the turns: every stream would fall silent until the next start
                log.error("pings_broke", **defect(error))
            if not self._streams:
                self._joined.clear()

    async def _take_turns(self) -> None:
        """Of those due: they stand first, and go to the end. So not all are pinged at once."""
        now = asyncio.get_running_loop().time()
        for scope, stream in list(self._streams.items()):
            if stream.due > now:
                return
            self.leave(scope)
            if await _is_alive(stream):
                stream.due = self._next()
                self._streams[scope] = stream
            else:
                _cut_off(scope, stream)

    def _next(self) -> float:
        return asyncio.get_running_loop().time() + self._seconds


async def _is_alive(stream: _Stream) -> bool:
    """Ping, where nothing waits to be sent: so this never waits itself, and no stream for another."""
    was_behind, stream.is_behind = stream.is_behind, stream.transport.get_write_buffer_size() > 0
    if stream.transport.is_closing() or (was_behind and stream.is_behind):
        return False
    if stream.is_behind:
        return True
    try:
        await stream.response.write(PING)
    except (ConnectionResetError, RuntimeError):  # RuntimeError: it has ended meanwhile
        return False
    return True


def _cut_off(scope: asyncio.Timeout, stream: _Stream) -> None:
    stream.transport.abort()  # a polite end would wait for the reader
    if not scope.expired():
        scope.reschedule(asyncio.get_running_loop().time())
