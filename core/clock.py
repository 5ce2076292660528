"""The real time: of the machine, or of the database that several machines share."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from core.defects import defect
from core.errors import Unavailable
from core.outages import Outage
from core.stopping import cut_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from core.ports import Alarm, TimeStore

log = structlog.get_logger()

EVERY = timedelta(seconds=5)
"""How often the database is asked for the time: in between a machine's counter is trusted."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds() -> float:
    """Counts, whatever the clock is set to; goes on while the machine sleeps, where the system can tell."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SystemClock:
    """Reads the machine's clock; calls back on the running event loop."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def steady(self) -> timedelta:
        return timedelta(seconds=seconds())

    def call_at(self, at: datetime, callback: Callable[[], object]) -> Alarm:
        wait = max((at - self.now()).total_seconds(), 0.0)
        return asyncio.get_running_loop().call_later(wait, callback)


class SharedClock(SystemClock):
    """Goes by the clock of the database, and is never ahead of it.

    So replicas whose machines disagree stamp the same time, and nothing happens before its time. Until the
    first answer it is the machine's.
    """

    def __init__(self, *, seconds: Callable[[], float] = seconds) -> None:
        self._seconds = seconds
        self._zero: timedelta | None = None
        """What the database's clock says, since 1970, when the counter is at zero."""

    def now(self) -> datetime:
        if self._zero is None:
            return super().now()
        return EPOCH + self._zero + timedelta(seconds=self._seconds())

    def steady(self) -> timedelta:
        return timedelta(seconds=self._seconds())

    def told(self, at: datetime, asked: float, answered: float) -> None:
        """The database's clock said `at` some time between these two moments of the counter."""
        earliest, latest = (at - EPOCH - timedelta(seconds=moment) for moment in (answered, asked))
        # An answer that was long on its way says less than one before: that is kept while they agree.
        if self._zero is None or not earliest <= self._zero <= latest:
            self._zero = earliest


@asynccontextmanager
async def in_step(
    clock: SharedClock, store: TimeStore, *, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncIterator[None]:
    """Keep the clock by that of the store's database, asked again after each `pause`.

    Raises `StoreUnavailable` where it cannot be asked at first.
    """
    clock.told(*await store.time())
    task = asyncio.create_task(_ask(clock, store, pause), name="clock")
    try:
        yield
    finally:
        await cut_off([task])


async def _ask(clock: SharedClock, store: TimeStore, pause: Callable[[float], Awaitable[object]]) -> None:
    outage = Outage("clock_not_compared")
    while True:
        await pause(EVERY.total_seconds())  # by no clock that may be wrong
        try:
            clock.told(*await store.time())
            outage.over()
        except Unavailable as error:
            outage.failed(error)
        except Exception as error:  # noqa: BLE001 - a defect must not end it: the clock would drift from then on, and nobody be told
            log.error("clock_not_compared", **defect(error))
