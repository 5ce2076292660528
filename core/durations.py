"""How long something takes or waits, as people write it: one number and one unit."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_WRITTEN = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)([a-z]+)", re.ASCII)


def duration(text: str, units: Mapping[str, timedelta] = UNITS) -> timedelta | None:
    """`2h`, `1.5h`; None for other words, as is a number without a unit, which would leave it to guessing.

    What is longer than can be counted is `timedelta.max`.
    """
    found = _WRITTEN.fullmatch(text)
    unit = units.get(found[2]) if found else None
    if found is None or unit is None:
        return None
    try:
        return float(found[1]) * unit
    except OverflowError:
        return timedelta.max
