"""Moments in lines of ours, as Slack's clients show them: on the reader's own clock. Pure.

Of other people's words only names of the configuration come here: a moment that somebody writes stays as they
wrote it. A time without its day, as in `looking, until 15:20 UTC`, stays in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "{date_short_pretty} {time}"
"""`today 15:04`, `Nov 21, 2026 15:04` (docs.slack.dev, "Formatting message text", date formatting)."""
WITH_SECONDS = "{date_short_pretty} {time_secs}"
"""Where it matters who was first."""

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})? UTC")
"""What `bot.cards.clock_time` and core's refusals write, and nothing else of ours looks like."""


def has_moment(text: str) -> bool:
    return _MOMENT.search(text) is not None


def in_zone(text: str) -> list[dict[str, Any]]:
    """Elements of a rich_text section: `text`, with every moment in it as a date.

    A client that cannot show dates shows the fallback, which is what stood there.
    """
    return list(_elements(text))


def _elements(text: str) -> Iterator[dict[str, Any]]:
    end = 0
    for found in _MOMENT.finditer(text):
        at = _at(found[0])
        if at is None:
            continue
        if found.start() > end:
            yield {"type": "text", "text": text[end : found.start()]}
        shown = WITH_SECONDS if found[1] else FORMAT
        yield {"type": "date", "timestamp": int(at.timestamp()), "format": shown, "fallback": found[0]}
        end = found.end()
    if end < len(text):
        yield {"type": "text", "text": text[end:]}


def _at(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC)
    except ValueError:
        return None
