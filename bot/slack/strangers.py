"""Whom Slack names and nobody here knows."""

from __future__ import annotations

from bot.answers import unlisted
from bot.slack.payloads import PREFIX
from core.errors import NotAReviewer

UNTOLD = (
    "Slack does not say here of which workspace you are, and your id {} does not do without. "
    f"“{PREFIX}whoami” says both."
)


def stranger(user: str, team: str, prefix: str = PREFIX, *, asks: bool = False) -> NotAReviewer:
    """The refusal, with the id as `countersign.toml` wants it; `team` is empty where Slack does not say."""
    if not team:
        return NotAReviewer(UNTOLD.format(user) if asks else f"Nothing was changed: {UNTOLD.format(user)}")
    return unlisted(f"{team}/{user}", prefix, asks=asks)
