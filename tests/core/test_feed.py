"""Followers: no gap, no doubles, none held up by another, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from core.errors import NotFound
from core.events import (
    AttemptStarted,
    NodeRetried,
    ReviewRequested,
    TaskCompleted,
    TaskRewound,
    TaskSubmitted,
)
from core.feed import BUFFERED, KNOWN, LONGEST, Feed
from core.model import Hint, Outcome, Status, StoredEvent, TaskId
from tests.core.judging import review
from tests.world import PATIENCE, START, Board

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from core.events import Event
    from core.model import Task
    from tests.world import World

T = TaskId("t")


class History(Board):
    """A store of events whose reads can be held up at a gate, before or after they look."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[StoredEvent] = []
        self.feed = Feed(self)
        self.reads = 0
        self.before = asyncio.Event()
        self.after = asyncio.Event()
        self.before.set()
        self.after.set()
        self.looked = 0

    def add(self, count: int = 1, *, final: bool = False) -> None:
        seq = len(self.stored) + 1
        event = TaskCompleted(final_result="x", outcome="approved") if final else AttemptStarted(attempt=seq)
        self._store(*[event] * count)

    def go_back(self) -> None:
        """Somebody resumes the task from its first checkpoint."""
        self._store(TaskRewound(checkpoint=1, node="process", attempt=2, by="ana", by_name="Ana", edited=[]))

    def _store(self, *events: Event) -> None:
        stored = [
            StoredEvent(task=T, seq=seq, at=START, event=event)
            for seq, event in enumerate(events, len(self.stored) + 1)
        ]
        self.stored += stored
        self.feed.committed(stored, set())

    async def events(self, task_id: str, after: int) -> Sequence[StoredEvent]:
        self.reads += 1
        self.change()
        await self.before.wait()
        found = [event for event in self.stored if event.seq > after]
        self.looked += 1
        self.change()
        await self.after.wait()
        return found

    async def last_numbers(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, int]:
        return {T: len(self.stored)} if T in task_ids else {}

    async def task(self, task_id: str) -> Task:
        if not self.stored:
            raise NotFound("There is no such task.")
        done = isinstance(self.stored[-1].event, TaskCompleted)
        return review(status=Status.COMPLETED if done else Status.RUNNING, closed=Outcome.APPROVED).task


@pytest.fixture
async def history() -> History:
    return History()


async def seqs(followed: AsyncIterator[StoredEvent]) -> list[int]:
    async with asyncio.timeout(PATIENCE):
        return [event.seq async for event in followed]


async def test_what_is_stored_comes_first_then_what_happens_then_the_end(history: History) -> None:
    history.add(3)
    reading = asyncio.ensure_future(seqs(history.feed.follow(T)))
    await history.until(lambda: history.looked)
    history.add(2)
    history.add(final=True)
    assert await reading == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("gate", ["before", "after"])
async def test_what_happens_during_the_first_read_is_neither_lost_nor_doubled(
    history: History, gate: str
) -> None:
    history.add(2)
    held: asyncio.Event = getattr(history, gate)
    held.clear()
    reading = asyncio.ensure_future(seqs(history.feed.follow(T)))
    await history.until(lambda: history.reads if gate == "before" else history.looked)
    history.add(2)
    held.set()
    history.add(final=True)
    assert await reading == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("after", range(5))
async def test_a_follower_who_comes_back_goes_on_where_it_was(history: History, after: int) -> None:
    history.add(3)
    history.add(final=True)
    assert await seqs(history.feed.follow(T, after=after)) == list(range(after + 1, 5))


async def test_what_is_known_at_once_comes_in_one_piece_and_the_last_says_so(history: History) -> None:
    history.add(3)
    pieces = history.feed.follow_in_pieces(T)
    async with asyncio.timeout(PATIENCE):
        first = await anext(pieces)
        history.add(1)
        history.add(final=True)
        rest = [piece async for piece in pieces]
    seen = [([event.seq for event in piece.events], piece.is_last) for piece in (first, *rest)]
    assert seen == [([1, 2, 3], False), ([4, 5], True)]


async def test_the_end_between_two_reads_is_seen(history: History) -> None:
    history.add(2)
    history.after.clear()
    reading = asyncio.ensure_future(seqs(history.feed.follow(T, after=2)))
    await history.until(lambda: history.looked)
    history.add(final=True)
    history.after.set()
    assert await reading == [3]


async def test_past_an_end_that_somebody_went_back_on_the_story_goes_on(history: History) -> None:
    history.add(2)
    history.add(final=True)
    assert await seqs(history.feed.follow(T)) == [1, 2, 3]
    history.go_back()
    reading = asyncio.ensure_future(seqs(history.feed.follow(T, after=3)))
    everything = asyncio.ensure_future(seqs(history.feed.follow(T)))
    await history.until(lambda: history.looked == 3)
    history.add(final=True)
    assert await reading == [4, 5]
    assert await everything == [1, 2, 3, 4, 5]


async def test_an_end_that_somebody_went_back_on_while_it_was_read_is_none(history: History) -> None:
    history.add(final=True)
    history.after.clear()
    pieces = history.feed.follow_in_pieces(T)
    first = asyncio.ensure_future(anext(pieces))
    await history.until(lambda: history.looked)
    history.go_back()
    history.after.set()
    assert not (await first).is_last
    assert [event.seq for event in (await anext(pieces)).events] == [2]
    await pieces.aclose()


async def test_who_claims_to_have_seen_the_future_is_told_everything(history: History) -> None:
    """They saw another task, or a database that was put back since: of this one they know nothing."""
    history.add(2)
    followed = history.feed.follow(T, after=99)
    assert [(await anext(followed)).seq for _ in range(2)] == [1, 2]
    history.add(final=True)
    assert await seqs(followed) == [3]
    assert await seqs(history.feed.follow(T, after=99)) == [], "it has ended, which they may have seen"


async def test_who_has_seen_the_newest_is_told_nothing_again(history: History) -> None:
    history.add(2)
    reading = asyncio.ensure_future(seqs(history.feed.follow(T, after=2)))
    await history.until(lambda: history.looked)
    history.add(final=True)
    assert await reading == [3]


async def test_a_slow_follower_reads_again_and_misses_nothing(history: History) -> None:
    history.add()
    followed = history.feed.follow(T)
    seen = [(await anext(followed)).seq]
    history.add(BUFFERED * 3)
    reads = history.reads
    seen += [(await anext(followed)).seq for _ in range(BUFFERED)]
    assert history.reads == reads + 1
    history.add(BUFFERED * 2)
    history.add(final=True)
    seen += await seqs(followed)
    assert seen == list(range(1, len(history.stored) + 1))


async def test_a_slow_followers_buffer_is_bounded(history: History) -> None:
    history.add()
    followed = history.feed.follow(T)
    await anext(followed)
    history.add(10_000)
    (follower,) = history.feed._followers[T]
    assert len(follower.news) <= BUFFERED
    await followed.aclose()


async def test_many_followers_see_the_same_and_leave_nothing_behind(history: History) -> None:
    history.add(2)
    reading = [asyncio.ensure_future(seqs(history.feed.follow(T, after=n % 3))) for n in range(200)]
    await history.until(lambda: history.looked == 200)
    history.add(5)
    history.add(final=True)
    for number, answer in enumerate(await asyncio.gather(*reading)):
        assert answer == list(range(number % 3 + 1, 9))
    assert history.feed._followers == {}


async def test_who_leaves_early_leaves_nothing_behind(history: History) -> None:
    history.add()
    reading = asyncio.ensure_future(seqs(history.feed.follow(T)))
    await history.until(lambda: history.looked)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    gc.collect()
    await asyncio.sleep(0)
    assert history.feed._followers == {}
    history.add()


async def test_an_unknown_task_is_not_found_and_leaves_nothing_behind(history: History) -> None:
    with pytest.raises(NotFound):
        await seqs(history.feed.follow(T))
    assert history.feed._followers == {}


async def test_of_a_real_task_every_follower_sees_the_whole_story(world: World) -> None:
    task = await world.submit("x", flow="draft")
    early = [asyncio.ensure_future(seqs(world.service.follow(task.id))) for _ in range(20)]
    await world.reject(await world.open_review(task.id))
    late = [asyncio.ensure_future(seqs(world.service.follow(task.id, after=3))) for _ in range(20)]
    await world.approve(await world.open_review(task.id, 2))
    await world.end(task.id)
    assert {tuple(answer) for answer in await asyncio.gather(*early)} == {tuple(range(1, 13))}
    assert {tuple(answer) for answer in await asyncio.gather(*late)} == {tuple(range(4, 13))}
    assert await seqs(world.service.follow(task.id, after=12)) == []
    assert NodeRetried not in {type(event) for event in await world.history(task.id)}


def told_of(feed: Feed, *events: Event, first: int = 1) -> None:
    stored = [StoredEvent(task=T, seq=seq, at=START, event=event) for seq, event in enumerate(events, first)]
    feed.committed(stored, set())


ASKED = ReviewRequested(review="r", attempt=1, draft="a draft")
BEGUN = (TaskSubmitted(submitter="sam"), AttemptStarted(attempt=1), ASKED)


async def first(feed: Feed) -> list[int]:
    pieces = feed.follow_in_pieces(T)
    found = [event.seq for event in (await anext(pieces)).events]
    await pieces.aclose()
    return found


async def test_who_follows_what_was_just_submitted_asks_no_store(history: History) -> None:
    feed = Feed(history, hears_all=True)
    told_of(feed, *BEGUN)
    assert (await first(feed), history.reads) == ([1, 2, 3], 0)
    pieces = feed.follow_in_pieces(T)
    await anext(pieces)
    told_of(feed, TaskCompleted(final_result="x", outcome="approved"), first=4)
    last = await anext(pieces)
    assert ([event.seq for event in last.events], last.is_last) == ([4], True)


@pytest.mark.parametrize(
    "more",
    [
        (NodeRetried(node="n", retry=1, error="e"),),
        (replace(ASKED, draft="x" * (LONGEST + 1)),),
        (replace(ASKED, draft={"a": 1}),),
        (TaskCompleted(final_result="x", outcome="approved"),),
    ],
)
async def test_of_what_is_long_or_past_its_beginning_the_store_is_asked(
    history: History, more: tuple[Event, ...]
) -> None:
    history.add(5)
    feed = Feed(history, hears_all=True)
    told_of(feed, *BEGUN, *more)
    told_of(feed, AttemptStarted(attempt=1), first=5)
    assert (await first(feed), history.reads) == ([1, 2, 3, 4, 5], 1)


async def test_only_the_newest_are_known(history: History) -> None:
    history.add(5)
    feed = Feed(history, hears_all=True)
    told_of(feed, *BEGUN)
    for number in range(KNOWN):
        stored = StoredEvent(task=TaskId(str(number)), seq=1, at=START, event=BEGUN[0])
        feed.committed([stored], set())
    assert (await first(feed), history.reads) == ([1, 2, 3, 4, 5], 1)


async def test_where_others_write_the_store_is_always_asked(history: History) -> None:
    history.add(5)
    told_of(history.feed, *BEGUN)
    assert (await first(history.feed), history.reads) == ([1, 2, 3, 4, 5], 1)


async def test_who_was_not_told_is_woken_by_the_next_look(history: History) -> None:
    """The replica that stored it died before it could say so."""
    history.add()
    events = history.feed.follow(T)
    assert (await anext(events)).seq == 1
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    reads = history.reads
    assert await history.feed.look() == 0
    assert history.reads == reads, "who has missed nothing reads nothing"
    history.stored.append(replace(history.stored[0], seq=2))
    assert await history.feed.look() == 1
    assert (await waiting).seq == 2
    await events.aclose()


async def test_an_end_that_is_told_again_ends_the_stream(history: History) -> None:
    history.add()
    history.add(final=True)
    history.before.clear()
    pieces = history.feed.follow_in_pieces(T)
    first = asyncio.ensure_future(anext(pieces))
    await history.until(lambda: history.reads)
    history.feed.heard(Hint(tasks=frozenset({T})))
    history.before.set()
    assert [event.seq for event in (await first).events] == [1, 2]
    assert [piece async for piece in pieces] == []


async def test_what_another_replica_stored_between_is_read_before_what_was_told(history: History) -> None:
    """Its hint comes later than our own commit after it."""
    history.add()
    follower = history.feed.follow_in_pieces(T)
    assert [event.seq for event in (await anext(follower)).events] == [1]
    following = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    told = [StoredEvent(task=T, seq=seq, at=START, event=AttemptStarted(attempt=seq)) for seq in (2, 3)]
    history.stored += told
    history.feed.committed(told[1:], set())
    assert [event.seq for event in (await following).events] == [2, 3]
    await follower.aclose()


async def test_where_hints_were_lost_everybody_reads_again(history: History) -> None:
    history.add()
    events = history.feed.follow(T)
    await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    history.stored.append(replace(history.stored[0], seq=2))
    history.feed.heard(Hint(tasks=frozenset({TaskId("another")})))
    await asyncio.sleep(0)
    assert not waiting.done()
    history.feed.heard(Hint(is_whole=False))
    assert (await waiting).seq == 2
    await events.aclose()
