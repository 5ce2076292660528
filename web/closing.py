"""How the server stops: callers are sent elsewhere first, and every open wait is ended at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp.hdrs import CONNECTION

from web.problems import HttpRefusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

LINGERS = timedelta(milliseconds=250)
"""How long connections are still answered on once nobody can open one: a proxy that was refused takes another
replica from then on, and may have sent something on a connection that it kept."""


class Closing:
    """The waits that are open now: streams, and callers who said `Prefer: wait`."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self._announced = False
        self._closed = False

    def announce(self) -> None:
        """From now on this server is not ready, and the connection of every answer ends with it."""
        self._announced = True

    def check(self) -> None:
        """Raise where it has been announced: for `/readyz`."""
        if self._announced:
            raise HttpRefusal(503, "Stopping", "This server is about to stop.", headers={"Retry-After": "1"})

    async def mark(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """For `on_response_prepare`; a proxy would send its next request into a connection that just ends."""
        if self._announced:
            response.force_close()
            response.headers[CONNECTION] = "close"

    async def drain(self, runner: web.AppRunner, within: timedelta, hurry: asyncio.Event) -> None:
        """Announce it and go on for so long, less where `hurry` is set; then listen no more, and linger."""
        self.announce()
        if not within:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await hurry.wait()
        for site in runner.sites:
            await site.stop()
        await self.close(runner.app)
        await asyncio.sleep(LINGERS.total_seconds())

    def enter(self, scope: asyncio.Timeout) -> None:
        """End `scope`, which its owner has entered, at shutdown: its body then sees a timeout."""
        self._scopes.add(scope)
        if self._closed:
            _end(scope)

    def leave(self, scope: asyncio.Timeout) -> None:
        self._scopes.discard(scope)

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """Leave the block quietly after `seconds`, or sooner at shutdown."""
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                self.enter(scope)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self.leave(scope)

    async def close(self, _app: web.Application) -> None:
        """For `on_shutdown`."""
        self._closed = True
        for scope in self._scopes:
            _end(scope)


def _end(scope: asyncio.Timeout) -> None:
    if not scope.expired():
        scope.reschedule(asyncio.get_running_loop().time())
