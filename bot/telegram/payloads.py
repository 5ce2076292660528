"""What Telegram sends, as far as we read it: checked before python-telegram-bot sees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.menu import Word
from bot.reception import Asked

if TYPE_CHECKING:
    from telegram import CallbackQuery

DECISIONS = ("approve", "reject")
"""Words that decide nothing here, and are told so."""
COMMANDS = ("start", "help", *Asked, *Word, "away", "back", *DECISIONS)
PREFIX = "/"
COMMAND = re.compile(rf"^{PREFIX}({'|'.join(COMMANDS)})(?:@(\w+))?(?:\s+(.*))?$", re.IGNORECASE | re.DOTALL)
"""A command of ours, whose name may follow it, and the rest."""

PRIVATE = "private"
"""The type of a chat between one person and the bot (Bot API, Chat)."""

Id = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Date = Annotated[int, Field(ge=0, lt=2**35)]


class Shape(BaseModel):
    """python-telegram-bot takes anything for an update and fails on it somewhere; so we check first, and hand
    on only what we read."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class UserShape(Shape):
    id: Id
    is_bot: bool = False
    first_name: str = ""
    username: str | None = None


class ChatShape(Shape):
    id: Id
    type: str


class ButtonShape(Shape):
    text: str
    callback_data: str | None = None


class KeyboardShape(Shape):
    inline_keyboard: list[list[ButtonShape]]


class PostedShape(Shape):
    message_id: Id
    chat: ChatShape
    date: Date = 0
    sender: UserShape | None = Field(None, alias="from")


class RepliedShape(PostedShape):
    reply_markup: KeyboardShape | None = None


class MessageShape(PostedShape):
    text: str | None = None
    sender_chat: ChatShape | None = None
    message_thread_id: Id | None = None
    is_topic_message: bool | None = None
    reply_to_message: RepliedShape | None = None
    migrate_to_chat_id: Id | None = None
    forward_origin: Any = None
    forward_date: Any = None
    """What Bot API servers before 7.0 say in its place."""

    @property
    def is_forwarded(self) -> bool:
        """Who forwards shows somebody's words, and says none of their own."""
        return not (self.forward_origin is None and self.forward_date is None)

    def is_to(self, bot: int) -> bool:
        """Whether it may be: whose message it replies to, Telegram does not always say."""
        above = self.reply_to_message
        if above is not None and (above.sender is None or above.sender.id == bot):
            return True
        return self.text is not None and (self.chat.type == PRIVATE or bool(COMMAND.match(self.text)))


class PressedShape(MessageShape):
    reply_markup: Any = None
    """As it came: read by `tokens_shown` alone, where it is asked for."""


class QueryShape(Shape):
    id: str
    sender: UserShape = Field(alias="from")
    message: PressedShape | None = None
    data: str | None = None
    chat_instance: str = ""


class UpdateShape(Shape):
    update_id: Id
    message: MessageShape | None = None
    callback_query: QueryShape | None = None

    def concerns(self, bot: int) -> bool:
        """Presses, replies to this bot's messages, our commands, what is written to it alone, not forwarded,
        and that a group has moved.

        What people tell each other is not even stored: in a forum all of it replies to its topic's first.
        """
        said = self.message
        is_for_us = said is not None and (
            said.migrate_to_chat_id or (not said.is_forwarded and said.is_to(bot))
        )
        return bool(self.callback_query or is_for_us)


KEYBOARD = "keyboard"
"""Where a `CallbackQuery` of ours keeps the pressed message's; absent where Telegram does not show it."""


def tokens_shown(query: CallbackQuery) -> tuple[str, ...] | None:
    """What the buttons of the pressed message carry by Telegram, whatever a client says that it pressed; None
    where Telegram tells only where it stands."""
    if KEYBOARD not in query.api_kwargs:
        return None
    try:
        keyboard = KeyboardShape.model_validate(query.api_kwargs[KEYBOARD])
    except ValidationError:
        return ()
    buttons = (button for row in keyboard.inline_keyboard for button in row)
    return tuple(button.callback_data for button in buttons if button.callback_data)


class Unreadable(Exception):
    """Not an update; `update_id` is its id where it has one."""

    def __init__(self, update_id: int | None) -> None:
        super().__init__("not an update")
        self.update_id = update_id


def shape_of(raw: object) -> UpdateShape:
    """Raises `Unreadable`."""
    try:
        return UpdateShape.model_validate(raw)
    except ValidationError:
        raise Unreadable(_id_of(raw)) from None


def _id_of(raw: object) -> int | None:
    update_id = raw.get("update_id") if isinstance(raw, dict) else None
    return update_id if type(update_id) is int and -(2**63) <= update_id < 2**63 else None


def sender_of(raw: object) -> int | None:
    """Who says that, where an update tells it, as it came."""
    body = (raw.get("callback_query") or raw.get("message")) if isinstance(raw, dict) else None
    sender = body.get("from") if isinstance(body, dict) else None
    user = sender.get("id") if isinstance(sender, dict) else None
    return user if type(user) is int else None
