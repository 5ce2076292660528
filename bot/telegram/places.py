"""Where messages stand in Telegram, in core's notation: `CHAT/MESSAGE`; and who there is nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram.constants import ChatID

from bot.telegram.updates import TELEGRAM
from core.model import MessageRef, Recipient

if TYPE_CHECKING:
    from telegram import MaybeInaccessibleMessage, User


NOBODY = frozenset({ChatID.ANONYMOUS_ADMIN, ChatID.FAKE_CHANNEL, ChatID.SERVICE_CHAT})
"""Accounts that stand for somebody whom Telegram does not name."""


def is_anonymous(user: User) -> bool:
    return user.id in NOBODY or user.is_bot


def ref(chat_id: int, message_id: int) -> MessageRef:
    return MessageRef(f"{chat_id}/{message_id}")


def ref_of(message: MaybeInaccessibleMessage) -> MessageRef:
    """Also of a message that Telegram no longer shows us."""
    return ref(message.chat.id, message.message_id)


def copy_of(message: MaybeInaccessibleMessage | None) -> tuple[Recipient, MessageRef] | None:
    """A card as core knows its copies; None where Telegram does not say which it is."""
    if message is None:
        return None
    return Recipient(channel=TELEGRAM, address=str(message.chat.id)), ref_of(message)


def parts(message: MessageRef) -> tuple[int, int]:
    """Chat and message id."""
    chat_id, _, message_id = message.partition("/")
    return int(chat_id), int(message_id)
