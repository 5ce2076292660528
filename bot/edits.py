"""What somebody's edit changes, and what comes of it, before they say that they want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.changes import GAP
from core.differences import unified
from core.model import Party, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Json, ReviewRequest

UNDECIDED = "Nothing is decided until you confirm."


def difference(draft: Json, content: Json) -> str:
    """Line by line, as cards show it; but a line ends at a line feed only, so that every change shows."""
    before, now = text_of(draft).split("\n"), text_of(content).split("\n")
    lines = unified(before, now)
    if lines is None:
        return "\n".join([*(f"-{line}" for line in before), *(f"+{line}" for line in now)])
    return "\n".join(_without_numbers(lines[2:]))


def _without_numbers(lines: Sequence[str]) -> list[str]:
    """Those of lines say nothing where none are numbered; between two changes they become a gap."""
    told: list[str] = []
    for line in lines:
        if not line.startswith(GAP):  # what is of the texts begins with a sign, or with a blank
            told.append(line)
        elif told:
            told.append(GAP)
    return told


def consequence(review: ReviewRequest) -> str:
    """What follows from a confirmed edit, as a sentence."""
    policy = review.policy
    if policy.approvals > 1:
        return f"{policy.approvals} people have to approve, so your text becomes the next attempt."
    if Party.EDITOR in policy.distinct_from:
        return "Somebody else has to approve it, so your text becomes the next attempt."
    return "Then your text is approved in place of the draft."
