"""A simulated Telegram with two people in a group, a channel and a group of the old kind, and a real client.

A module takes the fixtures that its tests ask for, as `bot = telegram_group.bot`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup

from bot.simulator.telegram import TelegramSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUP = -1001
CHANNEL = -1002
BASIC = -55
ANA, BEN = 42, 43


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator() as simulator:
        populate(simulator)
        yield simulator


def populate(simulator: TelegramSimulator) -> None:
    people = [
        simulator.add_user(ANA, "Ana", username="ana_ruiz", started=True),
        simulator.add_user(BEN, "Ben"),
    ]
    simulator.add_chat(GROUP, title="Reviews", members=people)
    simulator.add_chat(CHANNEL, "channel", title="News", members=people, username="the_news")
    simulator.add_chat(BASIC, "group", title="Old", members=people)


@asynccontextmanager
async def connected(telegram: TelegramSimulator, token: str | None = None) -> AsyncIterator[Bot]:
    client = Bot(token or telegram.token, base_url=telegram.api_url, base_file_url=telegram.file_url)
    async with client:
        yield client


@pytest.fixture
async def bot(telegram: TelegramSimulator) -> AsyncIterator[Bot]:
    async with connected(telegram) as client:
        yield client


def keyboard(*labels: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=label.lower()) for label in labels]]
    )
