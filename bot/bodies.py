"""A callback's raw body, read once and never more of it than a platform would send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web import Request

LIMIT = 1024 * 1024
"""Bytes; the contract's limit for every body."""
SECONDS = 5.0
"""How long a body may take to arrive; platforms send theirs at once."""


async def read_body(request: Request) -> bytes:
    """Raises 413 or 408 where the body is too long or too slow, 400 where it is broken off."""
    if (request.content_length or 0) > LIMIT:
        raise web.HTTPRequestEntityTooLarge(max_size=LIMIT, actual_size=request.content_length or 0)
    try:
        async with asyncio.timeout(SECONDS):
            return await _bounded(request)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError:
        raise web.HTTPBadRequest from None


async def _bounded(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LIMIT:
            raise web.HTTPRequestEntityTooLarge(max_size=LIMIT, actual_size=len(body))
    return bytes(body)
