"""The questions that ask why, as messages. They name whom they ask: everybody in the chat sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram import ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity

from bot.buttons import CHOICES, Action
from bot.literal import clipped
from bot.markup import TITLE, Span, joined, theirs

if TYPE_CHECKING:
    from telegram import User

    from bot.buttons import Buttons, Press
    from bot.markup import Markup
    from core.model import ReviewRequest, Verdict

MINUTES = 30
"""How long a question waits for its answer."""

LABEL = 60
"""Characters of a button that quotes a reason; a phone shows about so many."""


def question(
    review: ReviewRequest, said: Press, user: User, buttons: Buttons, *, verdict: Verdict, may_write: bool
) -> Markup:
    """A reply to it is the reason; `may_write` is False where Telegram knows no ForceReply."""
    choices = {
        "No reason": Action.REJECT_PLAINLY,
        "Give a reason": Action.GIVE_REASON,
        "Cancel": Action.NEVER_MIND,
    }
    if review.policy.asks_why(verdict):
        del choices["No reason"]
    if not may_write:
        del choices["Give a reason"]
    row = [
        InlineKeyboardButton(label, callback_data=buttons.token(said.review, said.attempt, action))
        for label, action in choices.items()
    ]
    ending = "? Reply to this message with a reason, or press a button." if may_write else "?"
    return joined(
        [*_opening(review, user, verdict), Span(text=ending)],
        keyboard=InlineKeyboardMarkup([*_reasons(review, said, buttons), row]),
    )


def _reasons(review: ReviewRequest, said: Press, buttons: Buttons) -> list[list[InlineKeyboardButton]]:
    """The policy's own, one below the other."""
    return [
        [
            InlineKeyboardButton(
                clipped(reason, LABEL),
                callback_data=buttons.token(said.review, said.attempt, Action.CHOOSE, number),
            )
        ]
        for number, reason in enumerate(review.policy.quick_reasons[:CHOICES])
    ]


def request_for_reason(review: ReviewRequest, user: User, verdict: Verdict) -> Markup:
    """To be sent with `reply_field`, which opens the reply field of the person whom the text mentions."""
    ending = f"? Reply to this message within {MINUTES} minutes."
    return joined([*_opening(review, user, verdict), Span(text=ending)])


def reply_field(verdict: Verdict) -> ForceReply:
    """Its placeholder has at most 64 characters (Bot API, ForceReply, input_field_placeholder)."""
    return ForceReply(selective=True, input_field_placeholder=f"Why do you {verdict} it?")


def _opening(review: ReviewRequest, user: User, verdict: Verdict) -> tuple[Span, ...]:
    return (
        _mention(user),
        Span(text=f", why do you {verdict} attempt {review.attempt} of "),
        theirs(review.task.title, TITLE),
    )


def _mention(user: User) -> Span:
    """A username mentions by itself; without one only an entity does."""
    if user.username:
        return Span(text=f"@{user.username}")
    name = theirs(user.first_name or str(user.id))
    return Span(text=name.text, kind=MessageEntity.TEXT_MENTION, user=user)
