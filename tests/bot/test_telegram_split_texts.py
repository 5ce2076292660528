"""A new text that comes as several messages, as apps split what is too long: whoever sent it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bot.markup import LIMIT
from bot.telegram.desk import AGAIN
from bot.telegram.edits import REST
from tests.bot import telegram_fixtures
from tests.bot.house import decided, decisions
from tests.bot.telegram_edits import asked_for_text, prompt_of, proposed
from tests.bot.telegram_house import ANA_ID, BEN_ID, GROUP, TelegramHouse, named, telegram_house
from tests.bot.telegram_updates import all_came, none_left
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.telegram.chats import Message
    from core.model import Task
    from core.store.database import Database
    from tests.world import StoppedClock

there = telegram_fixtures.there


@pytest.fixture
async def alone(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[TelegramHouse]:
    """Cards go to Ana's own chat with the bot."""
    async with telegram_house(sqlite_database, clock, webhook=False, chat=ANA_ID) as started:
        yield started


async def handled(there: TelegramHouse) -> None:
    await all_came(there.telegram)
    await eventually(lambda: none_left(there))


async def told(there: TelegramHouse, words: str) -> list[Message]:
    """What Ana reads of that in her own chat, once all that came is handled."""
    await handled(there)
    return there.saying(words, ANA_ID)


async def proposed_alone(there: TelegramHouse, text: str) -> tuple[Task, Message]:
    task = await there.house.submit()
    await there.telegram.press(await there.card(chat=ANA_ID), "Edit…", user=ANA_ID)
    prompt = await there.card_with("as a reply to this message within", ANA_ID)
    await there.telegram.say(ANA_ID, text, user=ANA_ID, reply_to=prompt)
    shown = await there.card_with(" edit changes attempt ", ANA_ID)
    await handled(there)
    return task, shown


async def test_the_second_of_two_replies_is_said_not_to_be_in_the_new_text(there: TelegramHouse) -> None:
    """Also where it comes before the first is handled."""
    task = await asked_for_text(there)
    prompt = await prompt_of(there)
    await asyncio.gather(
        *(there.telegram.say(GROUP, words, user=ANA_ID, reply_to=prompt) for words in ("first", "second"))
    )
    shown = await there.card_with(" edit changes attempt ")
    (seen,) = await told(there, REST)
    assert seen.text == named(there, REST, task)
    assert "+first" in shown.text
    assert "second" not in shown.text
    assert len(there.saying(" edit changes attempt ")) == 1
    assert await decisions(there, task) == ()
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await decided(there, task)).content == "first"


async def test_however_many_follow_it_is_said_once(there: TelegramHouse) -> None:
    await asked_for_text(there)
    prompt = await prompt_of(there)
    for words in ("first", "second", "third", "fourth"):
        await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=prompt)
    await there.card_with(" edit changes attempt ")
    assert len(await told(there, REST)) == 1


async def test_in_a_private_chat_also_of_what_replies_to_nothing(alone: TelegramHouse) -> None:
    task, shown = await proposed_alone(alone, "first")
    await alone.telegram.say(ANA_ID, "and this", user=ANA_ID)
    (seen,) = await told(alone, REST)
    assert seen.text == named(alone, REST, task)
    assert not alone.telegram.message(ANA_ID, shown.id).deleted
    assert await decisions(alone, task) == ()
    alone.house.clock.advance(minutes=1)
    await alone.telegram.say(ANA_ID, "thanks", user=ANA_ID)
    await alone.house.quiet()
    assert len(await told(alone, REST)) == 1


async def test_words_that_stand_alone_are_no_consent(alone: TelegramHouse) -> None:
    task, shown = await proposed_alone(alone, "first")
    await alone.telegram.say(ANA_ID, "Confirm", user=ANA_ID)
    await told(alone, REST)
    assert await decisions(alone, task) == ()
    await alone.telegram.press(shown, "Discard", user=ANA_ID)
    await alone.telegram.say(ANA_ID, "something else", user=ANA_ID)
    assert len(await told(alone, REST)) == 1, "that edit is over"


async def test_nobody_else_is_told_and_nobody_in_a_group_whom_they_talk_to(there: TelegramHouse) -> None:
    await asked_for_text(there)
    prompt = await prompt_of(there)
    await proposed(there, "first")
    await there.telegram.say(GROUP, "what is that?", user=BEN_ID, reply_to=prompt)
    await there.telegram.say(GROUP, "an edit of mine", user=ANA_ID)
    there.house.clock.advance(minutes=2)  # until then a message of ours may be noted
    await handled(there)
    assert there.saying(REST) == there.saying(REST, ANA_ID) == there.saying(REST, BEN_ID) == []


async def test_the_rest_of_a_text_that_was_cut_off_is_not_taken_for_all_of_it(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    prompt = await prompt_of(there)
    for words in ("y" * LIMIT, "the end"):
        await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=prompt)
    await there.card_with("the end of yours may be missing")
    refused = await there.card_with("this may be the rest of the message before it")
    assert f"/tasks/{task.id}" in refused.text
    await handled(there)
    assert there.saying(" edit changes attempt ") == []
    there.house.clock.advance(AGAIN)
    shown = await proposed(there, "a short text")
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await decided(there, task)).content == "a short text"


async def test_a_difference_of_a_long_text_says_what_to_do_where_some_of_it_is_missing(
    there: TelegramHouse,
) -> None:
    await asked_for_text(there)
    shown = await proposed(there, "y" * 2500)
    assert "is not in it. Then discard this, and edit it on the task's page." in shown.text
