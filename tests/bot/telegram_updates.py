"""What became of updates."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import pytest

from core.model import ChannelName
from tests.world import BETWEEN_LOOKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.simulator.telegram import TelegramSimulator
    from bot.simulator.telegram.chats import Message, Press
    from tests.bot.telegram_house import TelegramHouse

T = TypeVar("T")

LOOKS = 500
SECONDS = 2.0
"""More than anything takes here that waits for the real time."""


async def soon(ask: Callable[[], Awaitable[T]]) -> T:
    """As `tests.world.eventually`, but what waits in vain has failed after two seconds.

    Later where the machine is busy: what is waited for is done by this process, and takes as many looks
    there, which only take longer.
    """
    looks, until = 0, monotonic() + SECONDS
    while not (found := await ask()):
        looks += 1
        if looks > LOOKS and monotonic() > until:
            pytest.fail(f"waited in vain for {ask.__qualname__}")
        await asyncio.sleep(BETWEEN_LOOKS)
    return found


async def shown(there: TelegramHouse, words: str) -> Message:
    """The first message in the group that says so, once it is noted."""

    async def ask() -> list[Message]:
        await there.house.noted()
        return there.saying(words)

    return (await soon(ask))[0]


async def pressed(there: TelegramHouse, message: Message, label: str, *, user: int) -> Press:
    """Once it is answered."""
    press = there.telegram.tap(message, label, user=user)

    async def ask() -> bool:
        await there.house.noted()
        return press.answered

    await soon(ask)
    return press


async def all_came(telegram: TelegramSimulator) -> None:
    """Telegram has nothing more to bring."""

    async def ask() -> bool:
        return not telegram.updates.pending

    await soon(ask)


async def postponed(there: TelegramHouse) -> bool:
    """An update is not handled yet, and something is to happen within 2 s, which is when it comes again."""
    alarm = None if await none_left(there) else there.house.clock.next_alarm
    return alarm is not None and alarm - there.house.clock.now() <= timedelta(seconds=2)


async def none_left(there: TelegramHouse) -> bool:
    return not await there.house.store.unhandled_updates(ChannelName("telegram"))
