"""Moments as people type them; days and times are in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from core.timetable import MORNING, next_morning

_WAIT = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)\s*(m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PREPOSITION = re.compile(r"^(?:in|on|until|till)\s+")


def end_of(day: str, hour: str | None) -> datetime:
    """The end of a day, or a minute of it. Raises `ValueError` or `OverflowError`."""
    on = date.fromisoformat(day)
    if hour is None:
        return datetime.combine(on, time(0), UTC) + timedelta(days=1)
    return _at(on, hour)


def later(words: str, now: datetime) -> datetime:
    """`30m`, `2 hours`, `3d`; `tomorrow` or `2026-11-30`, which begin at nine, or `tomorrow 15:00`.

    Raises `ValueError` or `OverflowError` for other words.
    """
    said = _PREPOSITION.sub("", " ".join(words.lower().split()))
    if (wait := _WAIT.fullmatch(said)) is not None:
        return now + timedelta(**{_UNITS[wait[2][0]]: float(wait[1])})
    day, _, hour = said.partition(" ")
    on = next_morning(now).date() if day == "tomorrow" else date.fromisoformat(day)
    return _at(on, hour) if hour else datetime.combine(on, MORNING, UTC)


def _at(on: date, hour: str) -> datetime:
    return datetime.combine(on, time.fromisoformat(hour).replace(tzinfo=None), UTC)
