"""Replies and presses on messages of ours in Telegram that are not known to be ours yet, or never will be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from bot.answers import ANONYMOUS
from bot.reception import WORDS_DECIDE_NOTHING
from bot.simulator.faults import Fault
from bot.telegram.above import KNOWN_BY
from bot.telegram.desk import IN_WORDS, NOT_KEPT, OVER
from bot.telegram.inquiries import UNKNOWN
from core.model import Verdict
from tests.bot.house import decided, decisions
from tests.bot.telegram_house import (
    ANA_ID,
    BEN_ID,
    GROUP,
    SAM_ID,
    TelegramHouse,
    named,
    simulated,
    telegram_house,
)
from tests.bot.telegram_updates import none_left
from tests.world import ANA, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.telegram.chats import Message
    from core.model import Question, Task
    from core.store.database import Database
    from tests.world import StoppedClock


@pytest.fixture(params=["polling", "webhook"])
async def there(
    request: pytest.FixtureRequest, sqlite_database: Database, clock: StoppedClock
) -> AsyncIterator[TelegramHouse]:
    """Where messages bear the date of our clock."""
    async with (
        simulated(now=lambda: clock.now().timestamp()) as telegram,
        telegram_house(
            sqlite_database, clock, webhook=request.param == "webhook", telegram=telegram
        ) as started,
    ):
        yield started


async def seen(there: TelegramHouse, words: str, number: int = 0) -> Message:
    """The message that says so, as soon as it stands there."""
    found = await there.telegram.until(lambda: there.saying(words)[number])
    assert found is not None
    return found


async def asked(there: TelegramHouse, noted: asyncio.Event | None = None) -> Task:
    """A task of Sam's about which Ana asks something, as its thread is about to tell; that it was told is
    noted once `noted` is set."""
    task = await there.house.submit()
    await there.card()
    review = await there.house.review(task)
    there.house.clock.advance(seconds=10)
    there.house.store.slow_notes = noted
    await there.house.service.questions.ask(review.id, ANA.id, "Which customer?", via="web")
    return task


async def put_off(
    there: TelegramHouse, text: str, *, user: int, reply_to: Message, chat: int = GROUP
) -> Message:
    """A reply that is looked at, is not understood yet, and comes again."""
    with capture_logs() as logs:
        said = await there.telegram.say(chat, text, user=user, reply_to=reply_to)

        async def is_put_off() -> bool:
            await there.house.store.check()
            return any(line["event"] == "update_postponed" for line in logs)

        await eventually(is_put_off)
    return said


async def question(there: TelegramHouse, task: Task) -> Question:
    (found,) = await there.house.service.questions.of_task(task.id)
    return found


async def reply_of(there: TelegramHouse, task: Task) -> str:
    async def look() -> str | None:
        found = (await question(there, task)).reply
        return None if found is None else found.text

    return str(await eventually(look))


# A question that is told


async def test_an_answer_that_comes_before_it_is_known_what_it_answers_is_taken_then(
    there: TelegramHouse,
) -> None:
    noted = asyncio.Event()
    task = await asked(there, noted)
    told = await seen(there, " asks ")
    await put_off(there, "Acme.", user=SAM_ID, reply_to=told)
    noted.set()
    await there.house.noted()
    there.house.clock.advance(seconds=2)
    assert await reply_of(there, task) == "Acme."


async def test_who_answers_a_copy_that_was_posted_without_our_knowing_is_told_where_to(
    there: TelegramHouse,
) -> None:
    there.telegram.faults.add(Fault(method="sendMessage", contains=" asks ", cut=True, after_acting=True))
    task = await asked(there)
    lost = await seen(there, " asks ")
    said = await put_off(there, "Acme.", user=SAM_ID, reply_to=lost)
    there.house.clock.advance(KNOWN_BY)
    assert (await there.card_with(UNKNOWN)).reply_to == said.id, "Sam never started the bot"
    again = await seen(there, " asks ", 1)
    await there.house.noted()
    await there.telegram.say(GROUP, "Acme.", user=SAM_ID, reply_to=again)
    assert await reply_of(there, task) == "Acme."


async def test_a_reply_that_another_replica_has_handled_meanwhile_is_not_handled_again(
    there: TelegramHouse,
) -> None:
    """Which took it up as it waited here: its writer would hear it twice."""
    there.telegram.faults.add(Fault(method="sendMessage", contains=" asks ", cut=True, after_acting=True))
    await asked(there)
    await put_off(there, "Acme.", user=SAM_ID, reply_to=await seen(there, " asks "))
    (waiting,) = await there.house.store.unhandled_updates(there.channel.name)
    await there.house.store.update_handled(there.channel.name, waiting.id)
    with capture_logs() as logs:
        there.house.clock.advance(KNOWN_BY)

        async def is_left_alone() -> bool:
            await there.house.store.check()
            return any(line["event"] == "update_handled_elsewhere" for line in logs)

        await eventually(is_left_alone)
    assert not there.saying(UNKNOWN)


async def test_a_reply_that_waits_is_looked_at_again_also_where_nobody_can_say_who_handled_it(
    there: TelegramHouse,
) -> None:
    noted = asyncio.Event()
    task = await asked(there, noted)
    await put_off(there, "Acme.", user=SAM_ID, reply_to=await seen(there, " asks "))
    noted.set()
    await there.house.noted()
    there.house.inbox.lookup_defect = ValueError("a private text")
    with capture_logs() as logs:
        there.house.clock.advance(seconds=2)
        assert await reply_of(there, task) == "Acme."
    assert "update_not_looked_up" in {line["event"] for line in logs}
    assert "a private text" not in str(logs)


async def test_also_in_a_group_that_is_named_and_not_numbered(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        simulated(now=lambda: clock.now().timestamp()) as telegram,
        telegram_house(sqlite_database, clock, webhook=False, telegram=telegram, chat="@Desk") as there,
    ):
        desk = telegram.add_chat(-1009, "supergroup", "Desk", [ANA_ID, SAM_ID], username="Desk").id
        task = await there.house.submit()
        await there.card(chat=desk)
        review = await there.house.review(task)
        clock.advance(seconds=10)
        telegram.faults.add(Fault(method="sendMessage", contains=" asks ", cut=True, after_acting=True))
        await there.house.service.questions.ask(review.id, ANA.id, "Which customer?", via="web")
        lost = await telegram.until(lambda: there.saying(" asks ", desk)[0])
        await put_off(there, "Acme.", user=SAM_ID, reply_to=lost, chat=desk)
        clock.advance(KNOWN_BY)
        assert (await there.card_with(UNKNOWN, desk)).chat == desk


async def test_who_replies_to_something_else_of_ours_is_told_nothing(there: TelegramHouse) -> None:
    await there.telegram.say(ANA_ID, "/pending", user=ANA_ID)
    answer = await there.card(chat=ANA_ID)
    await put_off(there, "thank you", user=ANA_ID, reply_to=answer, chat=ANA_ID)
    there.house.clock.advance(KNOWN_BY)
    await eventually(lambda: none_left(there))
    assert len(there.ours(ANA_ID)) == 1


async def test_nor_is_that_waited_for_until_a_clock_that_was_set_back_is_there_again(
    there: TelegramHouse,
) -> None:
    await there.telegram.say(ANA_ID, "/pending", user=ANA_ID)
    answer = await there.card(chat=ANA_ID)
    there.house.clock.advance(hours=-6)
    await there.telegram.say(ANA_ID, "thank you", user=ANA_ID, reply_to=answer)
    await there.telegram.say(ANA_ID, "/back", user=ANA_ID)
    await there.card_with("You were not away.", chat=ANA_ID)
    await eventually(lambda: none_left(there))
    assert len(there.ours(ANA_ID)) == 2


async def test_nor_is_who_was_asked_something_in_another_chat(there: TelegramHouse) -> None:
    await asked(there)
    await there.card_with(" asks ")
    await there.telegram.say(SAM_ID, "/pending", user=SAM_ID)
    answer = await there.card(chat=SAM_ID)
    await put_off(there, "thank you", user=SAM_ID, reply_to=answer, chat=SAM_ID)
    there.house.clock.advance(KNOWN_BY)
    await eventually(lambda: none_left(there))
    assert len(there.ours(SAM_ID)) == 1
    assert not there.saying(UNKNOWN)


async def test_an_anonymous_admin_who_answers_gets_the_hint(there: TelegramHouse) -> None:
    task = await asked(there)
    told = await there.card_with(" asks ")
    anonymous = there.telegram.add_user(1087968824, "Group", username="GroupAnonymousBot")
    there.telegram.join(GROUP, anonymous)
    said = await there.telegram.say(GROUP, "Acme.", user=anonymous, reply_to=told)
    assert (await there.card_with(ANONYMOUS)).reply_to == said.id
    assert (await question(there, task)).reply is None


@pytest.mark.parametrize("words", ["Which one?", ""])
async def test_people_may_talk_below_a_question_without_a_word_of_ours(
    there: TelegramHouse, words: str
) -> None:
    """Also with a picture. Whom we may not write to is told in the group or not at all."""
    task = await asked(there)
    told = await there.card_with(" asks ")
    await there.telegram.say(GROUP, words, user=BEN_ID, reply_to=told)
    await there.telegram.say(GROUP, "/back", user=BEN_ID)
    await there.card_with("You were not away.")
    await eventually(lambda: none_left(there))
    assert len(there.ours()) == 3, "the card, the question, and an answer to the command"
    assert (await question(there, task)).reply is None


async def test_an_answer_without_words_is_asked_for_in_words(there: TelegramHouse) -> None:
    task = await asked(there)
    told = await there.card_with(" asks ")
    said = await there.telegram.say(GROUP, "", user=SAM_ID, reply_to=told)
    assert (await there.card_with(IN_WORDS)).reply_to == said.id
    assert (await question(there, task)).reply is None


# A dialog


async def test_a_press_on_a_question_that_is_about_to_be_kept_counts(there: TelegramHouse) -> None:
    task = await there.house.submit()
    there.house.store.slow_dialogs = asyncio.Event()
    first = there.telegram.tap(await there.card(), "Reject…", user=ANA_ID)
    why = await seen(there, "why do you reject")
    press = there.telegram.tap(why, "No reason", user=ANA_ID)
    await there.telegram.say(GROUP, "/back", user=BEN_ID)
    await there.card_with("You were not away.")  # by then both are under way
    assert not press.answered
    there.house.store.slow_dialogs.set()
    await press.wait(5)
    assert press.text == "Rejected."
    await first.wait(5)
    assert (await decided(there, task)).verdict is Verdict.REJECT


async def test_words_for_a_question_that_is_about_to_be_kept_count(there: TelegramHouse) -> None:
    task = await there.house.submit()
    there.house.store.slow_dialogs = asyncio.Event()
    there.telegram.tap(await there.card(), "Reject…", user=ANA_ID)
    why = await seen(there, "why do you reject")
    await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=why)
    await there.telegram.say(GROUP, "/back", user=BEN_ID)
    await there.card_with("You were not away.")
    there.house.store.slow_dialogs.set()
    assert (await decided(there, task)).comment == "too long"


async def test_a_question_that_cannot_be_kept_is_taken_away_and_not_asked_again_and_again(
    there: TelegramHouse,
) -> None:
    task = await there.house.submit()
    card = await there.card()
    there.house.store.has_no_room = True
    press = await there.telegram.press(card, "Reject…", user=ANA_ID)
    assert (press.text, press.show_alert) == (NOT_KEPT, True)
    await eventually(lambda: none_left(there))
    assert there.ours() == [card]
    there.house.store.has_no_room = False
    await there.telegram.press(card, "Reject…", user=ANA_ID)
    await there.telegram.press(await seen(there, "why do you reject"), "No reason", user=ANA_ID)
    assert (await decided(there, task)).verdict is Verdict.REJECT


async def test_a_button_under_a_question_that_is_over_says_so_at_once(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    why = await seen(there, "why do you reject")
    await there.telegram.press(why, "Cancel", user=ANA_ID)
    again = await there.telegram.press_raw(why.button("Cancel")["callback_data"], user=ANA_ID, message=why)
    assert again.text == OVER
    assert await decisions(there, task) == ()


# A card


async def test_a_command_in_reply_to_a_card_that_is_not_known_yet_is_about_that_card(
    there: TelegramHouse,
) -> None:
    await there.house.submit("the first", flow="lenient")
    await there.card()
    there.house.store.slow_notes = asyncio.Event()
    second = await there.house.submit("the second", flow="lenient")
    card = await seen(there, "the second")
    await there.telegram.say(GROUP, "/looking", user=ANA_ID, reply_to=card)
    await there.telegram.until(lambda: there.saying("you are looking at attempt 1 of the second"))
    await there.telegram.say(GROUP, "ok", user=ANA_ID, reply_to=card)
    told = await there.telegram.until(lambda: there.ours(ANA_ID)[0])
    assert told is not None
    assert told.text == named(there, WORDS_DECIDE_NOTHING, second)
    there.house.store.slow_notes.set()
