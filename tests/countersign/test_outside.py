"""Members of groups from outside are asked for again and again, and trusted for a while."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from core.errors import StoreUnavailable, Unavailable
from countersign.outside import GAP, PAUSE, Keeper
from countersign.sources import Kind, Source
from tests.world import PATIENCE, Board

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.world import StoppedClock

LEGAL = Source(group="legal", kind=Kind.HTTP, address="https://people.example.com/legal")
NIGHT = Source(group="night", kind=Kind.TELEGRAM, address="-1001", candidates=(42, 43))
OPS = Source(group="ops", kind=Kind.SLACK, address="S01OPS")
MINUTE = timedelta(minutes=1)
DOWN = Unavailable("The source is down.", retry_after=timedelta(0))


class Paper(Board):
    """Lists on paper. `say` is what a group's answers with; `put_in_force` counts and sees what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.say: dict[str, tuple[str, ...] | Exception] = {"legal": ("ana",), "ops": ("T0/U1",)}
        self.asked: list[str] = []
        self.seen: list[Mapping[str, tuple[str, ...]]] = []
        self.faults: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.keeper: Keeper | None = None

    async def ask(self, source: Source) -> tuple[str, ...]:
        self.asked.append(source.group)
        self.change()
        await self.gate.wait()
        said = self.say[source.group]
        if isinstance(said, Exception):
            raise said
        return said

    async def put_in_force(self) -> None:
        assert self.keeper is not None
        self.seen.append(self.keeper.members())
        self.change()
        if self.faults:
            raise self.faults.pop(0)

    async def asked_times(self, times: int) -> None:
        """Wait for so many questions, and for what follows from the answer."""
        await self.until(lambda: len(self.asked) >= times)
        await self.settled()

    async def settled(self) -> None:
        """Nothing waits on the loop any more."""
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def kept(paper: Paper, clock: StoppedClock, *sources: Source) -> AsyncIterator[Keeper]:
    """A keeper that runs, its first answers in force."""
    async with asyncio.timeout(PATIENCE), Keeper({s.group: s for s in sources}, paper.ask, clock) as keeper:
        paper.keeper = keeper
        running = asyncio.create_task(keeper.run(paper.put_in_force))
        await paper.settled()
        yield keeper
        running.cancel()
        await asyncio.wait([running])


async def test_it_is_asked_at_once_and_again_after_each_refresh(clock: StoppedClock) -> None:
    paper = Paper()
    async with kept(paper, clock, LEGAL) as keeper:
        assert keeper.members() == {"legal": ("ana",)}
        paper.say["legal"] = ("ana", "ben")
        clock.advance(LEGAL.refresh - timedelta(seconds=1))
        await paper.settled()
        assert len(paper.asked) == 1
        clock.advance(seconds=1)
        await paper.asked_times(2)
        assert keeper.members() == {"legal": ("ana", "ben")}
        assert paper.seen[-1] == {"legal": ("ana", "ben")}


async def test_the_last_answer_is_good_for_a_while_and_then_nobody_is_in_the_group(
    clock: StoppedClock,
) -> None:
    paper = Paper()
    async with kept(paper, clock, LEGAL) as keeper:
        paper.say["legal"] = DOWN
        clock.advance(LEGAL.stale_after - timedelta(seconds=1))
        await paper.settled()
        assert keeper.members() == {"legal": ("ana",)}
        clock.advance(seconds=1)
        await paper.settled()
        assert keeper.members() == {} == paper.seen[-1]
        assert keeper.unknown() == frozenset()
        paper.say["legal"] = ("ben",)
        clock.advance(seconds=30)
        await paper.settled()
        assert keeper.members() == {"legal": ("ben",)} == paper.seen[-1]


async def test_before_the_first_answer_nobody_is_in_the_group_and_it_says_that_it_does_not_know(
    clock: StoppedClock,
) -> None:
    paper = Paper()
    paper.say["legal"] = DOWN
    async with kept(paper, clock, LEGAL) as keeper:
        assert (keeper.members(), set(keeper.unknown())) == ({}, {"legal"})
        clock.advance(LEGAL.stale_after)
        await paper.settled()
        assert (keeper.members(), keeper.unknown()) == ({}, frozenset())


async def test_a_source_that_fails_is_asked_every_half_minute(clock: StoppedClock) -> None:
    paper = Paper()
    paper.say["legal"] = DOWN
    async with kept(paper, clock, LEGAL):
        for times in (2, 3, 4):
            clock.advance(seconds=29)
            await paper.settled()
            assert len(paper.asked) == times - 1
            clock.advance(seconds=1)
            await paper.asked_times(times)


async def test_a_pause_that_is_asked_for_is_kept_though_not_for_more_than_an_hour(
    clock: StoppedClock,
) -> None:
    paper = Paper()
    async with kept(paper, clock, OPS) as keeper:
        for asked_for, kept_for in ((77, 77), (10**6, 3600)):
            before = len(paper.asked)
            paper.say["ops"] = Unavailable("Too often.", retry_after=timedelta(seconds=asked_for))
            clock.advance(OPS.refresh)
            await paper.asked_times(before + 1)
            keeper.changed("S01OPS")
            clock.advance(seconds=kept_for - 1)
            await paper.settled()
            assert len(paper.asked) == before + 1
            paper.say["ops"] = ()
            clock.advance(seconds=1)
            await paper.asked_times(before + 2)


async def test_a_change_that_slack_tells_of_is_asked_for_at_once_and_a_storm_of_them_is_not(
    clock: StoppedClock,
) -> None:
    paper = Paper()
    async with kept(paper, clock, OPS, LEGAL) as keeper:
        clock.advance(MINUTE)
        paper.say["ops"] = ()
        keeper.changed("S0NONE")
        keeper.changed("S01OPS")
        await paper.asked_times(3)
        assert (paper.asked[2:], keeper.members()["ops"]) == (["ops"], ())
        for _ in range(5):
            keeper.changed("S01OPS")
            await paper.settled()
        assert len(paper.asked) == 3
        clock.advance(GAP)
        await paper.asked_times(4)


async def test_a_long_list_is_asked_for_more_seldom_by_as_many_pages_as_it_has(clock: StoppedClock) -> None:
    """Slack permits so many calls a minute, and each page is one."""
    paper = Paper()
    paper.say["ops"] = tuple(f"T0/U{number}" for number in range(5_000))
    async with kept(paper, clock, OPS) as keeper:
        clock.advance(OPS.refresh)
        await paper.asked_times(2)
        await paper.settled()
        keeper.changed("S01OPS")
        clock.advance(seconds=7)
        await paper.settled()
        assert len(paper.asked) == 2
        clock.advance(seconds=1)
        await paper.asked_times(3)


async def test_it_says_whether_a_change_concerns_a_group(clock: StoppedClock) -> None:
    paper = Paper()
    async with kept(paper, clock, OPS, LEGAL) as keeper:
        assert keeper.changed("S01OPS")
        assert not keeper.changed("C0LUNCH")
        assert not keeper.changed(LEGAL.address)


async def test_who_is_new_in_the_file_is_asked_for_at_once_and_the_others_stay_known(
    clock: StoppedClock,
) -> None:
    """Of a chat in Telegram, whose answer is about those who were asked for."""
    paper = Paper()
    paper.say["night"] = ("42",)
    async with kept(paper, clock, NIGHT) as keeper:
        clock.advance(MINUTE)
        keeper.watch({"night": replace(NIGHT, candidates=(43, 42))})
        await paper.settled()
        assert len(paper.asked) == 1, "nobody is new"
        paper.gate.clear()
        keeper.watch({"night": replace(NIGHT, candidates=(42, 44))})
        await paper.asked_times(2)
        assert keeper.members() == {"night": ("42",)}
        keeper.watch({"night": replace(NIGHT, candidates=(42, 44, 45))})
        paper.gate.set()
        await paper.settled()
        assert len(paper.asked) == 2
        clock.advance(GAP)
        await paper.asked_times(3)


async def test_a_change_while_it_is_being_asked_for_is_not_missed(clock: StoppedClock) -> None:
    paper = Paper()
    async with kept(paper, clock, OPS) as keeper:
        paper.gate.clear()
        clock.advance(OPS.refresh)
        await paper.asked_times(2)
        keeper.changed("S01OPS")
        paper.say["ops"] = ("T0/U2",)
        paper.gate.set()
        await paper.settled()
        clock.advance(GAP)
        await paper.asked_times(3)


async def test_what_fails_and_works_again_is_logged_once(clock: StoppedClock) -> None:
    paper = Paper()
    with capture_logs() as lines:
        async with kept(paper, clock, LEGAL):
            paper.say["legal"] = DOWN
            for _ in range(8):
                clock.advance(5 * MINUTE)
                await paper.settled()
            paper.say["legal"] = ("ana", "ben")
            clock.advance(MINUTE)
            await paper.settled()
    assert [line["event"] for line in lines] == [
        "group_not_answered",
        "group_closed",
        "group_answers_again",
    ]
    assert (lines[0]["group"], lines[0]["reason"]) == ("legal", "The source is down.")
    assert lines[0]["trusted_until"] == "2026-11-21T08:15:00+00:00"
    assert lines[2]["members"] == 2


async def test_another_reason_is_logged_too(clock: StoppedClock) -> None:
    """The first may be over, and what keeps it from answering now be to mend."""
    paper = Paper()
    with capture_logs() as lines:
        async with kept(paper, clock, LEGAL):
            for reason in ("The source is down.", "The source is down.", "The user 43 is refused."):
                paper.say["legal"] = Unavailable(reason)
                clock.advance(5 * MINUTE)
                await paper.settled()
    told = [line["reason"] for line in lines if line["event"] == "group_not_answered"]
    assert told == ["The source is down.", "The user 43 is refused."]


async def test_one_that_hangs_holds_up_no_other(clock: StoppedClock) -> None:
    paper = Paper()
    paper.gate.clear()
    async with kept(paper, clock, LEGAL, OPS) as keeper:
        assert sorted(paper.asked) == ["legal", "ops"]
        await keeper.answered(timedelta(0))
        paper.gate.set()
        await keeper.answered(timedelta(seconds=PATIENCE))
        assert set(keeper.members()) == {"legal", "ops"}


async def test_a_defect_is_a_trouble_like_any_other(clock: StoppedClock) -> None:
    paper = Paper()
    paper.say["legal"] = KeyError("users")
    async with kept(paper, clock, LEGAL) as keeper:
        paper.say["legal"] = ("ana",)
        clock.advance(seconds=30)
        await paper.settled()
        assert keeper.members() == {"legal": ("ana",)}


@pytest.mark.parametrize("fault", [StoreUnavailable("The database is locked."), ValueError("a defect")])
async def test_what_could_not_be_put_in_force_is_tried_again(clock: StoppedClock, fault: Exception) -> None:
    paper = Paper()
    async with kept(paper, clock, LEGAL):
        before = len(paper.seen)
        paper.faults = [fault]
        clock.advance(LEGAL.refresh)
        for more in (1, 2, 2):
            await paper.settled()
            assert len(paper.seen) == before + more
            clock.advance(PAUSE)


async def test_a_clock_that_is_set_back_makes_no_answer_younger(clock: StoppedClock) -> None:
    paper = Paper()
    async with kept(paper, clock, LEGAL) as keeper:
        paper.say["legal"] = DOWN
        clock.advance(timedelta(hours=-3))
        assert keeper.members() == {}
        keeper.changed("S0NONE")  # wakes it, as half a minute does that really passes
        await paper.settled()
        assert len(paper.asked) == 2
        paper.say["legal"] = ("ana",)
        clock.advance(MINUTE)
        keeper.changed("S0NONE")
        await paper.settled()
        assert keeper.members() == {"legal": ("ana",)}


async def test_a_reload_keeps_what_is_known_of_the_same_source_only(clock: StoppedClock) -> None:
    paper = Paper()
    async with kept(paper, clock, LEGAL, OPS) as keeper:
        paper.say = {"legal": DOWN, "ops": DOWN}
        often = replace(LEGAL, refresh=MINUTE, stale_after=3 * MINUTE)
        moved = replace(OPS, address="S02OPS")
        keeper.watch({"legal": often, "ops": moved})
        await paper.settled()
        assert (keeper.members(), set(keeper.unknown())) == ({"legal": ("ana",)}, {"ops"})
        clock.advance(3 * MINUTE)
        await paper.settled()
        assert keeper.members() == {}
        keeper.watch({})
        await paper.settled()
        assert keeper.unknown() == frozenset()


async def test_an_answer_of_a_source_that_is_gone_counts_no_more(clock: StoppedClock) -> None:
    paper = Paper()
    paper.gate.clear()
    async with kept(paper, clock, LEGAL) as keeper:
        keeper.watch({"legal": replace(LEGAL, address="https://other.example.com")})
        paper.say["legal"] = DOWN
        paper.gate.set()
        await paper.settled()
        assert (paper.asked, keeper.members()) == (["legal", "legal"], {})


async def test_with_nothing_to_keep_nothing_is_done(clock: StoppedClock) -> None:
    paper = Paper()
    async with kept(paper, clock):
        assert clock.next_alarm is None
        assert paper.asked == []
