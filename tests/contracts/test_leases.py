"""Who does what only one replica does at a time: on PostgreSQL, by its clock, two keepers at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from core.errors import StoreUnavailable, Unavailable
from core.leases import AGAIN, EVERY, LASTS, MARGIN, Alone, InTurn, Leases
from core.model import LEASES, Delivery, DeliveryId, DeliveryState, Hint, ReviewId, TaskId
from core.store.leases import LeaseRows
from tests.contracts.conftest import on
from tests.core.test_policy import review
from tests.world import DESK, PATIENCE, START, Board, PaperChannel, StoppedClock, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from core.model import ChannelName
    from core.ports import Held
    from core.store.database import Database

TEN = timedelta(seconds=10)
NAME = "outbox paper"


def seconds_of(clock: StoppedClock) -> Callable[[], float]:
    return lambda: clock.now().timestamp()


@pytest.fixture
async def rows(postgres_database: Database, clock: StoppedClock) -> AsyncIterator[LeaseRows]:
    async with LeaseRows(postgres_database, clock, lambda _: None) as started:
        yield started


CARD = Delivery(
    id=DeliveryId("d" * 32),
    task=TaskId("t"),
    review=ReviewId("r"),
    event_seq=3,
    recipient=DESK,
    state=DeliveryState.DUE,
    message=None,
    version=1,
    shown=0,
    tries=0,
    due_at=START,
    failing_since=None,
    error=None,
)


def expire(database: Database) -> None:
    """Let the database's clock have gone past it."""
    on(database, "UPDATE lease SET expires_at = expires_at - 60000000")


# What the rows say


async def test_one_takes_it_and_the_other_is_told_how_long_it_lasts(rows: LeaseRows) -> None:
    assert await rows.take(NAME, "a", TEN) == 1
    left = await rows.take(NAME, "b", TEN)
    assert isinstance(left, timedelta)
    assert TEN / 2 < left <= TEN


async def test_what_has_expired_is_taken_with_a_higher_token(
    rows: LeaseRows, postgres_database: Database
) -> None:
    assert await rows.take(NAME, "a", TEN) == 1
    expire(postgres_database)
    assert await rows.take(NAME, "b", TEN) == 2
    assert not await rows.renew(NAME, "a", 1, TEN), "the first one has been overtaken"
    await rows.release(NAME, "a", 1)
    assert isinstance(await rows.take(NAME, "a", TEN), timedelta), "and gives up nothing of the second's"


async def test_nobody_renews_what_has_expired(rows: LeaseRows, postgres_database: Database) -> None:
    await rows.take(NAME, "a", TEN)
    assert await rows.renew(NAME, "a", 1, TEN)
    expire(postgres_database)
    assert not await rows.renew(NAME, "a", 1, TEN)


async def test_what_is_given_up_is_free_at_once_and_told(
    postgres_database: Database, clock: StoppedClock
) -> None:
    told: list[ChannelName] = []
    async with LeaseRows(postgres_database, clock, told.extend) as rows:
        await rows.take(NAME, "a", TEN)
        assert told == []
        await rows.release(NAME, "a", 1)
        assert told == [LEASES]
        assert await rows.take(NAME, "b", TEN) == 2


async def test_of_many_at_once_one_takes_it(postgres_database: Database, clock: StoppedClock) -> None:
    async with AsyncExitStack() as stack:
        many = [
            await stack.enter_async_context(LeaseRows(postgres_database, clock, lambda _: None))
            for _ in range(4)
        ]
        for token in range(1, 6):
            found = await asyncio.gather(
                *(rows.take(NAME, f"r{number}", TEN) for number, rows in enumerate(many))
            )
            assert [one for one in found if isinstance(one, int)] == [token]
            expire(postgres_database)


# What the keepers do


@dataclass
class Work(Board):
    """What only one does."""

    began: int = 0
    ended: int = 0
    held: Held | None = None
    faults: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @asynccontextmanager
    async def __call__(self, held: Held) -> AsyncIterator[None]:
        if self.faults:
            raise self.faults.pop(0)
        self.held = held
        self.began += 1
        self.change()
        try:
            yield
        finally:
            self.ended += 1
            self.change()

    @property
    def is_going_on(self) -> bool:
        return self.began > self.ended


async def test_one_keeper_works_and_when_it_leaves_the_other_begins_at_once(
    postgres_database: Database, clock: StoppedClock
) -> None:
    ana, ben = Work(), Work()
    async with AsyncExitStack() as stack:
        theirs = Leases(
            await stack.enter_async_context(LeaseRows(postgres_database, clock, lambda _: None)), "ben", clock
        )
        mine = Leases(
            await stack.enter_async_context(
                LeaseRows(postgres_database, clock, lambda due: theirs.heard(Hint(due=frozenset(due))))
            ),
            "ana",
            clock,
        )
        async with mine.holding(NAME, ana):
            assert ana.is_going_on
            await stack.enter_async_context(theirs.holding(NAME, ben))
            assert not ben.began
        assert not ana.is_going_on
        async with asyncio.timeout(PATIENCE):
            await ben.until(lambda: ben.is_going_on)


async def test_who_was_frozen_stops_when_it_wakes_and_touches_nothing(
    postgres_database: Database, clock: StoppedClock
) -> None:
    channel = PaperChannel()
    frozen, other = Work(), Work()
    async with AsyncExitStack() as stack:
        rows = await stack.enter_async_context(LeaseRows(postgres_database, clock, lambda _: None))
        asleep = Leases(rows, "asleep", clock, seconds=seconds_of(clock))
        awake = Leases(rows, "awake", StoppedClock())
        await stack.enter_async_context(asleep.holding(NAME, frozen))
        assert frozen.held is not None
        assert frozen.held.left == LASTS
        expire(postgres_database)
        await stack.enter_async_context(awake.holding(NAME, other))
        assert other.is_going_on
        clock.advance(LASTS)
        posting = InTurn(channel, frozen.held)
        with pytest.raises(Unavailable):
            await posting.post(CARD, review(), thread=None)
        assert channel.calls == []
        await frozen.until(lambda: not frozen.is_going_on)
        assert other.is_going_on


class Lost:
    """A database that is gone once the lease is taken."""

    def __init__(self) -> None:
        self.tries = Board()
        self.renewals = 0

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        return lasts if self.renewals else 1

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        self.renewals += 1
        self.tries.change()
        raise StoreUnavailable("The PostgreSQL database cannot be reached.")

    async def release(self, name: str, holder: str, token: int) -> None:
        raise StoreUnavailable("The PostgreSQL database cannot be reached.")


async def _changed(lost: Lost, work: Work, seen: tuple[int, int]) -> bool:
    """Lets the loop turn."""
    await asyncio.sleep(0)
    return (lost.renewals, work.ended) != seen


async def test_who_cannot_renew_stops_before_another_may_begin(clock: StoppedClock) -> None:
    lost, work = Lost(), Work()
    began = clock.now()
    async with Leases(lost, "a", clock, seconds=seconds_of(clock)).holding(NAME, work):
        while work.is_going_on:
            seen = lost.renewals, work.ended
            clock.advance(EVERY if not lost.renewals else AGAIN)
            await eventually(partial(_changed, lost, work, seen))
        assert lost.renewals > 3
        assert timedelta(seconds=7) < clock.now() - began <= LASTS - MARGIN


async def test_alone_it_is_always_ones_turn() -> None:
    work = Work()
    async with Alone().holding(NAME, work):
        assert work.is_going_on
        assert work.held is not None
        assert work.held.left
    assert not work.is_going_on


async def test_a_start_that_fails_is_told_and_leaves_it_to_others(
    rows: LeaseRows, clock: StoppedClock
) -> None:
    broken = Work(faults=[ValueError("refused")])
    with pytest.raises(ValueError, match="refused"):
        async with Leases(rows, "a", clock).holding(NAME, broken):
            pass
    other = Work()
    async with Leases(rows, "b", clock).holding(NAME, other):
        assert other.is_going_on
