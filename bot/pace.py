"""How fast one place may be called, by the platform's own limits, which allow short bursts."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from core.ports import Clock


class Limit(NamedTuple):
    """At most `calls` within any `span`."""

    calls: int
    span: timedelta


def limit(calls: int, seconds: float) -> Limit:
    return Limit(calls, timedelta(seconds=seconds))


PLACES = 500
"""So many are remembered before it is looked which of them no limit holds any more."""


class Pace:
    """Remembers the latest calls to each place, for as long as they count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[str, deque[timedelta]] = {}
        self._room = PLACES
        self._longest = timedelta(0)
        """The span of any limit that was ever kept to."""

    @property
    def places(self) -> int:
        return len(self._calls)

    def called(self, place: str, limits: tuple[Limit, ...]) -> None:
        if place not in self._calls:
            self._make_room()
            self._calls[place] = deque(maxlen=max(each.calls for each in limits))
        self._longest = max(self._longest, *(each.span for each in limits))
        self._calls[place].append(self._clock.steady())

    def _make_room(self) -> None:
        """A place is forgotten once nothing of it counts; there are as many as people hand in from."""
        if len(self._calls) < self._room:
            return
        before = self._clock.steady() - self._longest
        self._calls = {place: calls for place, calls in self._calls.items() if calls[-1] > before}
        self._room = max(PLACES, 2 * len(self._calls))

    def wait(self, place: str, limits: tuple[Limit, ...]) -> float:
        """Seconds until one more call keeps to all `limits`."""
        calls = self._calls.get(place)
        if not calls:
            return 0.0
        now = self._clock.steady()
        free = [calls[-each.calls] + each.span for each in limits if len(calls) >= each.calls]
        return max([0.0, *((at - now).total_seconds() for at in free)])
