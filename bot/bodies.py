"""A callback's raw body, which platforms send at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web import Request

SECONDS = 5.0
"""How long a body may take to arrive."""


async def read_body(request: Request) -> bytes:
    """Raises 413 where it is longer than the server takes, 408 or 400 where it is slow or broken off."""
    try:
        if request.content.is_eof():  # nearly always, and a timer would be most of what reading it costs
            return await request.read()
        async with asyncio.timeout(SECONDS):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError:
        raise web.HTTPBadRequest from None
