"""What python-telegram-bot asks Telegram with for us."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from telegram.error import NetworkError

from bot.telegram.requests import KeepingRequest
from tests.bench.server import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping


async def none_is_kept(_: Mapping[str, Any]) -> None:
    raise AssertionError


async def nothing_is_heard() -> None:
    raise AssertionError


async def test_a_poll_that_fails_in_the_moment_in_which_polling_stops_is_no_defect() -> None:
    """python-telegram-bot then leaves its task alone: a replica that was frozen stops as it wakes, and so
    does its poll."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    request = KeepingRequest(none_is_kept, nothing_is_heard, trust_env=False)
    await request.initialize()
    poll = asyncio.create_task(request.post(f"http://127.0.0.1:{free_port()}/getUpdates"))
    await asyncio.wait([poll])
    del poll
    gc.collect()
    assert told == []
    with pytest.raises(NetworkError):
        await asyncio.create_task(request.post(f"http://127.0.0.1:{free_port()}/getUpdates"))
    await request.shutdown()
