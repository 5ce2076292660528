"""Somebody taps a button that asks again before they have answered: the question stands there once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bot.simulator.faults import Fault
from bot.telegram.desk import AGAIN, ASKED_ALREADY
from tests.bot import telegram_fixtures
from tests.bot.telegram_house import ANA_ID, BEN_ID, GROUP, TelegramHouse

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message

there, polling = telegram_fixtures.there, telegram_fixtures.polling

BUTTONS = {"Reject…": "draft", "Edit…": "draft", "Ask…": "draft", "Approve…": "destructive"}


async def carded(there: TelegramHouse, flow: str) -> Message:
    await there.house.submit(flow=flow)
    return await there.card()


@pytest.mark.parametrize("label", BUTTONS)
async def test_a_double_tap_asks_once(there: TelegramHouse, label: str) -> None:
    card = await carded(there, BUTTONS[label])
    press = there.telegram.press
    answers = await asyncio.gather(*(press(card, label, user=ANA_ID) for _ in range(3)))
    assert sorted(one.text or "" for one in answers) == ["", ASKED_ALREADY, ASKED_ALREADY]
    assert len(there.ours(GROUP)) == 2, "the card and one question"
    assert not any(one.show_alert for one in answers)


async def test_another_button_and_another_person_are_asked(polling: TelegramHouse) -> None:
    there = polling
    card = await carded(there, "destructive")
    for number, (label, user) in enumerate([("Reject…", ANA_ID), ("Ask…", ANA_ID), ("Reject…", BEN_ID)]):
        assert not (await there.telegram.press(card, label, user=user)).text
        assert len(there.ours(GROUP)) == number + 2


async def test_later_it_is_asked_again(polling: TelegramHouse) -> None:
    """Whoever does not find the question any more presses again."""
    there = polling
    card = await carded(there, "draft")
    await there.telegram.press(card, "Reject…", user=ANA_ID)
    there.house.clock.advance(seconds=AGAIN.total_seconds())
    assert not (await there.telegram.press(card, "Reject…", user=ANA_ID)).text
    assert len(there.ours(GROUP)) == 3


async def test_it_is_asked_again_as_soon_where_the_clock_is_set_back(polling: TelegramHouse) -> None:
    there = polling
    card = await carded(there, "draft")
    await there.telegram.press(card, "Reject…", user=ANA_ID)
    there.house.clock.advance(hours=-6)
    assert (await there.telegram.press(card, "Reject…", user=ANA_ID)).text == ASKED_ALREADY
    there.house.clock.advance(seconds=AGAIN.total_seconds())
    assert not (await there.telegram.press(card, "Reject…", user=ANA_ID)).text


async def test_once_it_is_answered_it_is_asked_again_at_once(polling: TelegramHouse) -> None:
    there = polling
    card = await carded(there, "destructive")
    await there.telegram.press(card, "Approve…", user=ANA_ID)
    question = await there.card_with("do you approve attempt 1 of ")
    await there.telegram.press(question, "Cancel", user=ANA_ID)
    assert not (await there.telegram.press(card, "Approve…", user=ANA_ID)).text
    assert [one.id > question.id for one in there.ours(GROUP)] == [False, True], "the card, and anew"


async def test_what_could_not_be_asked_is_asked_again_at_once(polling: TelegramHouse) -> None:
    there = polling
    card = await carded(there, "draft")
    there.telegram.faults.add(Fault(method="sendMessage", status=502))
    assert "could not ask" in ((await there.telegram.press(card, "Reject…", user=ANA_ID)).text or "")
    assert not (await there.telegram.press(card, "Reject…", user=ANA_ID)).text
    assert len(there.ours(GROUP)) == 2
