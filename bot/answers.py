"""Core's refusals as the one sentence that the person who pressed reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.literal import clipped
from core.errors import (
    AlreadyAnswered,
    AlreadyDecided,
    ConfirmOnPage,
    CountersignError,
    Invalid,
    KeyReused,
    NotAReviewer,
    NotFound,
    NotTheSubmitter,
    NotWaiting,
    NotYourTurn,
    Overloaded,
    ReviewIsClosed,
    SelfReview,
    StoreUnavailable,
    TaskIsClosed,
    Unavailable,
)
from core.explaining import progress
from core.model import Verdict

if TYPE_CHECKING:
    from core.model import ReviewRequest

LIMIT = 200
"""Characters of a private answer (Telegram Bot API, answerCallbackQuery; Slack takes more)."""

STRANGER = "Nothing was changed: people are known here by their id, and nobody is listed under yours, {}."
STRANGER_ASKS = "People are known here by their id, and nobody is listed under yours, {}."
WHO_TO_ADD = " Say “{}whoami” for the lines that make you known."
ANONYMOUS = "Nothing was changed: you act as an anonymous admin. Turn that off, then try again."
UNREADABLE = "Nothing was changed: this button cannot be read. Please use the task's page instead."
NOT_RECORDED = "This could not be recorded, and nothing was changed: the database is down. Please try again."
MAYBE = "The database is slow: this may not have been recorded. Please look at the card in a moment."
SLOW = "The database is slow: this may not have been recorded. Please try again in a moment."
BEHIND = "What you did before this waits for the database. Your press is kept, and is handled right after it."
KEPT = "The database does not answer right now. Your press is kept and will be counted as soon as it does."

BROKEN = "A fault of ours: this may not be recorded. Please look at the task's page; the log says more."


class StillDeciding(CountersignError):
    """The platform waits no longer for the answer; the decision itself goes on."""


class OnThePage(Invalid):
    """This platform cannot do it; whoever is refused is given the page's address."""


SENTENCES: dict[type[CountersignError], str | None] = {
    NotAReviewer: None,
    SelfReview: None,
    AlreadyAnswered: None,
    AlreadyDecided: None,
    NotYourTurn: None,
    ConfirmOnPage: None,
    Invalid: None,
    KeyReused: "Nothing was changed: this dialog has sent another question before.",
    NotTheSubmitter: None,
    NotFound: "Nothing was changed: this review no longer exists.",
    NotWaiting: None,
    ReviewIsClosed: None,
    TaskIsClosed: "Nothing was changed: this task is over.",
    StoreUnavailable: NOT_RECORDED,
    Overloaded: NOT_RECORDED,
    Unavailable: NOT_RECORDED,
    StillDeciding: MAYBE,
    CountersignError: "Nothing was changed: this cannot be done.",
}
"""None: the error's own sentence, which core wrote for this person."""


def unlisted(identity: str | int, prefix: str, *, asks: bool = False) -> NotAReviewer:
    """The refusal of somebody whom we do not know, with how they become known.

    `prefix` is what commands begin with on the platform; who only `asks` would have changed nothing.
    """
    stranger = (STRANGER_ASKS if asks else STRANGER).format(identity)
    return NotAReviewer(stranger + WHO_TO_ADD.format(prefix))


def sentence(error: CountersignError) -> str:
    """At most `LIMIT` characters; the most specific class that the table knows speaks."""
    words = next(SENTENCES[cls] for cls in type(error).__mro__ if cls in SENTENCES)
    return clipped(words or str(error), LIMIT)


def thanks(review: ReviewRequest, verdict: Verdict) -> str:
    """What was just recorded."""
    if review.is_open and verdict is Verdict.APPROVE:
        return clipped(f"Recorded: {progress(review) or 'the review goes on'}.", LIMIT)
    if review.is_open:
        return "Your rejection is recorded; the review goes on."
    return _THANKS[verdict]


_THANKS = {
    Verdict.APPROVE: "Approved.",
    Verdict.REJECT: "Rejected.",
    Verdict.EDIT: "Your edit is recorded.",
}
