"""The way to a text of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bot.telegram_house import (
    ANA_ID,
    GROUP,
    TelegramHouse,
)

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.model import Task


async def asked_for_text(there: TelegramHouse, flow: str = "draft", text: str = "hello world") -> Task:
    """A task whose new text Ana is asked for."""
    task = await there.house.submit(text, flow=flow)
    await there.telegram.press(await there.card(), "Edit…", user=ANA_ID)
    return task


async def prompt_of(there: TelegramHouse) -> Message:
    return await there.card_with("as a reply to this message within")


async def proposed(there: TelegramHouse, text: str, user: int = ANA_ID) -> Message:
    """The difference, after she replied with that."""
    prompt = await prompt_of(there)
    await there.telegram.say(GROUP, text, user=user, reply_to=prompt)
    shown = await there.card_with(" edit changes attempt ")
    await there.gone(prompt)  # which is after the press is waited for
    return shown
