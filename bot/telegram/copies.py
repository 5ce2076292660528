"""Which copy of a card was pressed, by what Telegram itself shows of it: a client can name any message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram import Message

from bot.buttons import Action
from bot.telegram.payloads import tokens_shown
from bot.telegram.places import copy_of, ref_of
from bot.telegram.updates import TELEGRAM

if TYPE_CHECKING:
    from telegram import CallbackQuery, MaybeInaccessibleMessage

    from bot.buttons import Buttons
    from core.model import MessageRef, Recipient, ReviewId
    from core.service import Service

    Copy = tuple[Recipient, MessageRef]

IN_QUESTIONS = frozenset(
    {Action.REJECT_PLAINLY, Action.GIVE_REASON, Action.NEVER_MIND, Action.CHOOSE, Action.CONFIRM}
)
"""Buttons of questions, and of nothing else."""


async def pressed_copy(query: CallbackQuery, of: ReviewId, service: Service) -> Copy | None:
    """The message with a card's button, which was pressed, where it has that one; where Telegram shows it no
    more, if it is known for a card of this review."""
    if query.message is None:
        return None
    tokens = tokens_shown(query)
    if tokens is None:
        known = await service.shown_at(TELEGRAM, ref_of(query.message))
        is_card = known is not None and known.id == of
    else:
        is_card = query.data in tokens
    return copy_of(query.message) if is_card else None


def quoted_copy(message: MaybeInaccessibleMessage | None, of: ReviewId, buttons: Buttons) -> Copy | None:
    """What a question stands below, where it has buttons of that review's cards."""
    if not isinstance(message, Message) or message.reply_markup is None:
        return None
    shown = [one.callback_data for row in message.reply_markup.inline_keyboard for one in row]
    presses = [press for token in shown if (press := buttons.read(token)) is not None]
    is_card = any(press.review == of and press.action not in IN_QUESTIONS for press in presses)
    return copy_of(message) if is_card else None
