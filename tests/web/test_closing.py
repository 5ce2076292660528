"""web/closing.py: what waits when the server stops."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.world import PATIENCE
from web.closing import Closing

HOUR = 3600.0


async def test_a_wait_that_begins_once_the_server_stops_ends_at_once() -> None:
    closing = Closing()
    await closing.close(web.Application())
    async with asyncio.timeout(PATIENCE), closing.limit(HOUR):
        await asyncio.Event().wait()


async def test_somebody_elses_timeout_is_not_the_end_of_a_wait() -> None:
    """The store's, say: whoever waits would be told how the task stood before, as if nothing had failed."""
    with pytest.raises(TimeoutError):
        async with Closing().limit(HOUR):
            raise TimeoutError
