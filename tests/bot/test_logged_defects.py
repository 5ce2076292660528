"""What a log has of our own defects: the class and the places, and nothing that people wrote."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from bot.answers import BROKEN
from bot.errands import Errands
from tests.bot import slack_fixtures, telegram_fixtures
from tests.bot.telegram_house import ANA_ID
from tests.world import eventually

if TYPE_CHECKING:
    import pytest

    from tests.bot.slack_house import SlackHouse
    from tests.bot.telegram_house import TelegramHouse

there = telegram_fixtures.there
clock, over_http = slack_fixtures.clock, slack_fixtures.over_http

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


async def test_a_press_in_slack_that_breaks_us_is_told_without_what_people_wrote(
    over_http: SlackHouse, caplog: pytest.LogCaptureFixture
) -> None:
    await over_http.house.submit()
    card = await over_http.card()
    over_http.house.service.defect = ValueError(CANARY)
    with capture_logs() as logs:
        answer = await over_http.slack.press(card, "Approve", user="U01ANA")
    assert answer.status == 500, "and Slack says that it did not work"
    (told,) = [line for line in logs if line["event"] == "request_failed"]
    assert (told["channel"], told["error"]) == ("slack", "ValueError")
    assert CANARY not in f"{logs} {caplog.text}"


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
    assert (await there.card(chat=ANA_ID)).text == BROKEN


async def test_a_press_in_telegram_that_breaks_us_is_told_that_it_did_not_work(there: TelegramHouse) -> None:
    await there.house.submit()
    card = await there.card()
    there.house.service.defect = ValueError(CANARY)
    press = await there.telegram.press(card, "Approve", user=ANA_ID)
    assert (press.text, press.show_alert) == (BROKEN, True)
    assert (await there.telegram.press(card, "Approve", user=ANA_ID)).text == "Approved."
