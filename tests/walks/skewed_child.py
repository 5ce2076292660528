"""`countersign serve` on a machine whose clock is ahead, or behind: `python skewed_child.py SECONDS`.

What the program takes for the time is shifted; what it counts by the monotonic clock is not.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from core.clock import SystemClock
from countersign.cli import run

AHEAD = timedelta(seconds=float(sys.argv[1]))


def wrong(_: SystemClock) -> datetime:
    return datetime.now(UTC) + AHEAD


SystemClock.now = wrong  # type: ignore[method-assign, assignment]  # this is the fault
sys.exit(run(["serve"]))
