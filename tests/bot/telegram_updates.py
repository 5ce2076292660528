"""What became of updates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.model import ChannelName

if TYPE_CHECKING:
    from tests.bot.telegram_house import (
        TelegramHouse,
    )


async def postponed(there: TelegramHouse) -> bool:
    """An update is not handled yet, and something is to happen within 2 s, which is when it comes again."""
    alarm = None if await none_left(there) else there.house.clock.next_alarm
    return alarm is not None and alarm - there.house.clock.now() <= timedelta(seconds=2)


async def none_left(there: TelegramHouse) -> bool:
    return not await there.house.store.unhandled_updates(ChannelName("telegram"))
