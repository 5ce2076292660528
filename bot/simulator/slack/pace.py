"""How often Slack lets an app call a method: one bucket per method, and per channel for posts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second in the long run, and how many at once after a rest."""

    per_second: float
    burst: int


def per_minute(calls: int) -> Rate:
    return Rate(calls / 60, calls)


TIER_1 = per_minute(1)
"""Tiers: docs.slack.dev, "rate limits"; each allows its figure "or more" a minute, per method and team."""
TIER_2 = per_minute(20)
TIER_3 = per_minute(50)
TIER_4 = per_minute(100)
POST = Rate(1.0, 4)
"""chat.postMessage: about one a second and channel, with "short bursts", for which Slack gives no figure."""
SPECIAL = per_minute(300)
"""Methods with "special" limits, for which Slack says "hundreds a minute"."""


@dataclass(slots=True)
class Bucket:
    level: float
    at: float


class Pace:
    """Counts calls by key on the simulator's clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._buckets: dict[str, Bucket] = {}

    def wait(self, key: str, rate: Rate) -> float:
        """0 where the call may pass, and is counted; else the seconds until it may."""
        now = self._now()
        bucket = self._buckets.setdefault(key, Bucket(rate.burst, now))
        bucket.level = min(rate.burst, bucket.level + (now - bucket.at) * rate.per_second)
        bucket.at = now
        if bucket.level >= 1:
            bucket.level -= 1
            return 0.0
        return (1 - bucket.level) / rate.per_second
