"""Many cards for one Telegram group: within its twenty a minute, with room kept for what was decided."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.model import Verdict
from tests.bot.telegram_house import ANA_ID, GROUP, simulated, telegram_house
from tests.world import BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.model import Task
    from core.store.database import Database
    from tests.bot.telegram_house import TelegramHouse
    from tests.world import StoppedClock

CARDS = 60
DECIDED = [timedelta(minutes=minute, seconds=second) for minute in range(3) for second in (5, 25)]
"""When somebody decides: while the group takes cards still, and once it has taken those of the minute."""
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
            if len(waits) < len(DECIDED) and clock.now() - began >= DECIDED[len(waits)]:
                waits.append(await shown_after(there, clock, tasks))
        assert [call.method for call in telegram.calls if call.status == 429] == []
        assert len(waits) == len(DECIDED)
        assert max(waits) <= LONGEST, waits
        assert clock.now() - began <= timedelta(minutes=CARDS / 17 + 1)


async def test_cards_to_one_person_keep_to_what_a_private_chat_takes(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """And are not held to the twenty a minute of a group."""
    cards = 30
    async with (
        simulated(enforce_rate_limits=True, now=lambda: clock.now().timestamp()) as telegram,
        telegram_house(sqlite_database, clock, webhook=True, telegram=telegram, chat=ANA_ID) as there,
    ):
        began = clock.now()
        for number in range(cards):
            await there.house.submit(f"Please review number {number}.")
        while len(there.saying("Please review", ANA_ID)) < cards:
            await pass_time(there, clock)
        assert [call.method for call in telegram.calls if call.status == 429] == []
        assert clock.now() - began <= timedelta(seconds=cards + 3)


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
