"""Answers to presses: in the webhook's answer while that waits, by a call afterwards, and never both."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from telegram import Bot, CallbackQuery, User
from telegram.error import BadRequest

from bot.telegram.answers import Answers


class Telegram:
    """Where calls go; they fail where `is_late`."""

    def __init__(self, *, is_late: bool = False) -> None:
        self.heard: list[tuple[str, str | None]] = []
        self._is_late = is_late

    async def answer_callback_query(self, callback_query_id: str, text: str | None, **_: Any) -> bool:
        if self._is_late:
            raise BadRequest("query is too old")
        self.heard.append((callback_query_id, text))
        return True

    def press(self) -> CallbackQuery:
        made = CallbackQuery("7", User(42, "Ana", is_bot=False), "1")
        made.set_bot(cast("Bot", self))
        return made


async def test_what_is_said_in_time_is_said_once() -> None:
    telegram, answers = Telegram(), Answers()
    waiting = asyncio.create_task(answers.to("7"))
    await asyncio.sleep(0)
    await answers.give(telegram.press(), "Approved.", alert=True)
    assert await waiting == {
        "method": "answerCallbackQuery",
        "callback_query_id": "7",
        "text": "Approved.",
        "show_alert": True,
    }
    assert telegram.heard == []


async def test_what_is_said_later_is_a_call() -> None:
    telegram, answers = Telegram(), Answers(seconds=0)
    assert await answers.to("7") is None
    await answers.give(telegram.press(), "Approved.", alert=False)
    assert telegram.heard == [("7", "Approved.")]


async def test_where_no_webhook_waits_it_is_a_call() -> None:
    telegram, answers = Telegram(), Answers()
    await answers.give(telegram.press(), None, alert=False)
    assert telegram.heard == [("7", None)]


async def test_a_press_to_which_nothing_is_said_holds_up_no_webhook() -> None:
    answers = Answers()
    waiting = asyncio.create_task(answers.to("7"))
    await asyncio.sleep(0)
    answers.nothing_more("7")
    assert await waiting is None
    answers.nothing_more("7")


async def test_an_answer_that_comes_too_late_harms_nobody() -> None:
    await Answers().give(Telegram(is_late=True).press(), "Approved.", alert=False)


async def test_who_waits_no_longer_for_the_same_press_is_let_go() -> None:
    telegram, answers = Telegram(), Answers()
    first = asyncio.create_task(answers.to("7"))
    await asyncio.sleep(0)
    second = asyncio.create_task(answers.to("7"))
    assert await first is None
    await answers.give(telegram.press(), None, alert=False)
    assert await second == {"method": "answerCallbackQuery", "callback_query_id": "7"}


async def test_an_answer_in_the_moment_in_which_the_wait_ends_is_not_lost() -> None:
    """Whatever comes first, it is said once."""
    for turns in range(6):
        telegram, answers = Telegram(), Answers(seconds=0)
        waiting = asyncio.create_task(answers.to("7"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await answers.give(telegram.press(), None, alert=False)
        assert [bool(await waiting), *telegram.heard] in ([True], [False, ("7", None)])
