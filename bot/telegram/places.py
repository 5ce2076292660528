"""Where messages stand in Telegram, in core's notation: `CHAT/MESSAGE`; and who there is nobody.

The address of a recipient is `CHAT` or, in a forum, `CHAT/TOPIC`, the topic being its message_thread_id. A
forum's general topic has none: it is the chat itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telegram import Message
from telegram.constants import ChatID

from bot.telegram.updates import TELEGRAM
from core.model import MessageRef, Recipient

if TYPE_CHECKING:
    from telegram import MaybeInaccessibleMessage, User


NOBODY = frozenset({ChatID.ANONYMOUS_ADMIN, ChatID.FAKE_CHANNEL, ChatID.SERVICE_CHAT})
"""Accounts that stand for somebody whom Telegram does not name."""


class Place(NamedTuple):
    """A recipient's address, taken apart."""

    chat: int | str
    """A number, or a public channel's `@name`, which Telegram takes as well."""
    topic: int | None

    @property
    def is_private(self) -> bool:
        """Groups and channels have negative ids, or names."""
        return isinstance(self.chat, int) and self.chat > 0


def place_of(address: str) -> Place:
    chat, _, topic = address.partition("/")
    return Place(chat if chat.startswith("@") else int(chat), int(topic) if topic else None)


def address_of(message: MaybeInaccessibleMessage) -> str:
    """Of the place that a message stands in."""
    topic = topic_of(message)
    return f"{message.chat.id}" if topic is None else f"{message.chat.id}/{topic}"


def topic_of(message: MaybeInaccessibleMessage) -> int | None:
    """The forum topic; the general one has none."""
    is_in_topic = isinstance(message, Message) and message.is_topic_message
    return message.message_thread_id if is_in_topic and isinstance(message, Message) else None


def is_anonymous(user: User) -> bool:
    return user.id in NOBODY or user.is_bot


def is_somebody(message: Message) -> bool:
    """Whether Telegram names the person who wrote it."""
    user = message.from_user
    return user is not None and message.sender_chat is None and not is_anonymous(user)


def ref(chat_id: int, message_id: int) -> MessageRef:
    return MessageRef(f"{chat_id}/{message_id}")


def ref_of(message: MaybeInaccessibleMessage) -> MessageRef:
    """Also of a message that Telegram no longer shows us."""
    return ref(message.chat.id, message.message_id)


def copy_of(message: MaybeInaccessibleMessage | None) -> tuple[Recipient, MessageRef] | None:
    """A card as core knows its copies; None where Telegram does not say which it is."""
    if message is None:
        return None
    return Recipient(channel=TELEGRAM, address=address_of(message)), ref_of(message)


def parts(message: MessageRef) -> tuple[int, int]:
    """Chat and message id."""
    chat_id, _, message_id = message.partition("/")
    return int(chat_id), int(message_id)
