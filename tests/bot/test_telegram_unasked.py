"""What somebody writes to the bot alone, in reply to nothing: nothing is done with it, and they hear so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.telegram.desk import AGAIN
from bot.telegram.presses import TO_NOTHING
from tests.bot import telegram_fixtures
from tests.bot.house import decided, decisions
from tests.bot.telegram_house import ANA_ID, EVE_ID, GROUP, TelegramHouse
from tests.bot.telegram_updates import all_came, none_left
from tests.world import eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message

there = telegram_fixtures.there


async def told(there: TelegramHouse, *said: str, user: int = ANA_ID) -> list[Message]:
    """What they are told of it so far, in their own chat, once all that they wrote is handled."""
    for words in said:
        await there.telegram.say(user, words, user=user)
    await all_came(there.telegram)
    await eventually(lambda: none_left(there))
    return there.saying(TO_NOTHING, user)


async def test_whoever_writes_it_hears_that_nothing_was_done_and_what_to_do(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.card()
    (seen,) = await told(there, "ok, approve it")
    (asked,) = [one for one in there.telegram.messages(ANA_ID) if one.text == "ok, approve it"]
    assert seen.reply_to == asked.id
    assert await decisions(there, task) == ()


async def test_what_follows_a_reason_is_not_dropped_in_silence(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    question = await there.card_with("Reply to this message with a reason")
    await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=question)
    assert (await decided(there, task)).comment == "too long"
    assert len(await told(there, "and it lacks a title")) == 1
    assert [one.comment for one in await decisions(there, task)] == ["too long"]


async def test_of_several_in_a_row_they_hear_once(there: TelegramHouse) -> None:
    """Apps split what is too long."""
    assert len(await told(there, "one", "two", "three")) == 1
    there.house.clock.advance(AGAIN)
    assert len(await told(there, "four")) == 2


async def test_words_of_ours_and_strangers_and_what_people_tell_each_other_are_not_answered_so(
    there: TelegramHouse,
) -> None:
    await there.telegram.say(GROUP, "lunch?", user=ANA_ID)
    assert await told(there, "/whoami", "/help") == []
    assert await told(there, "hello", user=EVE_ID) == []
    assert there.saying(TO_NOTHING) == []
