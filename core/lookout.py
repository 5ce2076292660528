"""Finds what readers have missed: a replica that died had no time to tell others what it had just stored."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from core.defects import defect
from core.errors import Unavailable
from core.outages import Outage
from core.pauses import elapse
from core.stopping import cut_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.feed import Feed
    from core.ports import Clock

log = structlog.get_logger()

EVERY = timedelta(seconds=10)


@asynccontextmanager
async def lookout(feed: Feed, clock: Clock) -> AsyncIterator[None]:
    """Beside other replicas, for as long as there are readers."""
    task = asyncio.create_task(_look(feed, clock), name="lookout")
    try:
        yield
    finally:
        await cut_off([task])


async def _look(feed: Feed, clock: Clock) -> None:
    outage = Outage("lookout_postponed")
    while True:
        await elapse(clock, EVERY)
        try:
            missed = await feed.look()
        except Unavailable as error:
            outage.failed(error)
        except Exception as error:  # noqa: BLE001 - a defect must not end it: what was missed would be so until the reader comes again
            log.error("lookout_broke", **defect(error))
        else:
            outage.over()
            if missed:
                log.info("readers_had_missed_something", tasks=missed)
