"""What is counted while it happens: plain numbers, for whoever shows them to read now and then.

All are written on the event loop, and cost no more than that: a metrics library is not asked at each step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.events import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from core.errors import CountersignError
    from core.events import Event
    from core.model import ChannelName, Hint, ReviewRequest, Status, StoredEvent, Verdict
    from core.ports import Listener, Observer

UNITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds of a unit of work, from asking to its answer."""
GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Units in one group."""
LAGS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 21_600)
"""Seconds from when a delivery fell due until it was shown."""
WAITS = (10, 30, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 86_400, 3 * 86_400, 7 * 86_400)
"""Seconds that a review waited for its decision."""
ATTEMPTS = (1, 2, 3, 5, 8, 13)
POLICIES = 100
"""Names of policies told apart; those of the rest are counted together."""
OTHERS = "(others)"


class Distribution:
    """How many values were at most each of `bounds`, or above all of them; and what they come to."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Each for itself, not added up."""
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times


class Deliveries:
    """What became of one channel's deliveries."""

    __slots__ = ("failures", "given_up", "lag")

    def __init__(self) -> None:
        self.lag = Distribution(LAGS)
        self.failures: Counter[str] = Counter()
        """By the class of the error."""
        self.given_up = 0


class Measures:
    """What this process stored and decided since it started; give it to the store as a listener."""

    def __init__(self) -> None:
        self.events: dict[type[Event], int] = dict.fromkeys(EVENTS, 0)
        self.decisions: Counter[tuple[str, str]] = Counter()
        """By verdict and by where it was made."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """Of decisions, by the class of the error and by where they were made."""
        self.waits: dict[str, Distribution] = {}
        """From opening to the decision that closed it, by policy."""

    def heard(self, hint: Hint) -> None:
        """What other processes did is in their own measures."""

    def committed(self, events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        count = self.events
        for stored in events:
            count[type(stored.event)] += 1

    def decided(self, review: ReviewRequest, verdict: Verdict, via: str) -> None:
        self.decisions[verdict.value, via] += 1
        if review.closed_at is not None:
            self._waits_of(review.policy.name).add((review.closed_at - review.opened_at).total_seconds())

    def refused(self, refusal: CountersignError, via: str) -> None:
        self.refusals[type(refusal).__name__, via] += 1

    def _waits_of(self, policy: str) -> Distribution:
        found = self.waits.get(policy)
        if found is None:
            name = policy if len(self.waits) < POLICIES else OTHERS
            found = self.waits.setdefault(name, Distribution(WAITS))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What one channel has still to show, counted up to a limit."""

    waiting: int
    since: datetime | None
    """When the first of them fell due; what is tried again counts from its first failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What is stored and unfinished."""

    tasks: Mapping[Status, int]
    """Those that have not ended: pending, running, waiting for review."""
    oldest: datetime | None
    """Since when the first of those with work to do waits for somebody to take it up."""
    backlogs: Mapping[ChannelName, Backlog]


if TYPE_CHECKING:
    # The checker's word that it is both.
    _listener: type[Listener] = Measures
    _observer: type[Observer] = Measures
