"""What readers have missed is found by a regular look, also after one that failed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from core.errors import StoreUnavailable
from core.feed import Feed
from core.lookout import EVERY, lookout
from tests.world import eventually

if TYPE_CHECKING:
    from tests.world import StoppedClock


class Readers(Feed):
    """Readers whose looks are counted; the first ones fail."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.looks = 0

    async def look(self) -> int:
        self.looks += 1
        if self.faults:
            raise self.faults.pop(0)
        return 1


async def test_it_looks_regularly_whatever_goes_wrong(clock: StoppedClock) -> None:
    readers = Readers(
        StoreUnavailable("The PostgreSQL database cannot be reached."), RuntimeError("a defect")
    )
    with capture_logs() as logs:
        async with lookout(readers, clock):
            for number in range(1, 4):
                await eventually(partial(_alarmed, clock))
                clock.advance(EVERY)
                await eventually(partial(_looked, readers, number))
    assert [(line["event"], line.get("error")) for line in logs[:2]] == [
        ("lookout_postponed", None),
        ("lookout_broke", "RuntimeError"),
    ]
    assert clock.next_alarm is None


async def _alarmed(clock: StoppedClock) -> bool:
    await asyncio.sleep(0)
    return clock.next_alarm is not None


async def _looked(readers: Readers, times: int) -> bool:
    await asyncio.sleep(0)
    return readers.looks == times
