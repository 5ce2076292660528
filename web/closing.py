"""Ends every open wait at once when the server stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web


class Closing:
    """The waits that are open now: streams, and callers who said `Prefer: wait`."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self._closed = False

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
