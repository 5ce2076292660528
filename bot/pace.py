"""How fast one place may be called, by the platform's own limits, which allow short bursts."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from core.ports import Clock


class Limit(NamedTuple):
    """At most `calls` within any `span`."""

    calls: int
    span: timedelta


def limit(calls: int, seconds: float) -> Limit:
    return Limit(calls, timedelta(seconds=seconds))


class Pace:
    """Remembers the latest calls to each place."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[str, deque[datetime]] = {}

    def called(self, place: str, limits: tuple[Limit, ...]) -> None:
        longest = max(each.calls for each in limits)
        self._calls.setdefault(place, deque(maxlen=longest)).append(self._clock.now())

    def wait(self, place: str, limits: tuple[Limit, ...]) -> float:
        """Seconds until one more call keeps to all `limits`."""
        calls = self._calls.get(place)
        if not calls:
            return 0.0
        now = self._clock.now()
        free = [calls[-each.calls] + each.span for each in limits if len(calls) >= each.calls]
        return max([0.0, *((at - now).total_seconds() for at in free)])
