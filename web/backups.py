"""`GET /v1/backup`: a copy of the whole database, for administrators."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from core.errors import Unavailable
from web.auth import CALLER

if TYPE_CHECKING:
    from core.ports import Backup
    from core.service import Service
    from web.closing import Closing

STUCK = 60.0
"""Seconds after which a reader who takes nothing gives way to the next one."""


class Backups:
    """The route."""

    def __init__(self, *, service: Service, closing: Closing) -> None:
        self._service = service
        self._closing = closing

    def routes(self) -> list[web.RouteDef]:
        # No HEAD: it would copy everything to say how much that is.
        return [web.get("/v1/backup", self.take, allow_head=False)]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Cut off before its length where the server stops, or the reader is stuck."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/vnd.sqlite3", "Cache-Control": "no-store"}
        )
        response.headers["Content-Disposition"] = 'attachment; filename="countersign.db"'
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._closing.enter(scope)
                async with self._service.backups.take(request[CALLER].person) as backup:
                    await _send(request, response, backup)
        except (ConnectionResetError, TimeoutError) as error:
            if not response.prepared:
                raise Unavailable("The server is being stopped.") from error
            if request.transport is not None:
                request.transport.abort()  # else what a stuck reader does not take would be waited for
        finally:
            self._closing.leave(scope)
        return response


async def _send(request: web.Request, response: web.StreamResponse, backup: Backup) -> None:
    response.content_length = backup.size
    await response.prepare(request)
    async for piece in backup.pieces():
        async with asyncio.timeout(STUCK):
            await response.write(piece)
    await response.write_eof()
