"""How background tasks are stopped: cancelled, and not waited for longer than a stop may take."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Collection

log = structlog.get_logger()

CUT_OFF = timedelta(seconds=1)
"""How long a cancelled task may take to end: somebody else's code may take the cancellation for an error."""


async def cut_off(tasks: Collection[asyncio.Task[Any]], *, within: timedelta = CUT_OFF) -> None:
    """Cancel the tasks and let them end; one that does not is left alone, and named in the log."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    ended, left = await asyncio.wait(tasks, timeout=within.total_seconds())
    for task in left:
        log.warning("would_not_stop", name=task.get_name())
    for task in ended:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("broke_while_stopping", name=task.get_name(), error=type(error).__name__)
