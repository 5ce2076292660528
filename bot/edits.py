"""What somebody's edit changes, and what comes of it, before they say that they want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.differences import unified
from core.model import Party, text_of

if TYPE_CHECKING:
    from core.model import Json, ReviewRequest

UNDECIDED = "Nothing is decided until you confirm."


def difference(draft: Json, content: Json) -> str:
    """Line by line, as `diff -u` shows it; a line ends at a line feed only, so that every change shows."""
    before, now = text_of(draft).split("\n"), text_of(content).split("\n")
    lines = unified(before, now)
    if lines is None:
        return "\n".join([*(f"-{line}" for line in before), *(f"+{line}" for line in now)])
    return "\n".join(lines[2:])


def consequence(review: ReviewRequest) -> str:
    """What follows from a confirmed edit, as a sentence."""
    policy = review.policy
    if policy.approvals > 1:
        return f"{policy.approvals} people have to approve, so your text becomes the next attempt."
    if Party.EDITOR in policy.distinct_from:
        return "Somebody else has to approve it, so your text becomes the next attempt."
    return "Then your text is approved in place of the draft."
