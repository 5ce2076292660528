"""Many cards for one Telegram group: within its twenty a minute, with room kept for what was decided."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.model import Verdict
from tests.bot.telegram_house import GROUP, simulated, telegram_house
from tests.world import BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.model import Task
    from core.store.database import Database
    from tests.bot.telegram_house import TelegramHouse
    from tests.world import StoppedClock

CARDS = 60
LONGEST = timedelta(seconds=3)
"""Until Telegram takes another message in a chat that just had three."""


async def test_decisions_are_shown_while_more_cards_wait_than_a_group_takes(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        simulated(enforce_rate_limits=True, now=lambda: clock.now().timestamp()) as telegram,
        telegram_house(sqlite_database, clock, webhook=True, telegram=telegram) as there,
    ):
        tasks = [await there.house.submit(f"Please review number {number}.") for number in range(CARDS)]
        began = clock.now()
        waits: list[timedelta] = []
        while len(there.saying("Please review")) < CARDS:
            await pass_time(there, clock)
            minute = len(waits)
            if clock.now() - began >= timedelta(minutes=minute, seconds=5) and minute < 3:
                waits.append(await shown_after(there, clock, tasks))
        assert [call.method for call in telegram.calls if call.status == 429] == []
        assert len(waits) == 3
        assert max(waits) <= LONGEST, waits
        assert clock.now() - began <= timedelta(minutes=CARDS / 17 + 1)


async def pass_time(there: TelegramHouse, clock: StoppedClock) -> None:
    await there.house.quiet()
    clock.advance(seconds=0.5)
    await there.house.quiet()


async def shown_after(there: TelegramHouse, clock: StoppedClock, tasks: list[Task]) -> timedelta:
    """Decide elsewhere on a card that is open in the chat; how long the chat went on showing it open."""
    card = next(seen for seen in there.saying("Please review") if seen.labels)
    task = next(task for task in tasks if f"{task.input}\n" in card.text)
    at = clock.now()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.APPROVE, via="web")

    async def ask() -> bool:
        await pass_time(there, clock)
        now: Message = there.telegram.message(GROUP, card.id)
        return "Approved by Ben Okri" in now.text

    await eventually(ask)
    return clock.now() - at
