"""What `/metrics` says of a running core, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from core.errors import RateLimited, ReviewIsClosed, StoreUnavailable, Undeliverable, Unreachable
from core.measures import OTHERS, POLICIES, WAITS, Distribution, Measures
from core.model import Verdict
from core.store.session import Session
from countersign.metrics import FRESH, Exposition
from tests.contracts.steps import submitted
from tests.countersign.plain_house import bearer, posted, running
from tests.world import ANA, BEN, DESK, PAPER, PATIENCE, PaperChannel, draft_flows, eventually, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from core.measures import Census
    from core.model import ChannelName
    from core.store.database import Database
    from tests.world import StoppedClock, World


class Scrape:
    """One answer, by sample and labels."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._values = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._values.get((name, *sorted(labels.items())))


def shown_by(world: World) -> Exposition:
    found = Exposition(store=world.store, engine=world.engine, measures=world.measures, clock=world.clock)
    found.show(world.outbox)
    return found


async def scraped(which: Exposition, readers: int = 0) -> Scrape:
    body, content_type = await which.text("text/plain", readers=readers, refused={(404, "not-found"): 2})
    assert content_type.startswith("text/plain")
    return Scrape(body.decode())


@pytest.fixture
def paper() -> PaperChannel:
    return PaperChannel()


@pytest.fixture
async def world(sqlite_database: Database, clock: StoppedClock, paper: PaperChannel) -> AsyncIterator[World]:
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        yield world


async def test_tasks_by_status_and_what_became_of_them(world: World) -> None:
    waiting = await world.submit("waits")
    await world.open_review(waiting.id)
    done = await world.submit("is done")
    await world.reject(await world.open_review(done.id))
    await world.approve(await world.open_review(done.id, 2))
    await world.end(done.id)
    gone = await world.submit("is called off")
    await world.open_review(gone.id)
    await world.service.cancel(gone.id, gone.submitter)

    told = await scraped(shown_by(world), readers=3)
    assert told("countersign_tasks", status="waiting_for_review") == 1
    assert told("countersign_tasks", status="pending") == told("countersign_tasks", status="running") == 0
    assert told("countersign_tasks_submitted_total") == 3
    assert told("countersign_tasks_ended_total", status="completed") == 1
    assert told("countersign_tasks_ended_total", status="failed") == 0
    assert told("countersign_tasks_ended_total", status="cancelled") == 1
    assert told("countersign_task_attempts_bucket", le="1.0") == 1
    assert told("countersign_task_attempts_bucket", le="2.0") == 2
    assert told("countersign_task_attempts_sum") == 3
    assert told("countersign_reviews_opened_total") == 4
    assert told("countersign_stream_readers") == 3
    assert told("countersign_requests_refused_total", status="404", problem="not-found") == 2


async def test_a_decision_is_counted_where_it_was_made_and_timed_by_its_policy(
    world: World, clock: StoppedClock
) -> None:
    review = await world.open_review((await world.submit("hello")).id)
    clock.advance(minutes=10)
    await world.service.decide(review, ANA.id, Verdict.APPROVE, via="slack")
    with pytest.raises(ReviewIsClosed):
        await world.service.decide(review, BEN.id, Verdict.APPROVE, via="telegram")
    told = await scraped(shown_by(world))
    assert told("countersign_decisions_total", verdict="approve", channel="slack") == 1
    assert told("countersign_decisions_refused_total", reason="review-is-closed", channel="telegram") == 1
    assert told("countersign_decision_seconds_bucket", policy="default", le="300.0") == 0
    assert told("countersign_decision_seconds_bucket", policy="default", le="900.0") == 1
    assert told("countersign_decision_seconds_sum", policy="default") == 600


async def test_a_decision_that_leaves_a_review_open_ends_no_wait(world: World) -> None:
    review = await world.open_review((await world.submit("hello", flow="two")).id)
    await world.approve(review)
    told = await scraped(shown_by(world))
    assert told("countersign_decisions_total", verdict="approve", channel="api") == 1
    assert told("countersign_decision_seconds_count", policy="two") is None


async def test_what_a_chat_has_still_to_show_ages_from_its_first_failure(
    world: World, clock: StoppedClock, paper: PaperChannel
) -> None:
    patience = RateLimited("Slowly.", retry_after=timedelta(hours=1))
    paper.faults += [Unreachable("It is down."), patience]
    which = shown_by(world)
    task = await world.submit("hello")
    await paper.called(1)
    await eventually(lambda: _failed(world, task.id))
    clock.advance(seconds=5)
    await paper.called(2)
    clock.advance(FRESH)
    told = await scraped(which)
    assert told("countersign_deliveries_waiting", channel=PAPER) == 1
    assert told("countersign_deliveries_oldest_seconds", channel=PAPER) == 15
    assert told("countersign_delivery_failures_total", channel=PAPER, reason="unreachable") == 1
    assert told("countersign_delivery_lag_seconds_count", channel=PAPER) == 0
    clock.advance(hours=2)
    await paper.called(3)
    await eventually(lambda: _counted(world, "countersign_delivery_lag_seconds_count", channel=PAPER))
    told = await scraped(which)
    assert told("countersign_delivery_failures_total", channel=PAPER, reason="rate-limited") == 1
    assert told("countersign_deliveries_waiting", channel=PAPER) == 0
    assert told("countersign_deliveries_oldest_seconds", channel=PAPER) == 0
    assert told("countersign_delivery_lag_seconds_count", channel=PAPER) == 1
    assert told("countersign_delivery_lag_seconds_sum", channel=PAPER) == 7_215


async def test_work_that_nobody_takes_up_grows_old(world: World, clock: StoppedClock) -> None:
    which = shown_by(world)
    assert (await scraped(which))("countersign_tasks_oldest_seconds") == 0
    await submitted(world.store)  # and no engine is told, which looks by itself after 30 seconds
    clock.advance(seconds=20)
    assert (await scraped(which))("countersign_tasks_oldest_seconds") == 20


async def _failed(world: World, task: str) -> bool:
    return any(one.failing_since for one in await world.store.deliveries(task))


async def test_what_a_chat_will_never_show_is_given_up_and_counted(world: World, paper: PaperChannel) -> None:
    paper.faults.append(Undeliverable("Nobody is there."))
    with capture_logs() as logged:
        task = await world.submit("hello")
        await paper.called(1)
        await eventually(lambda: _counted(world, "countersign_deliveries_given_up_total", channel=PAPER))
    (line,) = [line for line in logged if line["event"] == "delivery_given_up"]
    assert line["task_id"] == task.id  # whose page says it, too
    told = await scraped(shown_by(world))
    assert told("countersign_delivery_failures_total", channel=PAPER, reason="undeliverable") == 1


async def _counted(world: World, name: str, **labels: str) -> bool:
    await world.store.counts()
    return bool((await scraped(shown_by(world)))(name, **labels))


async def test_units_are_timed_in_their_lane_and_groups_measured(world: World) -> None:
    await world.open_review((await world.submit("hello")).id)
    told = await scraped(shown_by(world))
    for lane in ("read", "write"):
        assert (told("countersign_store_seconds_count", lane=lane) or 0) > 0
        units, groups = (
            told("countersign_store_group_units_sum", lane=lane),
            told("countersign_store_group_units_count", lane=lane),
        )
        assert units == told("countersign_store_seconds_count", lane=lane)
        assert groups is not None
        assert units is not None
        assert 0 < groups <= units
        assert told("countersign_store_waiting", lane=lane) is not None
        assert told("countersign_store_failing", lane=lane) == 0


async def test_the_database_is_asked_every_ten_seconds_at_most(world: World, clock: StoppedClock) -> None:
    which = shown_by(world)
    before = await scraped(which)
    await world.open_review((await world.submit("hello")).id)
    assert (await scraped(which))("countersign_tasks", status="waiting_for_review") == before(
        "countersign_tasks", status="waiting_for_review"
    )
    clock.advance(FRESH)
    assert (await scraped(which))("countersign_tasks", status="waiting_for_review") == 1


async def test_numbers_that_took_long_to_count_are_kept_a_hundred_times_as_long(
    world: World, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, census = [], world.store.census

    async def slow(channels: Collection[ChannelName]) -> Census:
        asked.append(clock.now())
        clock.advance(seconds=2)
        return await census(channels)

    monkeypatch.setattr(world.store, "census", slow)
    which = shown_by(world)
    for seconds, times in ((0, 1), (199, 1), (1, 2)):
        clock.advance(seconds=seconds)
        await scraped(which)
        assert len(asked) == times


async def test_numbers_are_not_kept_for_a_clock_that_was_set_back(world: World, clock: StoppedClock) -> None:
    which = shown_by(world)
    await scraped(which)
    await world.open_review((await world.submit("hello")).id)
    clock.advance(hours=-1)
    clock.advance(FRESH)
    assert (await scraped(which))("countersign_tasks", status="waiting_for_review") == 1


async def test_without_its_database_it_says_what_the_process_knows_and_nothing_old(
    world: World, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = shown_by(world)
    await scraped(which)
    clock.advance(FRESH)

    async def census(_channels: object) -> None:
        raise StoreUnavailable("It is gone.")

    monkeypatch.setattr(world.store, "census", census)
    told = await scraped(which)
    assert told("countersign_tasks", status="pending") is None
    assert told("countersign_tasks_submitted_total") == 0
    assert told("process_cpu_seconds_total") is not None


async def test_a_database_that_is_back_is_seen_by_the_scrape_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody has anything to store, and nobody asks /readyz, nobody else would look."""
    which = shown_by(world)
    with monkeypatch.context() as away:
        away.setattr(Session, "_begin", unreachable)
        with pytest.raises(StoreUnavailable):
            await world.submit("hello")
        told = await scraped(which)
        assert [told("countersign_store_failing", lane=lane) for lane in ("write", "read")] == [1, 1]
    told = await scraped(which)
    assert told("countersign_store_failing", lane="write") == 0


def unreachable(_session: Session) -> NoReturn:
    raise StoreUnavailable("It is away.")


async def test_a_database_that_does_not_answer_holds_up_no_scrape(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def census(_channels: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(world.store, "census", census)
    monkeypatch.setattr("countersign.metrics.READ", timedelta(milliseconds=1))
    async with asyncio.timeout(PATIENCE):
        told = await scraped(shown_by(world))
    assert told("countersign_tasks", status="pending") is None
    assert told("countersign_tasks_submitted_total") == 0


async def test_an_outbox_whose_turn_is_over_has_nothing_under_way(world: World, paper: PaperChannel) -> None:
    which = Exposition(store=world.store, engine=world.engine, measures=world.measures, clock=world.clock)
    hide = which.show(world.outbox)
    paper.close()
    await world.submit("hello")
    await paper.until(lambda: paper.inside)
    assert (await scraped(which))("countersign_deliveries_under_way") == 1
    hide()
    assert (await scraped(which))("countersign_deliveries_under_way") == 0
    paper.open()


async def test_openmetrics_is_spoken_to_who_asks_for_it(world: World) -> None:
    body, content_type = await shown_by(world).text(
        "application/openmetrics-text; version=1.0.0", readers=0, refused=Counter()
    )
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


async def test_no_label_names_a_task_or_a_person(world: World) -> None:
    task = await world.submit("hello")
    review = await world.open_review(task.id)
    await world.approve(review)
    await world.end(task.id)
    told = await scraped(shown_by(world))
    labels = {
        (label, value)
        for family in told.families.values()
        if family.name.startswith("countersign_")
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    assert {label for label, _ in labels} <= {
        "channel",
        "lane",
        "le",
        "policy",
        "problem",
        "reason",
        "status",
        "verdict",
        "version",
    }
    values = {value for _, value in labels}
    assert not values & {task.id, review, ANA.id, ANA.name, task.submitter, task.submitter_name}


async def test_policies_beyond_a_hundred_are_counted_together(world: World) -> None:
    measures = Measures()
    measures.waits.update({f"p{n}": Distribution(WAITS) for n in range(POLICIES)})
    review = await world.approve(await world.open_review((await world.submit("hello")).id))
    measures.decided(review, Verdict.APPROVE, "api")
    assert len(measures.waits) == POLICIES + 1
    assert sum(measures.waits[OTHERS].counts) == 1


def test_a_distribution_counts_its_bounds_in() -> None:
    found = Distribution((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        found.add(value)
    assert found.counts == [2, 2, 1]
    assert found.sum == 8


async def test_the_house_shows_its_numbers_to_who_has_signed_in(sqlite_database: Database) -> None:
    async with running(sqlite_database) as (opened, http):
        async with http.get("/metrics") as answer:
            assert answer.status == 401
        sam = await bearer(opened, "sam")
        await posted(http, "/v1/tasks", sam, input="hello")
        async with http.get("/metrics", headers=sam) as answer:
            told = Scrape(await answer.text())
    assert told("countersign_tasks_submitted_total") == 1
    assert told("countersign_deliveries_waiting", channel="webhook") == 0
    assert told("countersign_requests_refused_total", status="401", problem="unidentified") == 1


def test_nobody_waits_for_the_library_before_the_first_scrape() -> None:
    program = "import countersign.composition, sys; print('prometheus_client' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
