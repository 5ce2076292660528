"""The simulated Telegram, driven by the real python-telegram-bot."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from telegram import Bot, ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, Conflict, InvalidToken, NetworkError, TimedOut
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, MessageHandler, filters
from telegram.request import HTTPXRequest

from bot.simulator.telegram import TelegramSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from telegram.ext import ContextTypes

GROUP = -1001


def keyboard(*labels: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=label.lower()) for label in labels]]
    )


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator() as simulator:
        ana = simulator.add_user(42, "Ana", username="ana_ruiz")
        ben = simulator.add_user(43, "Ben")
        simulator.add_chat(GROUP, title="Reviews", members=[ana, ben])
        yield simulator


@pytest.fixture
async def bot(telegram: TelegramSimulator) -> AsyncIterator[Bot]:
    async with connected(telegram) as client:
        yield client


@asynccontextmanager
async def connected(telegram: TelegramSimulator, token: str | None = None) -> AsyncIterator[Bot]:
    client = Bot(token or telegram.token, base_url=telegram.api_url, base_file_url=telegram.file_url)
    async with client:
        yield client


async def test_a_bot_posts_edits_and_is_pressed(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.send_message(
        GROUP, "<b>Refund</b> & more", parse_mode="HTML", reply_markup=keyboard("Approve", "Reject")
    )
    card = telegram.messages(GROUP)[-1]
    assert (card.text, card.labels) == ("Refund & more", ("Approve", "Reject"))
    press = telegram.tap(card, "Approve", user=42)
    updates = await bot.get_updates(timeout=5)
    query = updates[0].callback_query
    assert query is not None
    await query.answer("done", show_alert=True)
    await query.edit_message_text("Approved by Ana")
    assert (press.answered, press.text, press.show_alert) == (True, "done", True)
    assert telegram.messages(GROUP)[-1].labels == ()
