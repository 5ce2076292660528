"""What cannot be undone is approved by two presses of one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.answers import KEPT
from bot.buttons import Action
from bot.simulator.faults import Fault
from bot.telegram.desk import NO_QUESTION, OVER, UNCHANGED
from bot.telegram.edits import PRESS
from bot.telegram.prompts import MINUTES
from core.model import Verdict
from tests.bot import telegram_fixtures
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
from tests.world import ANA, BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.model import Task
    from core.store.database import Database
    from tests.world import StoppedClock

NEWS = -1009
there, polling = telegram_fixtures.there, telegram_fixtures.polling


async def asked_whether_sure(there: TelegramHouse, text: str = "hello") -> tuple[Task, Message]:
    task = await there.house.submit(text, flow="destructive")
    await there.telegram.press(await there.card(), "Approve…", user=ANA_ID)
    return task, await there.card_with("do you approve attempt 1 of ")


async def test_the_second_press_decides(there: TelegramHouse) -> None:
    task, prompt = await asked_whether_sure(there)
    card = await there.card()
    assert prompt.reply_to == card.id
    assert prompt.text == "@ana, do you approve attempt 1 of hello? What follows cannot be undone."
    assert prompt.labels == ("Approve", "Cancel")
    assert await decisions(there, task) == (), "asking is not deciding"
    press = await there.telegram.press(prompt, "Approve", user=ANA_ID)
    assert (press.text, press.show_alert) == ("Approved.", False)
    (made,) = await decisions(there, task)
    assert (made.reviewer, made.verdict, made.via) == (ANA.id, Verdict.APPROVE, "telegram")
    await there.gone(prompt)
    there.house.clock.advance(seconds=10)
    assert (await there.card_with("Approved by Ana Ruiz")).labels == ()


async def test_who_thinks_better_of_it_changes_nothing(there: TelegramHouse) -> None:
    task, prompt = await asked_whether_sure(there)
    assert (await there.telegram.press(prompt, "Cancel", user=ANA_ID)).text == UNCHANGED
    await there.gone(prompt)
    assert await decisions(there, task) == ()
    assert (await there.telegram.press(prompt, "Approve", user=ANA_ID)).text == OVER
    assert await decisions(there, task) == ()


async def test_only_who_was_asked_answers_and_by_a_press(polling: TelegramHouse) -> None:
    there = polling
    task, prompt = await asked_whether_sure(there)
    press = await there.telegram.press(prompt, "Approve", user=BEN_ID)
    assert (press.text, press.show_alert) == ("Only Ana Ruiz can answer this question.", True)
    await there.telegram.say(GROUP, "approve", user=ANA_ID, reply_to=prompt)
    told = await there.telegram.until(lambda: there.telegram.messages(ANA_ID)[-1])
    assert told.text == named(there, PRESS, task)
    assert await decisions(there, task) == ()


async def test_pressed_twice_it_decides_once(there: TelegramHouse) -> None:
    task, prompt = await asked_whether_sure(there)
    for _ in range(2):
        there.telegram.tap(prompt, "Approve", user=ANA_ID)
    assert (await decided(there, task)).reviewer == ANA.id
    await there.gone(prompt)


async def test_a_press_that_cannot_be_stored_now_leaves_the_question_and_counts_later(
    there: TelegramHouse,
) -> None:
    task, prompt = await asked_whether_sure(there)
    there.house.service.is_down = True
    assert (await there.telegram.press(prompt, "Approve", user=ANA_ID)).text == KEPT
    there.house.service.is_down = False

    async def is_counted() -> bool:
        there.house.clock.advance(seconds=2)
        return bool(await decisions(there, task))

    await eventually(is_counted)
    assert (await decided(there, task)).reviewer == ANA.id


@pytest.mark.parametrize("action", [Action.REJECT_PLAINLY, Action.GIVE_REASON, Action.CHOOSE])
async def test_no_other_button_is_taken_for_the_second_press(polling: TelegramHouse, action: Action) -> None:
    """A client may send any of ours with it."""
    there = polling
    task, prompt = await asked_whether_sure(there)
    token = there.house.buttons.token((await there.house.review(task)).id, 1, action)
    assert (await there.telegram.press_raw(token, user=ANA_ID, message=prompt)).text == OVER
    assert await decisions(there, task) == ()
    assert there.telegram.message(GROUP, prompt.id).labels == prompt.labels, "it can be answered still"


async def test_a_decision_in_between_is_told(polling: TelegramHouse) -> None:
    there = polling
    task, prompt = await asked_whether_sure(there)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    press = await there.telegram.press(prompt, "Approve", user=ANA_ID)
    assert press.text is not None
    assert press.text.startswith("Already approved by Ben Okri at ")
    await there.gone(prompt)


async def test_who_may_not_decide_is_not_asked(polling: TelegramHouse) -> None:
    there = polling
    await there.house.submit(flow="destructive")
    press = await there.telegram.press(await there.card(), "Approve…", user=SAM_ID)
    assert press.text == "You are not among the reviewers of this task. Ana Ruiz and Ben Okri can decide."
    assert there.saying("do you approve") == []


async def test_the_question_outlives_a_restart_and_its_time_does_not(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            task, prompt = await asked_whether_sure(there)
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            clock.advance(minutes=MINUTES)
            assert (await telegram.press(prompt, "Approve", user=ANA_ID)).text == OVER
            assert await decisions(there, task) == ()
            await telegram.press(await there.card(), "Approve…", user=ANA_ID)
            again = await there.telegram.until(lambda: there.saying("do you approve")[-1])
            await telegram.press(again, "Approve", user=ANA_ID)
            assert (await decided(there, task)).reviewer == ANA.id


async def test_where_nobody_can_be_asked_nothing_is_decided(polling: TelegramHouse) -> None:
    there = polling
    task = await there.house.submit(flow="destructive")
    card = await there.card()
    there.telegram.faults.add(Fault(method="sendMessage", status=502))
    press = await there.telegram.press(card, "Approve…", user=ANA_ID)
    assert (press.text, press.show_alert) == (NO_QUESTION, True)
    assert await decisions(there, task) == ()


@pytest.mark.parametrize("has_started", [True, False])
async def test_in_a_channel_it_is_asked_in_private_where_that_is_possible(
    sqlite_database: Database, clock: StoppedClock, *, has_started: bool
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(NEWS, "channel", "News", [ANA_ID, BEN_ID])
        if not has_started:
            telegram.block_bot(ANA_ID)
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=NEWS
        ) as there:
            task = await there.house.submit(flow="destructive")
            await telegram.press(await there.card(chat=NEWS), "Approve…", user=ANA_ID)
            place = ANA_ID if has_started else NEWS
            prompt = await there.card_with("do you approve attempt 1 of ", chat=place)
            await telegram.press(prompt, "Approve", user=ANA_ID)
            assert (await decided(there, task)).reviewer == ANA.id
            assert len(there.ours(NEWS)) == 1, "the question has gone"
