"""Core's refusals as the one sentence that the person who pressed reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cards import clock_time
from bot.literal import clipped
from core.errors import (
    AlreadyDecided,
    CountersignError,
    Invalid,
    NotAReviewer,
    NotFound,
    NotWaiting,
    Overloaded,
    ReviewIsClosed,
    SelfReview,
    StoreUnavailable,
    TaskIsClosed,
    Unavailable,
)
from core.model import Outcome, Verdict

if TYPE_CHECKING:
    from core.model import ReviewRequest
    from core.service import Service

LIMIT = 200
"""Characters of a private answer (Telegram Bot API, answerCallbackQuery; Slack takes more)."""

STRANGER = "Nothing was changed: people are known here by their id, and nobody is listed under yours, {}."
ANONYMOUS = "Nothing was changed: you act as an anonymous admin. Turn that off, then press again."
UNREADABLE = "Nothing was changed: this button cannot be read. Please use the task's page instead."
NOT_RECORDED = "This could not be recorded, and nothing was changed: the database is down. Please try again."
KEPT = "The database does not answer right now. Your press is kept and will be counted as soon as it does."

SENTENCES: dict[type[CountersignError], str | None] = {
    NotAReviewer: None,
    SelfReview: None,
    AlreadyDecided: None,
    Invalid: None,
    NotFound: "Nothing was changed: this review no longer exists.",
    NotWaiting: "Nothing was changed: this task does not wait for a review.",
    ReviewIsClosed: "Nothing was changed: this review is closed.",
    TaskIsClosed: "Nothing was changed: this task is over.",
    StoreUnavailable: NOT_RECORDED,
    Overloaded: NOT_RECORDED,
    Unavailable: NOT_RECORDED,
    CountersignError: "Nothing was changed: this cannot be done.",
}
"""None: the error's own sentence, which core wrote for this person."""


def sentence(error: CountersignError) -> str:
    """At most `LIMIT` characters; the most specific class that the table knows speaks."""
    for cls in type(error).__mro__:
        if cls in SENTENCES:
            return clipped(SENTENCES[cls] or str(error), LIMIT)
    raise error


async def refusal(service: Service, error: CountersignError, review_id: str) -> str:
    """The sentence, with who was first, and when, where somebody was."""
    if not isinstance(error, ReviewIsClosed):
        return sentence(error)
    try:
        return closed(await service.review(review_id))
    except CountersignError:
        return sentence(error)


def closed(review: ReviewRequest) -> str:
    """Why nobody can decide this review any more."""
    if review.decisions and review.outcome in _DONE:
        last = review.decisions[-1]
        next_one = f" Attempt {review.superseded_by} took its place." if review.superseded_by else ""
        who = clipped(last.reviewer_name, 60)
        return f"Already {_DONE[review.outcome]} by {who} at {clock_time(last.at)}.{next_one}"
    if review.superseded_by is not None:
        return f"This is attempt {review.attempt}; attempt {review.superseded_by} took its place."
    return _CLOSED.get(review.outcome, SENTENCES[ReviewIsClosed]) or ""


def thanks(review: ReviewRequest, verdict: Verdict) -> str:
    """What was just recorded."""
    if review.is_open:
        given = sum(decision.verdict is Verdict.APPROVE for decision in review.decisions)
        return f"Recorded: {given} of {review.policy.approvals} approvals."
    return "Approved." if verdict is Verdict.APPROVE else "Rejected."


_DONE = {Outcome.APPROVED: "approved", Outcome.REJECTED: "rejected"}
_CLOSED = {
    Outcome.EXPIRED: "Nothing was changed: the time for this review is over.",
    Outcome.CANCELLED: "Nothing was changed: this task was called off.",
}
