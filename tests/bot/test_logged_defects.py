"""What a log has of our own defects: the class and the places, and nothing that people wrote."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from bot.errands import Errands
from tests.bot import telegram_fixtures
from tests.bot.telegram_house import ANA_ID
from tests.world import eventually

if TYPE_CHECKING:
    import pytest

    from tests.bot.telegram_house import TelegramHouse

there = telegram_fixtures.there

CANARY = "pay Mira Holm nothing"


async def test_an_errand_that_fails_is_told_without_its_message() -> None:
    async def fail() -> None:
        raise ValueError(CANARY)

    with capture_logs() as logs:
        async with Errands() as errands:
            await asyncio.wait([errands.start(fail(), "a card")])
    (told,) = logs
    assert (told["event"], told["errand"], told["error"]) == ("errand_failed", "a card", "ValueError")
    assert "test_logged_defects.py" in told["at"]
    assert CANARY not in str(told)


async def test_an_update_that_breaks_us_is_told_without_what_people_wrote_and_not_handled_again(
    there: TelegramHouse, caplog: pytest.LogCaptureFixture
) -> None:
    there.house.service.defect = ValueError(CANARY)

    async def is_handled() -> bool:
        left = await there.house.store.unhandled_updates(there.channel.name)
        return there.house.service.defect is None and not left

    with capture_logs() as logs:
        await there.telegram.say(ANA_ID, "/pending", user=ANA_ID)
        await eventually(is_handled)
    (told,) = [line for line in logs if line["event"] == "update_failed"]
    assert told["error"] == "ValueError"
    assert "commands.py" in told["at"]
    assert CANARY not in f"{logs} {caplog.text}"
