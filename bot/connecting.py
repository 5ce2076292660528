"""A chat that cannot be reached must not hold up the start, nor stay away once it can be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from core.errors import DeliveryError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.errands import Errands
    from core.model import ChannelName

log = structlog.get_logger()

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between tries; the last one repeats."""


async def connect_or_go_on(
    connect: Callable[[], Awaitable[None]], errands: Errands, channel: ChannelName
) -> None:
    """Connected on return, or trying to be in the background. `SettingsError` is passed on.

    `connect` may be called again after it raised a `DeliveryError`.
    """
    try:
        await connect()
    except DeliveryError as error:
        log.warning("chat_unreachable", channel=channel, reason=str(error))
        errands.start(_keep_trying(connect, channel), f"{channel} connecting")


async def _keep_trying(connect: Callable[[], Awaitable[None]], channel: ChannelName) -> None:
    tries = 0
    while True:
        await asyncio.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
        try:
            await connect()
        except DeliveryError as error:
            tries += 1
            log.warning("chat_unreachable", channel=channel, reason=str(error))
        except SettingsError as error:
            log.error("chat_off", channel=channel, reason=str(error))
            return
        else:
            return
