"""The questions that follow Reject, as messages. They name whom they ask: everybody in the chat sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram import ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity

from bot.buttons import Action
from bot.markup import TITLE, Span, joined, theirs

if TYPE_CHECKING:
    from telegram import User

    from bot.buttons import Buttons, Press
    from bot.markup import Markup
    from core.model import ReviewRequest

MINUTES = 30
"""How long a question waits for its answer."""

_PLACEHOLDER = "Why do you reject it?"
"""At most 64 characters (Bot API, ForceReply, input_field_placeholder)."""


def question(review: ReviewRequest, said: Press, user: User, buttons: Buttons, *, may_write: bool) -> Markup:
    """A reply to it is the reason; `may_write` is False where Telegram knows no ForceReply."""
    choices = {
        "No reason": Action.REJECT_PLAINLY,
        "Give a reason": Action.GIVE_REASON,
        "Cancel": Action.NEVER_MIND,
    }
    if not may_write:
        del choices["Give a reason"]
    row = [
        InlineKeyboardButton(label, callback_data=buttons.token(said.review, said.attempt, action))
        for label, action in choices.items()
    ]
    ending = "? Reply to this message with a reason, or press a button." if may_write else "?"
    return joined([*_opening(review, user), Span(text=ending)], keyboard=InlineKeyboardMarkup([row]))


def request_for_reason(review: ReviewRequest, user: User) -> Markup:
    """To be sent with `FORCE_REPLY`, which opens the reply field of the person whom the text mentions."""
    ending = f"? Reply to this message within {MINUTES} minutes."
    return joined([*_opening(review, user), Span(text=ending)])


FORCE_REPLY = ForceReply(selective=True, input_field_placeholder=_PLACEHOLDER)


def _opening(review: ReviewRequest, user: User) -> tuple[Span, ...]:
    return (
        _mention(user),
        Span(text=f", why do you reject attempt {review.attempt} of "),
        theirs(review.task.title, TITLE),
    )


def _mention(user: User) -> Span:
    """A username mentions by itself; without one only an entity does."""
    if user.username:
        return Span(text=f"@{user.username}")
    name = theirs(user.first_name or str(user.id))
    return Span(text=name.text, kind=MessageEntity.TEXT_MENTION, user=user)
