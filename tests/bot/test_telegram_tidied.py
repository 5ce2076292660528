"""What people say to us in a group where somebody takes it away at once, as other bots do in many groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.reception import WORDS_DECIDE_NOTHING
from bot.telegram.commands import ANSWERED
from bot.telegram.desk import IN_WORDS
from tests.bot import telegram_fixtures
from tests.bot.telegram_house import ANA_ID, BEN_ID, GROUP

if TYPE_CHECKING:
    from tests.bot.telegram_house import TelegramHouse

there = telegram_fixtures.polling


@pytest.mark.parametrize(
    ("words", "answer"),
    [("/submit pay Eve", "Handed in: "), ("/approve", WORDS_DECIDE_NOTHING), ("/pending", ANSWERED)],
)
async def test_a_command_is_answered_though_it_is_gone(there: TelegramHouse, words: str, answer: str) -> None:
    there.telegram.delete(await there.telegram.say(GROUP, words, user=ANA_ID))
    told = await there.telegram.until(lambda: there.saying(answer)[0])
    assert told.reply_to is None


async def test_a_refusal_of_an_answer_is_told_though_that_is_gone(there: TelegramHouse) -> None:
    await there.house.submit()
    await there.telegram.press(await there.card(), "Ask…", user=BEN_ID)
    prompt = await there.card(2)
    there.telegram.delete(await there.telegram.say(GROUP, " ", user=BEN_ID, reply_to=prompt))
    await there.card_with(IN_WORDS)
