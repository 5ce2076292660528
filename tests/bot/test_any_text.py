"""Any text at all, through a whole house and a simulator that refuses what breaks a limit: shown, and closed.

Its first attempt is rejected with any words, so that the second shows them, and what has changed.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from core.errors import Invalid
from core.model import DeliveryState, Verdict
from core.store.database import database
from tests.bot import slack_house, telegram_house
from tests.bot.slack_texts import ANY_TEXT
from tests.world import ANA, StoppedClock, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from core.model import Task
    from core.store.database import Database
    from tests.bot.house import House

FEW = settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""Each is a house of its own."""


@pytest.mark.parametrize("chat", ["slack", "telegram"])
@FEW
@given(text=ANY_TEXT, words=ANY_TEXT)
@example("```\n" + "👩🏽\u200d💻" * 2000, "\u202e" * 3000)
@example("<!channel>" * 300, "@everyone" * 400)
@example("e" + "\u0301" * 5000, "\x00\ud800")
def test_any_text_is_shown_and_its_card_closed(
    migrated_file: Path, tmp_path: Path, chat: str, text: str, words: str
) -> None:
    shutil.copy(migrated_file, path := tmp_path / "countersign.db")
    asyncio.run(story(database(f"sqlite:///{path}"), chat, text, words))


async def story(kept: Database, chat: str, text: str, words: str) -> None:
    clock = StoppedClock(datetime.now(UTC))
    opened: Any = (
        slack_house.slack_house(kept, clock, http=False)
        if chat == "slack"
        else telegram_house.telegram_house(kept, clock, webhook=False)
    )
    async with opened as there:
        try:
            task = await there.house.submit(text)
        except Invalid:
            return  # said at the door, so that no chat ever sees it
        attempt = 1
        first = await there.house.review(task)
        try:
            await there.house.service.decide(first.id, ANA.id, Verdict.REJECT, comment=words, via="web")
            attempt = 2
        except Invalid:
            pass
        await there.house.review(task, attempt)
        await posted(there.house, task, attempt)
        (card,) = [one for one in standing(there, chat) if one.labels]
        if chat == "slack":
            assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
        else:
            assert (await there.telegram.press(card, "Approve", user=telegram_house.ANA_ID)).answered
        await posted(there.house, task, attempt)
        assert not any(one.labels for one in standing(there, chat))


def standing(there: Any, chat: str) -> list[Any]:
    return list(there.slack.messages(slack_house.GENERAL) if chat == "slack" else there.ours())


async def posted(house: House, task: Task, attempts: int) -> None:
    """Every card and file of so many attempts shows what it should, and none was refused."""

    async def look() -> bool:
        await house.quiet()
        house.clock.advance(seconds=1)
        found = list(await house.service.deliveries(task.id))
        assert not [one.error for one in found if one.state is DeliveryState.GIVEN_UP]
        cards = [one for one in found if one.review is not None]
        return len(cards) == attempts and all(one.shown == one.version for one in found)

    await eventually(look)
