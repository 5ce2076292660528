"""How the process is told to stop, and leaves in time whatever hangs in it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

log = structlog.get_logger()

STOP = timedelta(seconds=9)
"""From the signal to the end of the process, which has promised 10 s."""
LAST_WORDS = timedelta(seconds=0.5)
"""How long the log may take to say what was left: whoever reads it may hang as well."""


def stop_on_signals(
    within: Sequence[timedelta] = (STOP,), *, hurry: asyncio.Event | None = None
) -> asyncio.Event:
    """Set at SIGTERM and SIGINT; the first of `within` is how long the process then has to end by itself.

    A second one sets `hurry`; from then on it has the second of them, if there is one.

    No handler of the event loop's: somebody else's node may keep the loop from ever turning again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    departure = Departure(loop, within)

    def told() -> None:
        if stop.is_set() and hurry is not None:
            hurry.set()
        stop.set()

    def asked(_number: int, _frame: FrameType | None) -> None:
        departure.begin()
        with suppress(RuntimeError):  # the loop is closed: all that is left is to leave
            loop.call_soon_threadsafe(told)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    return stop


class Departure:
    """Ends the process where it has not ended by itself: what is not acknowledged may be lost.

    It waits in a thread, as a node may hold the event loop, a thread that the interpreter waits for at its
    end, or a cancelled task that never ends.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, within: Sequence[timedelta]) -> None:
        self._loop = loop
        self._waits = [*within]

    def begin(self) -> None:
        """Called by a signal's handler. Whichever wait is over first ends the process."""
        if self._waits:
            wait = self._waits.pop(0)
            threading.Thread(target=self._leave, args=(wait,), name="departure", daemon=True).start()

    def _leave(self, wait: timedelta) -> None:
        time.sleep((wait - LAST_WORDS).total_seconds())
        words = threading.Thread(target=self._name_what_is_left, name="last words", daemon=True)
        words.start()
        words.join(LAST_WORDS.total_seconds())
        os._exit(0)

    def _name_what_is_left(self) -> None:
        tasks = sorted(task.get_name() for task in asyncio.all_tasks(self._loop))
        threads = sorted(thread.name for thread in threading.enumerate())
        log.error("stop_overran", tasks=tasks, threads=threads)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
