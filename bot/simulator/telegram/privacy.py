"""Which messages of people reach a bot in a group (Telegram's privacy mode)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.simulator.telegram.chats import PRESENT, ChatKind, Standing

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Chat, Message, State


def reaches_bot(state: State, chat: Chat, message: Message) -> bool:
    """Private chats and channels always, groups by the rules; never where the bot is not."""
    if chat.bot not in PRESENT:
        return False
    if chat.kind in {ChatKind.PRIVATE, ChatKind.CHANNEL} or chat.bot is Standing.ADMINISTRATOR:
        return True
    return not state.privacy or bool(message.service) or concerns_bot(state, chat, message)


def concerns_bot(state: State, chat: Chat, message: Message) -> bool:
    """A command (not one for another bot), a mention, or a reply to a message of the bot."""
    me = f"@{state.bot.username}".lower()
    marked = [
        (entity["type"], _slice(message.text, entity["offset"], entity["length"]).lower())
        for entity in message.entities
    ]
    is_addressed = any(
        (kind == "mention" and word == me)
        or (kind == "bot_command" and ("@" not in word or word.endswith(me)))
        for kind, word in marked
    )
    answered = chat.messages.get(message.reply_to or 0)
    return is_addressed or (answered is not None and answered.sender is state.bot)


def _slice(text: str, offset: int, length: int) -> str:
    """Offset and length in UTF-16 units."""
    return text.encode("utf-16-le")[2 * offset : 2 * (offset + length)].decode("utf-16-le", "replace")
