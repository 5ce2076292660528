"""What `/metrics` shows: the plain numbers of the parts, as Prometheus reads them.

The metrics library is imported at the first scrape, so that nobody else waits for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from core.errors import Overloaded, StoreUnavailable
from core.events import (
    ReviewExpired,
    ReviewRequested,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskSubmitted,
)
from core.model import Status
from web.problems import slug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from prometheus_client.core import Metric

    from core.events import Event
    from core.measures import Census, Deliveries, Distribution, Measures
    from core.model import ChannelName
    from core.outbox import Outbox
    from core.ports import Clock
    from core.store.sql import SqlStore

log = structlog.get_logger()

FRESH = timedelta(seconds=10)
"""How long what was read of the database is shown again."""
SHARE = 100
"""And so many times as long as it took, so that it takes a hundredth of the reader's time at most."""
READ = timedelta(seconds=3)
"""How long a scrape waits for the database."""

ENDED: Mapping[Status, type[Event]] = {
    Status.COMPLETED: TaskCompleted,
    Status.FAILED: TaskFailed,
    Status.CANCELLED: TaskCancelled,
}


class AtWork(Protocol):
    """The part of an engine that is shown."""

    @property
    def queued(self) -> int: ...
    @property
    def running(self) -> int: ...


class Collected:
    """A collector of a moment's metrics: the library wants to be handed one."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


class Exposition:
    """All metrics of one process."""

    def __init__(self, *, store: SqlStore, engine: AtWork, measures: Measures, clock: Clock) -> None:
        self._store = store
        self._engine = engine
        self._measures = measures
        self._clock = clock
        self.deliveries: dict[ChannelName, Deliveries] = {}
        """Of every channel that is on, also while another replica serves it."""
        self._outboxes: list[Outbox] = []
        self._census: Census | None = None
        self._fresh_until = clock.steady()

    def show(self, outbox: Outbox) -> Callable[[], None]:
        """Count what this outbox has under way; undone by the result."""
        self._outboxes.append(outbox)
        self.deliveries.update(outbox.measures)
        return partial(self._outboxes.remove, outbox)

    async def text(
        self, accept: str, *, readers: int, refused: Mapping[tuple[int, str], int]
    ) -> tuple[bytes, str]:
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        census, _ = await asyncio.gather(self._counted(), self._tried_again())
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collected(self._all(census, readers, refused)))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        encoder, content_type = choose_encoder(accept)
        return encoder(registry), content_type

    async def _counted(self) -> Census | None:
        """What was read last, or now; None where the database gives nothing: old numbers would mislead."""
        if self._census is not None and self._clock.steady() < self._fresh_until:
            return self._census
        began = self._clock.steady()
        try:
            async with asyncio.timeout(READ.total_seconds()):
                self._census = await self._store.census(list(self.deliveries))
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("census_failed", error=type(error).__name__)
            self._census = None
        now = self._clock.steady()
        self._fresh_until = now + max(FRESH, SHARE * (now - began))
        return self._census

    async def _tried_again(self) -> None:
        """Where the last unit could not be stored: see whether one can be now. Nobody else may be asking."""
        if not self._store.lanes["write"].failing:
            return
        with suppress(StoreUnavailable, Overloaded, TimeoutError):
            async with asyncio.timeout(READ.total_seconds()):
                await self._store.check()

    def _all(
        self, census: Census | None, readers: int, refused: Mapping[tuple[int, str], int]
    ) -> Iterator[Metric]:
        yield gauge("countersign_info", "The release that runs.", {(version("countersign"),): 1}, "version")
        yield from self._tasks(census)
        yield from self._decisions(refused)
        yield from self._shown(census)
        yield from self._at_work(readers)
        yield from self._stored()

    def _tasks(self, census: Census | None) -> Iterator[Metric]:
        events = self._measures.events
        standing = {} if census is None else {(status.value,): n for status, n in census.tasks.items()}
        yield gauge("countersign_tasks", "Tasks that have not ended, in the database.", standing, "status")
        yield gauge(
            "countersign_tasks_oldest_seconds",
            "How long the oldest work that nobody has taken up has waited for that.",
            {} if census is None else {(): self._age(census.oldest)},
        )
        yield counter(
            "countersign_tasks_submitted", "Tasks stored by this process.", {(): events[TaskSubmitted]}
        )
        ended = {(status.value,): events[event] for status, event in ENDED.items()}
        yield counter("countersign_tasks_ended", "Tasks that ended in this process.", ended, "status")
        yield histogram(
            "countersign_task_attempts",
            "Attempts of each task that ended in this process.",
            {(): self._store.attempts},
        )
        yield counter(
            "countersign_reviews_opened", "Reviews opened by this process.", {(): events[ReviewRequested]}
        )
        yield counter(
            "countersign_reviews_expired", "Reviews whose deadline closed them.", {(): events[ReviewExpired]}
        )

    def _decisions(self, refused: Mapping[tuple[int, str], int]) -> Iterator[Metric]:
        measures = self._measures
        yield counter(
            "countersign_decisions", "Decisions recorded.", measures.decisions, "verdict", "channel"
        )
        yield histogram(
            "countersign_decision_seconds",
            "From the opening of a review to the decision that closed it.",
            {(policy,): found for policy, found in measures.waits.items()},
            "policy",
        )
        reasons = {(slug(reason), via): count for (reason, via), count in measures.refusals.items()}
        yield counter("countersign_decisions_refused", "Decisions refused.", reasons, "reason", "channel")
        yield counter(
            "countersign_requests_refused",
            "HTTP requests refused, by status and problem.",
            {(str(status), problem): count for (status, problem), count in refused.items()},
            "status",
            "problem",
        )

    def _shown(self, census: Census | None) -> Iterator[Metric]:
        all_of = self.deliveries
        backlogs = {} if census is None else census.backlogs
        yield gauge(
            "countersign_deliveries_waiting",
            "Cards and notices still to be shown, 10,000 at most.",
            {(channel,): found.waiting for channel, found in backlogs.items()},
            "channel",
        )
        yield gauge(
            "countersign_deliveries_oldest_seconds",
            "How long the oldest of those has been due.",
            {(channel,): self._age(found.since) for channel, found in backlogs.items()},
            "channel",
        )
        yield gauge(
            "countersign_deliveries_under_way",
            "Cards and notices being shown at this moment.",
            {(): sum(outbox.under_way for outbox in self._outboxes)},
        )
        yield histogram(
            "countersign_delivery_lag_seconds",
            "From when a card or notice fell due until it was shown.",
            {(channel,): found.lag for channel, found in all_of.items()},
            "channel",
        )
        failures = {
            (channel, slug(reason)): count
            for channel, found in all_of.items()
            for reason, count in found.failures.items()
        }
        yield counter(
            "countersign_delivery_failures", "Calls of a chat that failed.", failures, "channel", "reason"
        )
        yield counter(
            "countersign_deliveries_given_up",
            "Cards and notices that are not tried any more.",
            {(channel,): found.given_up for channel, found in all_of.items()},
            "channel",
        )

    def _age(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._clock.now() - since).total_seconds())

    def _at_work(self, readers: int) -> Iterator[Metric]:
        yield gauge(
            "countersign_engine_queued",
            "Tasks that wait in this process for their turn to run.",
            {(): self._engine.queued},
        )
        yield gauge(
            "countersign_engine_running", "Tasks that run in this process.", {(): self._engine.running}
        )
        yield gauge("countersign_stream_readers", "Open event streams.", {(): readers})

    def _stored(self) -> Iterator[Metric]:
        lanes = self._store.lanes
        yield gauge(
            "countersign_store_waiting",
            "Units of work that wait for the database.",
            {(name,): lane.waiting for name, lane in lanes.items()},
            "lane",
        )
        yield gauge(
            "countersign_store_failing",
            "1 while the database does not take or give data.",
            {(name,): int(lane.failing) for name, lane in lanes.items()},
            "lane",
        )
        yield histogram(
            "countersign_store_seconds",
            "From asking for a unit of work to its answer.",
            {(name,): lane.latency for name, lane in lanes.items()},
            "lane",
        )
        yield histogram(
            "countersign_store_group_units",
            "Units of work in one transaction.",
            {(name,): lane.groups for name, lane in lanes.items()},
            "lane",
        )


Labelled = TypeVar("Labelled", bound=tuple[str, ...])
"""A value for each label."""


def gauge(name: str, sentence: str, values: Mapping[Labelled, float], *labels: str) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    found = GaugeMetricFamily(name, sentence, labels=labels)
    for key, value in values.items():
        found.add_metric(key, value)
    return found


def counter(name: str, sentence: str, values: Mapping[Labelled, float], *labels: str) -> Metric:
    """Its samples are named `name_total`."""
    from prometheus_client.core import CounterMetricFamily

    found = CounterMetricFamily(name, sentence, labels=labels)
    for key, value in values.items():
        found.add_metric(key, value)
    return found


def histogram(name: str, sentence: str, values: Mapping[Labelled, Distribution], *labels: str) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    found = HistogramMetricFamily(name, sentence, labels=labels)
    for key, one in values.items():
        bounds = [*(str(float(bound)) for bound in one.bounds), "+Inf"]
        found.add_metric(key, [*zip(bounds, accumulate(one.counts), strict=True)], one.sum)
    return found
