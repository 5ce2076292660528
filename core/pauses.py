"""Waiting for some time by a clock, whichever it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from core.ports import Clock


async def elapse(clock: Clock, span: timedelta) -> None:
    """Return once so much time has passed by that clock."""
    is_over = asyncio.Event()
    alarm = clock.call_at(clock.now() + span, is_over.set)
    try:
        await is_over.wait()
    finally:
        alarm.cancel()
