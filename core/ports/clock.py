"""The time, and calls at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta


class Alarm(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The time, aware and in UTC, and calls at a time."""

    def now(self) -> datetime: ...

    def steady(self) -> timedelta:
        """Since some moment of the past: goes on evenly, whatever `now` is set to. For pauses and paces."""
        ...

    def call_at(self, at: datetime, callback: Callable[[], object]) -> Alarm:
        """Call back on the event loop at `at`, or as soon as possible where that is past."""
        ...


class TimeStore(Protocol):
    """The clock that all replicas share."""

    async def time(self) -> tuple[datetime, float, float]:
        """What it said, and between which two moments of `core.clock.seconds`."""
        ...
