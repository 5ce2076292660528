"""Moments as people type them: days and times are those where the person is."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from core.durations import UNITS, duration
from core.timetable import MORNING, next_day

if TYPE_CHECKING:
    from core.model import Person

_UNITS = {
    **dict.fromkeys(("m", "min", "minute", "minutes"), UNITS["m"]),
    **dict.fromkeys(("h", "hour", "hours"), UNITS["h"]),
    **dict.fromkeys(("d", "day", "days"), UNITS["d"]),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
}
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=[a-z])")
_PREPOSITION = re.compile(r"^(?:in|on|until|till)\s+")
_ONE_DIGIT = re.compile(r"\d(?=:)")
"""An hour as people write it: `9:00`."""


def end_of(day: str, hour: str | None, now: datetime, person: Person) -> datetime:
    """The end of a day, or a minute of it, in UTC: `2026-11-30`, `today` or `tomorrow`. A minute may name a
    zone of its own (`18:30Z`).

    Raises `ValueError` or `OverflowError`.
    """
    on = _day(day.lower(), now, person)
    return person.end_of(on) if hour is None else _at(on, hour.upper(), person)


def later(words: str, now: datetime, person: Person) -> datetime:
    """`30m`, `2 hours`, `3d`; `tomorrow` or `2026-11-30`, which begin at nine, or `today 15:00`; in UTC.

    Raises `ValueError` or `OverflowError` for other words.
    """
    said = _PREPOSITION.sub("", " ".join(words.lower().split()))
    if (wait := duration(_BEFORE_UNIT.sub("", said), _UNITS)) is not None:
        return now + wait
    day, _, hour = said.partition(" ")
    on = _day(day, now, person)
    at = hour.removeprefix("at ").upper()
    return _at(on, at, person) if at else person.utc(datetime.combine(on, MORNING))


def _day(said: str, now: datetime, person: Person) -> date:
    match said:
        case "today":
            return person.local(now).date()
        case "tomorrow":
            return next_day(now, person)
        case _:
            return date.fromisoformat(said)


def _at(on: date, hour: str, person: Person) -> datetime:
    written = f"0{hour}" if _ONE_DIGIT.match(hour) else hour
    return person.utc(datetime.combine(on, time.fromisoformat(written)))
