"""The default, which shows the loop without a model behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.model import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json


async def offline(shared: Mapping[str, Json]) -> Json:
    """The default: a tidied copy of the input which, after a rejection, says what it answers to.

    Deterministic, and needs no network.
    """
    text = _tidied(text_of(shared["task_input"]))
    if shared.get("feedback") != "rejected":
        return text
    comment = shared.get("feedback_comment")
    reason = f"“{_tidied(str(comment))}”" if comment else "no reason was given"
    return f"{text}\n\n— Attempt {shared['attempt']}, revised after the review: {reason}"


def _tidied(text: str) -> str:
    """Lines without trailing space, no blank lines at the ends."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
