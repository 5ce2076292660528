"""What falls due happens: once, also when nobody was there, and whatever else goes wrong."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from core.clock import SystemClock
from core.errors import ReviewIsClosed, StoreUnavailable
from core.events import DecisionRecorded, ReviewerReminded, ReviewEscalated, ReviewExpired
from core.model import TIMERS, Escalation, Hint, NewDecision, Outcome, Policy, Timer, Verdict
from core.store.sql import SqlStore
from core.timekeeper import PAUSE, SWEEP, Timekeeper
from tests.contracts.steps import delegated, recorded, waiting
from tests.world import ANA, BEN, CY, PEOPLE, Diary, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime

    from core.events import Event
    from core.model import Delegation, Person, PersonId, ReviewId
    from core.ports import Clock
    from core.store.database import Database
    from tests.world import StoppedClock

HOUR = timedelta(hours=1)
TIMED = Policy(
    name="timed",
    reviewers=(ANA.id, BEN.id),
    approvals=2,
    deadline=4 * HOUR,
    reminders=(HOUR, 2 * HOUR),
    escalation=Escalation(after=3 * HOUR, people=(CY.id,)),
)
TOLD = (ReviewerReminded, ReviewEscalated, ReviewExpired)


@dataclass
class Faulty:
    """A store whose timers can be made to break, and whose answers to fail."""

    store: SqlStore
    broken: set[str] = field(default_factory=set)
    faults: list[Exception] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    is_lost: bool = False
    """Whether looking at one of them breaks."""
    walks: int = 0
    """So many pages of open reviews were looked at, whose next call may be another."""

    async def due_timers(self, limit: int) -> Sequence[Timer]:
        return await self.store.due_timers(limit)

    async def next_timer(self) -> datetime | None:
        if self.faults:
            raise self.faults.pop(0)
        return await self.store.next_timer()

    async def delegations(self) -> Sequence[Delegation]:
        return await self.store.delegations()

    async def moved_calls(
        self, before: Sequence[Delegation], *, after: str | None, limit: int
    ) -> tuple[Sequence[ReviewId], str | None]:
        self.walks += 1
        if self.is_lost:
            raise ValueError("broken")
        return await self.store.moved_calls(before, after=after, limit=limit)

    async def show_calls(self, review_ids: Sequence[str]) -> None:
        await self.store.show_calls(review_ids)

    async def fire(
        self, timer: Timer, *, policies: Mapping[str, Policy], people: Mapping[PersonId, Person]
    ) -> bool:
        self.tried.append(timer.review)
        if timer.review in self.broken:
            raise ValueError("broken")
        return await self.store.fire(timer, policies=policies, people=people)


@dataclass
class Kept:
    store: SqlStore
    faulty: Faulty
    diary: Diary
    keeper: Timekeeper

    async def told(self, number: int) -> list[type[Event]]:
        """The kinds of the first so many things that happened by themselves, once they have."""
        found = await self.diary.until(lambda: self.happened[: number if len(self.happened) >= number else 0])
        return [type(event) for event in found]

    @property
    def happened(self) -> list[Event]:
        return [stored.event for stored in self.diary.events if isinstance(stored.event, TOLD)]


@asynccontextmanager
async def keeping(database: Database, clock: Clock) -> AsyncIterator[Kept]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(SqlStore(database, clock))
        faulty, diary = Faulty(store), Diary()
        keeper = Timekeeper(faulty, clock, PEOPLE, {})
        store.listen(diary)
        store.listen(keeper)
        await stack.enter_async_context(keeper)
        yield Kept(store, faulty, diary, keeper)


async def idle(kept: Kept) -> None:
    """Until the timekeeper has done all that is due, and sleeps."""

    async def sleeps() -> bool:
        await kept.store.next_timer()
        return kept.keeper.is_at_rest

    await eventually(sleeps)


async def test_each_happens_at_its_time_and_once(sqlite_database: Database, clock: StoppedClock) -> None:
    async with keeping(sqlite_database, clock) as kept:
        review = await waiting(kept.store, TIMED)
        for number, kind in enumerate(
            (ReviewerReminded, ReviewerReminded, ReviewEscalated, ReviewExpired), 1
        ):
            await idle(kept)
            clock.advance(minutes=59)
            await idle(kept)
            assert len(kept.happened) == number - 1, "nothing before its time"
            clock.advance(minutes=1)
            assert (await kept.told(number))[-1] is kind
        await idle(kept)
        clock.advance(days=3)
        await idle(kept)
        assert len(kept.happened) == 4
        assert (await kept.store.review(review)).outcome is Outcome.EXPIRED


async def test_what_fell_due_while_nobody_was_there_happens_at_the_start(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(sqlite_database, clock) as before:
        review = await waiting(before, TIMED)
    clock.advance(hours=3.5)
    async with keeping(sqlite_database, clock) as kept:
        # Two reminders that are due together are one.
        assert await kept.told(2) == [ReviewerReminded, ReviewEscalated]
        assert (await kept.store.review(review)).is_open


async def test_after_the_deadline_only_the_deadline_happens_at_the_start(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(sqlite_database, clock) as before:
        review = await waiting(before, TIMED)
    clock.advance(days=1)
    async with keeping(sqlite_database, clock) as kept:
        assert await kept.told(1) == [ReviewExpired]
        assert (await kept.store.review(review)).outcome is Outcome.EXPIRED


async def test_nothing_happens_after_the_decision(sqlite_database: Database, clock: StoppedClock) -> None:
    async with keeping(sqlite_database, clock) as kept:
        review = await waiting(kept.store, TIMED)
        await recorded(kept.store, review, ANA)
        await recorded(kept.store, review, BEN)
        other = await waiting(kept.store, TIMED)
        await idle(kept)
        clock.advance(hours=3.5)
        await kept.told(2)
        assert {stored.event.review for stored in kept.diary.events if isinstance(stored.event, TOLD)} == {
            other
        }


async def test_a_store_that_is_away_for_a_while_postpones_and_loses_nothing(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with keeping(sqlite_database, clock) as kept:
        await waiting(kept.store, replace(TIMED, reminders=(HOUR,)))
        await idle(kept)
        kept.faulty.faults = [StoreUnavailable("away") for _ in range(3)]
        with capture_logs() as logs:
            clock.advance(HOUR)
            while kept.faulty.faults:
                await idle(kept)
                clock.advance(SWEEP)
            assert await kept.told(1) == [ReviewerReminded]
            await idle(kept)
        said = [line.get("tries") for line in logs if line["event"] == "timers_postponed"]
        assert said == [None, 3], "once when it begins, and when it is over"


async def test_a_defect_ends_nothing(sqlite_database: Database, clock: StoppedClock) -> None:
    async with keeping(sqlite_database, clock) as kept:
        await waiting(kept.store, replace(TIMED, reminders=(HOUR,)))
        await idle(kept)
        kept.faulty.faults = [ZeroDivisionError()]
        clock.advance(HOUR)
        await idle(kept)
        clock.advance(minutes=1)
        assert await kept.told(1) == [ReviewerReminded]


async def test_a_clock_that_jumps_forward_lets_everything_happen_in_its_order(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with keeping(sqlite_database, clock) as kept:
        for _ in range(3):
            await waiting(kept.store, TIMED)
        await idle(kept)
        clock.advance(hours=3.5)
        await kept.told(6)
        clock.advance(days=400)
        found = await kept.told(9)
        assert sorted(kind.__name__ for kind in found) == sorted(
            ["ReviewerReminded", "ReviewEscalated", "ReviewExpired"] * 3
        )
        assert [kind is ReviewExpired for kind in found] == [False] * 6 + [True] * 3


async def test_a_clock_that_is_set_back_lets_nothing_happen_twice(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with keeping(sqlite_database, clock) as kept:
        await waiting(kept.store, TIMED)
        await idle(kept)
        clock.advance(HOUR)
        await kept.told(1)
        clock.advance(-HOUR)
        kept.keeper.look()
        await idle(kept)
        clock.advance(HOUR)
        kept.keeper.look()
        await idle(kept)
        assert len(kept.happened) == 1


async def test_who_keeps_the_time_again_looks_for_what_is_said_of_absences_from_then_on(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """What was said before, whoever kept it then has seen to."""
    async with keeping(sqlite_database, clock) as kept:
        await idle(kept)
        await kept.keeper.__aexit__(None, None, None)
        await delegated(kept.store, ANA, None, clock)
        await kept.keeper.__aenter__()
        await idle(kept)
        assert kept.faulty.walks == 0
        await delegated(kept.store, BEN, None, clock)
        await idle(kept)
        assert kept.faulty.walks == 1


async def test_what_is_said_of_absences_while_the_database_is_away_is_looked_for_later(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with keeping(sqlite_database, clock) as kept:
        await idle(kept)
        kept.faulty.faults = [StoreUnavailable("The disk is full.")]
        await delegated(kept.store, ANA, None, clock)
        await idle(kept)
        assert kept.faulty.walks == 0
        clock.advance(PAUSE)
        await idle(kept)
        assert kept.faulty.walks == 1


async def test_where_hints_were_lost_absences_are_looked_for_too(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """Another replica may have been told that somebody is away."""
    async with keeping(sqlite_database, clock) as kept, SqlStore(sqlite_database, clock) as other:
        await idle(kept)
        await delegated(other, ANA, None, clock)
        kept.keeper.heard(Hint(due=frozenset({TIMERS})))
        await idle(kept)
        assert kept.faulty.walks == 0
        kept.keeper.heard(Hint(is_whole=False))
        await idle(kept)
        assert kept.faulty.walks == 1


async def test_a_look_at_absences_that_breaks_holds_up_nothing_that_falls_due(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with keeping(sqlite_database, clock) as kept:
        await waiting(kept.store, TIMED)
        await idle(kept)
        kept.faulty.is_lost = True
        with capture_logs() as logs:
            await delegated(kept.store, ANA, None, clock)
            await idle(kept)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["calls_not_shown"]
        clock.advance(HOUR)
        assert await kept.told(1) == [ReviewerReminded]
        assert kept.faulty.walks == 1, "until somebody says so again"
        kept.faulty.is_lost = False
        await delegated(kept.store, BEN, None, clock)
        await idle(kept)
        assert kept.faulty.walks == 2


@pytest.mark.parametrize("broken", [1, 70])
async def test_a_timer_that_breaks_holds_up_no_other(
    sqlite_database: Database, clock: StoppedClock, broken: int
) -> None:
    policy = replace(TIMED, reminders=(HOUR,), escalation=None, deadline=None)
    async with keeping(sqlite_database, clock) as kept:
        kept.faulty.broken = {await waiting(kept.store, policy) for _ in range(broken)}
        clock.advance(seconds=1)
        others = {await waiting(kept.store, policy) for _ in range(3)}
        await idle(kept)
        clock.advance(2 * HOUR)
        await kept.told(3)
        await idle(kept)
        assert len(kept.faulty.tried) == broken + 3, "each was tried once"
        assert clock.next_alarm == clock.now() + SWEEP, "and nobody looks at them all the while"
        clock.advance(minutes=1)
        await idle(kept)
        assert len(kept.faulty.tried) == 2 * broken + 3, "and is again, a while later"
        kept.faulty.broken = set()
        clock.advance(minutes=1)
        await kept.told(3 + broken)
        assert {e.event.review for e in kept.diary.events if isinstance(e.event, ReviewerReminded)} >= others


async def test_one_that_somebody_else_overtook_is_looked_at_again_soon(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with keeping(sqlite_database, clock) as kept:
        await waiting(kept.store, replace(TIMED, reminders=(HOUR,)))
        await idle(kept)
        fire, refused = kept.faulty.fire, [ReviewIsClosed("Somebody else was first.")]

        async def overtaken(timer: Timer, **known: object) -> bool:
            if refused:
                raise refused.pop()
            return await fire(timer, **known)  # type: ignore[arg-type]  # passed on

        kept.faulty.fire = overtaken  # type: ignore[method-assign]  # the moment before it
        clock.advance(HOUR)
        await idle(kept)
        clock.advance(seconds=2)
        assert await kept.told(1) == [ReviewerReminded]


async def test_two_timekeepers_on_one_database_do_nothing_twice(
    any_database: Database, clock: StoppedClock
) -> None:
    async with keeping(any_database, clock) as one, keeping(any_database, clock) as two:
        reviews = {await waiting(one.store, TIMED) for _ in range(12)}
        await idle(one)
        await idle(two)
        for hours, left in ((3.5, 12), (24, 0)):
            clock.advance(hours=hours)
            one.keeper.look()
            two.keeper.look()
            await eventually(partial(_so_many_are_left, one.store, reviews, left))
        for review in reviews:
            task = (await one.store.review(review)).task.id
            kinds = [type(stored.event) for stored in await one.store.events(task, 0)]
            assert [kind for kind in kinds if kind in TOLD] == [
                ReviewerReminded,
                ReviewEscalated,
                ReviewExpired,
            ]


async def _so_many_are_left(store: SqlStore, reviews: Iterable[str], timers: int) -> bool:
    return sum([len(await store.timers(review)) for review in reviews]) == timers


async def test_a_decision_and_a_deadline_at_once_leave_one_story(
    any_database: Database, clock: StoppedClock
) -> None:
    """Whoever is first: a review is decided, or it expired."""
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for _ in range(15):
            review = await waiting(
                one, replace(TIMED, approvals=1, reminders=(), escalation=None, deadline=HOUR)
            )
            clock.advance(HOUR)
            (timer,) = await one.due_timers(9)
            decided, fired = await asyncio.gather(
                two.decide(review, NewDecision(reviewer=ANA, verdict=Verdict.APPROVE, via="web")),
                one.fire(timer, policies={}, people=PEOPLE),
            )
            assert (isinstance(decided[1], ReviewIsClosed), fired) == (True, True)
            task = (await one.review(review)).task.id
            kinds = [type(stored.event) for stored in await one.events(task, 0)]
            assert (kinds.count(ReviewExpired), kinds.count(DecisionRecorded)) == (1, 0)


async def test_by_a_real_clock_it_happens_within_two_seconds(sqlite_database: Database) -> None:
    clock = SystemClock()
    async with keeping(sqlite_database, clock) as kept, SqlStore(sqlite_database, clock) as other:
        soon = replace(TIMED, reminders=(timedelta(seconds=0.3),), escalation=None, deadline=None)
        began = time.monotonic()
        await waiting(other, soon)  # which this timekeeper is not told of
        await kept.told(1)
        assert time.monotonic() - began < 0.3 + 2
