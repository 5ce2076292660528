"""Questions that ask why, or for words, as messages. They name whom they ask: all in the chat see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram import ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity

from bot.buttons import CHOICES, Action
from bot.cards import IRREVOCABLE
from bot.edits import UNDECIDED
from bot.literal import clipped, excerpt
from bot.markup import LIMIT, MISSING, TITLE, Span, joined, theirs
from core.literal import literal, utf16
from core.model import text_of

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


def are_you_sure(review: ReviewRequest, user: User, buttons: Buttons) -> Markup:
    """Whether somebody means to approve what cannot be undone."""
    row = [
        InlineKeyboardButton(label, callback_data=buttons.token(review.id, review.attempt, action))
        for label, action in (("Approve", Action.CONFIRM), ("Cancel", Action.NEVER_MIND))
    ]
    spans = [
        _mention(user),
        Span(text=f", do you approve attempt {review.attempt} of "),
        theirs(review.task.title, TITLE),
        Span(text=f"? {IRREVOCABLE}"),
    ]
    return joined(spans, keyboard=InlineKeyboardMarkup([row]))


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
    ending = f"? Reply to this message within {MINUTES} minutes, with “cancel” if nothing shall happen."
    return joined([*_opening(review, user, verdict), Span(text=ending)])


def reply_field(placeholder: str) -> ForceReply:
    """The placeholder has at most 64 characters (Bot API, ForceReply, input_field_placeholder)."""
    return ForceReply(selective=True, input_field_placeholder=placeholder)


def request_for_text(review: ReviewRequest, user: User, url: str) -> Markup:
    """Likewise; the draft is there to be copied, where it fits and a copy of it is the draft; else its page's
    `url` is."""
    kind = "text" if isinstance(review.draft, str) else "JSON"
    before = f", send the whole new {kind} of attempt {review.attempt} of "
    after = f" as a reply to this message within {MINUTES} minutes. {UNDECIDED}"
    spans = [_mention(user), Span(text=before), theirs(review.task.title, TITLE), Span(text=after)]
    draft = text_of(review.draft)
    room = LIMIT - sum(utf16(span.text) for span in spans) - len(_COPY)
    if not draft.strip():
        return joined(spans)
    if utf16(draft) <= room and literal(draft) == draft:
        return joined([*spans, Span(text=_COPY), Span(text=draft, kind=MessageEntity.PRE)])
    return joined([*spans, Span(text=f"{_ELSEWHERE}{url}")])


_COPY = " Copy it from here:\n"
_ELSEWHERE = " It is too long to be copied here, or has characters that cannot be seen; its page has it:\n"


def request_for_question(review: ReviewRequest, user: User) -> Markup:
    """Likewise."""
    return joined(
        [
            _mention(user),
            Span(text=", what do you want to ask "),
            theirs(review.task.submitter_name),
            Span(text=f" about attempt {review.attempt} of "),
            theirs(review.task.title, TITLE),
            Span(text=f"? Reply to this message within {MINUTES} minutes. It decides nothing."),
        ]
    )


def proposal(
    review: ReviewRequest, user: User | None, buttons: Buttons, *, changes: str, note: str, url: str
) -> Markup:
    """What an edit changes, with the buttons that decide; at most `LIMIT` units, whatever it changes."""
    whom = [_mention(user), Span(text=", your")] if user else [Span(text="Your")]
    head = [
        *whom,
        Span(text=f" edit changes attempt {review.attempt} of "),
        theirs(review.task.title, TITLE),
        Span(text=":\n"),
    ]
    tail = [Span(text=f"\n{note}\n{url}")]
    room = LIMIT - sum(utf16(span.text) for span in (*head, *tail)) - MISSING
    shown = excerpt(changes, room)
    cut = f"\nCut off here: {shown.missing:,} more characters of changes." if shown.missing else ""
    body = [Span(text=shown.text, kind=MessageEntity.PRE), Span(text=cut)]
    row = [
        InlineKeyboardButton(label, callback_data=buttons.token(review.id, review.attempt, action))
        for label, action in (("Confirm", Action.CONFIRM), ("Discard", Action.NEVER_MIND))
    ]
    return joined([*head, *body, *tail], keyboard=InlineKeyboardMarkup([row]))


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
