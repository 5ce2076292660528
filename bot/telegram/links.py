"""Links to messages in Telegram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.telegram.places import parts

if TYPE_CHECKING:
    from core.model import MessageRef

SUPERGROUPS = -1_000_000_000_000
"""Ids of supergroups and channels lie below it; their links hold what is left without it."""


def message_link(message: MessageRef, _thread: MessageRef | None) -> str | None:
    """For the members of a supergroup or channel; None in other chats, whose messages have no links
    (core.telegram.org/api/links, "Message links"). A reply has the same link as any message."""
    chat, number = parts(message)
    return f"https://t.me/c/{SUPERGROUPS - chat}/{number}" if chat < SUPERGROUPS else None


def private_chat(bot_name: str) -> str:
    """Where one opens a private chat with the bot, and may press Start."""
    return f"https://t.me/{bot_name}"
