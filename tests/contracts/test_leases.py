"""Who does what only one replica does at a time: on PostgreSQL, by its clock, two keepers at once."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from core.errors import StoreUnavailable, Unavailable
from core.leases import AFTER_A_FAILURE, AGAIN, EVERY, LASTS, MARGIN, Alone, InTurn, Leases
from core.model import LEASES, TIMERS, Delivery, DeliveryId, DeliveryState, Hint, MessageRef, ReviewId, TaskId
from core.stopping import cut_off
from core.store.leases import LeaseRows
from tests.contracts.conftest import on
from tests.core.judging import review
from tests.world import DESK, PATIENCE, START, Board, PaperChannel, StoppedClock, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

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
    await rows.release(NAME, "a", None)
    assert isinstance(await rows.take(NAME, "a", TEN), timedelta), "and gives up nothing of the second's"


async def test_what_one_holds_already_it_takes_anew(rows: LeaseRows) -> None:
    """The answer to its first asking may have been lost."""
    assert await rows.take(NAME, "a", TEN) == 1
    assert await rows.take(NAME, "a", TEN) == 2
    assert not await rows.renew(NAME, "a", 1, TEN)
    assert await rows.renew(NAME, "a", 2, TEN)


async def test_a_release_that_comes_late_ends_no_newer_term_of_the_same_holder(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """It was on its way on a connection that stalled, while the holder took its lease anew on another."""
    told: list[ChannelName] = []
    async with LeaseRows(postgres_database, clock, told.extend) as rows:
        assert await rows.take(NAME, "a", TEN) == 1
        assert await rows.take(NAME, "a", TEN) == 2
        await rows.release(NAME, "a", 1)
        assert told == []
        assert isinstance(await rows.take(NAME, "b", TEN), timedelta)
        assert await rows.renew(NAME, "a", 2, TEN)
        await rows.release(NAME, "a", 2)
        assert await rows.take(NAME, "b", TEN) == 3


async def test_who_knows_no_token_gives_up_the_term_that_it_has(rows: LeaseRows) -> None:
    await rows.release(NAME, "a", None)
    assert await rows.take(NAME, "a", TEN) == 1
    await rows.release(NAME, "a", None)
    assert await rows.take(NAME, "b", TEN) == 2


async def test_nobody_renews_what_has_expired(rows: LeaseRows, postgres_database: Database) -> None:
    await rows.take(NAME, "a", TEN)
    assert await rows.renew(NAME, "a", 1, TEN)
    expire(postgres_database)
    assert not await rows.renew(NAME, "a", 1, TEN)


async def test_a_clock_that_was_set_back_keeps_a_dead_holder_no_longer_than_a_lease_lasts(
    rows: LeaseRows, postgres_database: Database
) -> None:
    """Or a standby took over whose clock is behind."""
    assert await rows.take(NAME, "a", TEN) == 1
    on(postgres_database, "UPDATE lease SET expires_at = expires_at + 3600000000")
    assert await rows.take(NAME, "b", TEN) == TEN
    left = await rows.take(NAME, "b", TEN)
    assert isinstance(left, timedelta)
    assert left < TEN
    assert await rows.renew(NAME, "a", 1, TEN), "who lives goes on"
    expire(postgres_database)
    assert await rows.take(NAME, "b", TEN) == 2


async def test_what_is_given_up_is_free_at_once_and_told(
    postgres_database: Database, clock: StoppedClock
) -> None:
    told: list[ChannelName] = []
    async with LeaseRows(postgres_database, clock, told.extend) as rows:
        await rows.take(NAME, "a", TEN)
        assert told == []
        await rows.release(NAME, "a", 1)
        await rows.release(NAME, "a", 1)
        assert told == [LEASES], "once"
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
        with pytest.raises(Unavailable):
            await posting.update(CARD, review(), message=MessageRef("desk/1"))
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

    async def release(self, name: str, holder: str, token: int | None) -> None:
        raise StoreUnavailable("The PostgreSQL database cannot be reached.")


async def _changed(lost: Lost, work: Work, seen: tuple[int, int]) -> bool:
    """Lets the loop turn."""
    await asyncio.sleep(0)
    return (lost.renewals, work.ended) != seen


async def test_who_cannot_renew_stops_before_another_may_begin(clock: StoppedClock) -> None:
    lost, work = Lost(), Work()
    began = clock.now()
    with capture_logs() as logs:
        async with Leases(lost, "a", clock, seconds=seconds_of(clock)).holding(NAME, work):
            while work.is_going_on:
                seen = lost.renewals, work.ended
                clock.advance(EVERY if not lost.renewals else AGAIN)
                await eventually(partial(_changed, lost, work, seen))
            assert lost.renewals > 3
    # An outage of an hour is one line, not one for each of its tries.
    assert [line["event"] for line in logs].count("lease_postponed") == 1
    assert timedelta(seconds=7) < clock.now() - began <= LASTS - MARGIN


class Ledger(Board):
    """Leases of a database that always answers: first that others hold it for so long, then that one may."""

    def __init__(self, others: Sequence[timedelta] = ()) -> None:
        super().__init__()
        self._others = list(others)
        self.renewals = 0
        self.released: list[int | None] = []

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        return self._others.pop(0) if self._others else 1

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        self.renewals += 1
        self.change()
        return True

    async def release(self, name: str, holder: str, token: int | None) -> None:
        self.released.append(token)


class GivenUp(Ledger):
    """It is given up just as the answer is on its way that another has it."""

    def __init__(self) -> None:
        super().__init__(others=[EVERY, EVERY])
        self.leases: Leases | None = None

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        if len(self._others) == 1 and self.leases is not None:
            self.leases.heard(Hint(due=frozenset({LEASES})))
        return await super().take(name, holder, lasts)


async def test_what_is_given_up_while_it_is_asked_for_is_taken_at_once(clock: StoppedClock) -> None:
    ledger, work = GivenUp(), Work()
    ledger.leases = Leases(ledger, "a", clock, seconds=seconds_of(clock))
    async with ledger.leases.holding(NAME, work):
        await eventually(partial(_goes_on, work))
    assert clock.now() == START, "nobody waited"


SECONDS = timedelta(seconds=2)


class Slow(Ledger):
    """Each answer takes two seconds."""

    def __init__(self, clock: StoppedClock) -> None:
        super().__init__()
        self._clock = clock

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        self._clock.advance(SECONDS)
        return await super().take(name, holder, lasts)

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        self._clock.advance(SECONDS)
        return await super().renew(name, holder, token, lasts)


async def test_a_holder_counts_from_before_it_asked(clock: StoppedClock) -> None:
    """By the database's clock the lease may have begun then."""
    slow, work = Slow(clock), Work()
    async with Leases(slow, "a", clock, seconds=seconds_of(clock)).holding(NAME, work):
        assert work.held is not None
        assert work.held.left == LASTS - SECONDS
        await slow.until(lambda: slow.renewals == 1)
        await eventually(partial(_has_alarm, clock))
        assert work.held.left == LASTS - SECONDS


class Unanswering(Ledger):
    """From the second renewal on there is no answer."""

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        await super().renew(name, holder, token, lasts)
        if self.renewals > 1:
            await asyncio.Event().wait()
        return True


async def test_who_is_not_answered_in_time_stops_before_another_may_begin(clock: StoppedClock) -> None:
    unanswering, work = Unanswering(), Work()
    async with Leases(unanswering, "a", clock, seconds=seconds_of(clock)).holding(NAME, work):
        await unanswering.until(lambda: unanswering.renewals == 1)
        await eventually(partial(_has_alarm, clock))
        clock.advance(LASTS - MARGIN - timedelta(milliseconds=50))
        await work.until(lambda: work.ended == 1)
        assert unanswering.renewals == 2


class Others(Ledger):
    """It is somebody else's from the first renewal on, which is answered once the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        return lasts if self.renewals else 1

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        await super().renew(name, holder, token, lasts)
        await self.gate.wait()
        return False


@dataclass
class Stubborn(Work):
    """A part of it goes on when it is stopped, and posts once the gate is opened."""

    channel: PaperChannel = field(default_factory=PaperChannel)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    part: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def __call__(self, held: Held) -> AsyncIterator[None]:
        async with super().__call__(held):
            self.part = asyncio.create_task(self._posts(held))
            try:
                yield
            finally:
                await cut_off([self.part], within=timedelta(0))

    async def _posts(self, held: Held) -> None:
        while not self.gate.is_set():
            with suppress(asyncio.CancelledError):
                await self.gate.wait()
        await InTurn(self.channel, held).post(CARD, review(), thread=None)


async def test_what_would_not_stop_posts_nothing_once_the_database_says_that_it_is_anothers(
    clock: StoppedClock,
) -> None:
    others, stubborn = Others(), Stubborn()
    others.gate.set()
    async with Leases(others, "a", clock, seconds=seconds_of(clock)).holding(NAME, stubborn):
        await eventually(partial(_has_alarm, clock))
        clock.advance(EVERY)
        await stubborn.until(lambda: not stubborn.is_going_on)
        await eventually(partial(_has_alarm, clock))
        assert stubborn.part is not None
        assert not stubborn.part.done()
        stubborn.gate.set()
        with pytest.raises(Unavailable, match="Another replica"):
            await stubborn.part
    assert stubborn.channel.calls == []


@dataclass
class Draining(Work):
    """When it is to end it had just read what to post next."""

    channel: PaperChannel = field(default_factory=PaperChannel)
    had_left: timedelta | None = None
    refusal: Unavailable | None = None

    @asynccontextmanager
    async def __call__(self, held: Held) -> AsyncIterator[None]:
        async with super().__call__(held):
            try:
                yield
            finally:
                self.had_left = held.left
                try:
                    await InTurn(self.channel, held).post(CARD, review(), thread=None)
                except Unavailable as refusal:
                    self.refusal = refusal


async def test_once_a_lease_is_lost_nothing_is_begun_and_what_is_under_way_has_its_time(
    clock: StoppedClock,
) -> None:
    """Another may be at work already, and post the same card."""
    others, draining = Others(), Draining()
    others.gate.set()
    async with Leases(others, "a", clock, seconds=seconds_of(clock)).holding(NAME, draining):
        await draining.until(lambda: draining.ended == 1)
    assert draining.channel.calls == []
    assert draining.refusal is not None
    assert draining.had_left == LASTS, "else a card would be cut off that is noted when it is posted"


async def test_what_ends_in_good_order_may_post_to_its_end(clock: StoppedClock) -> None:
    """Nobody else begins before it is over."""
    ledger, draining = Ledger(), Draining()
    async with Leases(ledger, "a", clock, seconds=seconds_of(clock)).holding(NAME, draining):
        pass
    assert len(draining.channel.calls) == 1
    assert ledger.released == [1]


@dataclass
class SlowStart(Work):
    """To begin takes until the gate is opened."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    is_cut_off: bool = False

    @asynccontextmanager
    async def __call__(self, held: Held) -> AsyncIterator[None]:
        self.held = held
        self.change()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.is_cut_off = True
            self.change()
            raise
        async with super().__call__(held):
            yield


async def test_a_lease_is_renewed_while_its_work_takes_long_to_begin(clock: StoppedClock) -> None:
    ledger, slow = Ledger(), SlowStart()
    holding = Leases(ledger, "a", clock, seconds=seconds_of(clock)).holding(NAME, slow)
    entering = asyncio.create_task(holding.__aenter__())
    await slow.until(lambda: slow.held is not None)
    for renewals in range(1, 6):
        await eventually(partial(_has_alarm, clock))
        clock.advance(EVERY)
        await ledger.until(lambda renewals=renewals: ledger.renewals == renewals)  # type: ignore[misc]  # mypy does not infer a lambda with defaults
        assert slow.held is not None
        assert slow.held.left > MARGIN
    slow.gate.set()
    await entering
    assert slow.is_going_on
    await holding.__aexit__(None, None, None)
    assert not slow.is_going_on
    assert ledger.released == [1], "the term that it had"


async def _has_alarm(clock: StoppedClock) -> bool:
    await asyncio.sleep(0)
    return clock.next_alarm is not None


async def test_work_that_begins_while_its_lease_cannot_be_renewed_is_cut_off_before_another_may_begin(
    clock: StoppedClock,
) -> None:
    lost, slow = Lost(), SlowStart()
    began = clock.now()
    holding = Leases(lost, "a", clock, seconds=seconds_of(clock)).holding(NAME, slow)
    entering = asyncio.create_task(holding.__aenter__())
    await slow.until(lambda: slow.held is not None)
    while not slow.is_cut_off:
        seen = lost.renewals
        clock.advance(EVERY if not lost.renewals else AGAIN)
        await eventually(partial(_tried_or_cut_off, lost, slow, seen))
        assert clock.now() - began < LASTS
    await entering
    assert timedelta(seconds=7) < clock.now() - began <= LASTS - MARGIN
    assert not slow.began
    await holding.__aexit__(None, None, None)


@dataclass
class Deaf(Work):
    """It takes being cancelled while it begins for something else, and goes on."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    is_cancelled: bool = False
    defect: Exception | None = None

    @asynccontextmanager
    async def __call__(self, held: Held) -> AsyncIterator[None]:
        self.held = held
        self.change()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            await self.gate.wait()
        if self.defect is not None:
            raise self.defect
        async with super().__call__(held):
            yield


@pytest.mark.parametrize("defect", [None, ValueError("https://api.telegram.org/bot123:secret")])
async def test_work_that_would_not_be_cut_off_ends_as_soon_as_it_has_begun(
    clock: StoppedClock, caplog: pytest.LogCaptureFixture, defect: Exception | None
) -> None:
    """The stop did not wait for it, and nobody else would ever end it."""
    ledger, deaf = Ledger(), Deaf(defect=defect)
    known: list[AbstractAsyncContextManager[None]] = []  # so that it is not the collector who ends it

    def work(held: Held) -> AbstractAsyncContextManager[None]:
        known.append(deaf(held))
        return known[0]

    holding = Leases(ledger, "a", clock, seconds=seconds_of(clock)).holding(NAME, work)
    entering = asyncio.create_task(holding.__aenter__())
    await deaf.until(lambda: deaf.held is not None)
    beginning = next(task for task in asyncio.all_tasks() if task.get_name() == f"beginning {NAME}")
    with capture_logs() as logs:
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert deaf.is_cancelled
        assert ledger.released == [1]
        assert deaf.held is not None
        assert not deaf.held.left, "others may begin"
        deaf.gate.set()
        await asyncio.wait([beginning])
        await asyncio.sleep(0)
    assert not deaf.is_going_on
    assert deaf.began == deaf.ended == (0 if defect else 1)
    told = [line["error"] for line in logs if line["event"] == "broke_while_stopping"]
    assert told == (["ValueError"] if defect else [])
    del beginning, known[:]
    gc.collect()
    assert "secret" not in f"{logs} {caplog.text}"


async def test_work_that_breaks_while_its_lease_is_lost_is_told_without_its_words(
    clock: StoppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nobody would have read its error, and asyncio would quote it."""
    others, deaf = Others(), Deaf(defect=ValueError("https://api.telegram.org/bot123:secret"))
    holding = Leases(others, "a", clock, seconds=seconds_of(clock)).holding(NAME, deaf)
    with capture_logs() as logs:
        entering = asyncio.create_task(holding.__aenter__())
        await deaf.until(lambda: deaf.held is not None)
        await eventually(partial(_has_alarm, clock))
        clock.advance(EVERY)
        await others.until(lambda: others.renewals == 1)
        beginning = next(task for task in asyncio.all_tasks() if task.get_name() == f"beginning {NAME}")
        deaf.gate.set()
        await asyncio.wait([beginning])
        others.gate.set()
        await entering
        await holding.__aexit__(None, None, None)
        del beginning
        gc.collect()
    assert [line["error"] for line in logs if line["event"] == "broke_while_stopping"] == ["ValueError"]
    assert "secret" not in f"{logs} {caplog.text}"


async def _tried_or_cut_off(lost: Lost, slow: SlowStart, seen: int) -> bool:
    await asyncio.sleep(0)
    return lost.renewals != seen or slow.is_cut_off


class Unheard:
    """Real leases, but the first answer is lost on its way: it never comes, or is a failure."""

    def __init__(self, rows: LeaseRows, fault: Exception | None = None) -> None:
        self._rows = rows
        self._fault = fault
        self.asked = asyncio.Event()
        self.renew, self.release = rows.renew, rows.release

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        taken = await self._rows.take(name, holder, lasts)
        if self.asked.is_set():
            return taken
        self.asked.set()
        if self._fault is not None:
            raise self._fault
        await asyncio.Event().wait()
        raise AssertionError


async def test_what_was_taken_by_who_was_stopped_meanwhile_is_given_up(
    rows: LeaseRows, clock: StoppedClock
) -> None:
    unheard, other = Unheard(rows), Work()
    beginning = asyncio.create_task(Leases(unheard, "a", clock).holding(NAME, Work()).__aenter__())
    await unheard.asked.wait()
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    async with Leases(rows, "b", clock).holding(NAME, other):
        assert other.is_going_on


async def test_what_was_taken_in_a_later_look_by_who_leaves_meanwhile_is_given_up(
    rows: LeaseRows, clock: StoppedClock, postgres_database: Database
) -> None:
    await rows.take(NAME, "first", TEN)
    unheard, other = Unheard(rows), Work()
    unheard.asked.set()
    async with Leases(unheard, "a", clock).holding(NAME, Work()):
        await eventually(partial(_has_alarm, clock))
        unheard.asked.clear()
        expire(postgres_database)
        clock.advance(EVERY)
        await unheard.asked.wait()
    async with Leases(rows, "b", clock).holding(NAME, other):
        assert other.is_going_on


async def test_who_took_it_though_it_was_told_otherwise_has_it_at_its_next_try(
    rows: LeaseRows, clock: StoppedClock
) -> None:
    work = Work()
    unheard = Unheard(rows, StoreUnavailable("The PostgreSQL database cannot be reached."))
    async with Leases(unheard, "a", clock).holding(NAME, work):
        assert not work.began
        await eventually(partial(_has_alarm, clock))
        clock.advance(AGAIN)
        await eventually(partial(_goes_on, work))


async def _goes_on(work: Work) -> bool:
    await asyncio.sleep(0)
    return work.is_going_on


async def test_a_turn_that_breaks_is_told_with_the_place_and_not_the_words_and_tried_again(
    clock: StoppedClock,
) -> None:
    """Whatever it is: a channel that nobody serves would be dumb until the next start."""
    broken = Work(faults=[ValueError("https://api.telegram.org/bot123:secret")])
    with capture_logs() as logs:
        leases = Leases(Ledger(others=[EVERY]), "a", clock)
        async with leases.holding(NAME, broken):
            await eventually(partial(_waits_until, clock, clock.now() + AFTER_A_FAILURE))
            leases.heard(Hint(due=frozenset({LEASES})))
            for _ in range(20):
                assert await _waits_until(clock, clock.now() + AFTER_A_FAILURE)
            assert not broken.began, "nor because another failed as well"
            clock.advance(AFTER_A_FAILURE)
            await eventually(partial(_goes_on, broken))
    (told,) = [line for line in logs if line["event"] == "turn_failed"]
    assert told["error"] == "ValueError"
    assert "test_leases.py" in told["at"]
    assert "secret" not in str(logs)


async def _waits_until(clock: StoppedClock, at: datetime) -> bool:
    await asyncio.sleep(0)
    return clock.next_alarm == at


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


async def test_where_hints_were_lost_who_waits_for_a_lease_looks_whether_it_is_free(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with LeaseRows(postgres_database, clock, lambda _: None) as rows:
        leases, freed = Leases(rows, "r", clock), asyncio.Event()
        leases._waiting.add(freed)
        leases.heard(Hint(due=frozenset({TIMERS})))
        assert not freed.is_set()
        leases.heard(Hint(is_whole=False))
        assert freed.is_set()
