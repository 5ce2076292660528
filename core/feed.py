"""Replay stored events, then wait for more; any number of followers, none of which holds up another.

A follower registers first and reads the store second, then drops what it has seen: no gap, no doubles.
Its buffer is bounded; one that falls behind reads the store again. So does one that misses a number: another
replica stored what comes between, and has not said so yet.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from core.events import FINAL, AttemptStarted, NodeFinished, ReviewRequested, TaskSubmitted
from core.model import Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from collections.abc import Set as AbstractSet

    from core.events import Event
    from core.model import ChannelName, Hint, StoredEvent, TaskId
    from core.ports import EventStore

BUFFERED = 32
"""Events kept for a follower that is not waiting; beyond, it reads them from the store."""


KNOWN = 64
"""Newest tasks whose beginning is kept for those who follow at once what they submitted."""
LONGEST = 4096
"""Characters of a draft that is kept so."""
BEGINNING: frozenset[type[Event]] = frozenset({TaskSubmitted, AttemptStarted, NodeFinished, ReviewRequested})
"""What comes before people; what is not among it ends a task's beginning."""
AT_ONCE = 100
"""Tasks that are asked for in one go."""


class Follower:
    """One reader's place: what was stored since it last looked, or that too much was."""

    __slots__ = ("arrived", "news", "overflowed", "seen")

    def __init__(self) -> None:
        self.news: list[StoredEvent] = []
        self.arrived: asyncio.Future[None] | None = None
        self.overflowed = False
        self.seen: int | None = None
        """The number of the last event that it waits after; None while it reads."""

    def tell(self, event: StoredEvent) -> None:
        if len(self.news) >= BUFFERED:
            self.news.clear()
            self.overflowed = True
        elif not self.overflowed:
            self.news.append(event)
        if self.arrived is not None and not self.arrived.done():
            self.arrived.set_result(None)

    def miss(self) -> None:
        """Something was stored, and nobody says what."""
        self.news.clear()
        self.overflowed = True
        if self.arrived is not None and not self.arrived.done():
            self.arrived.set_result(None)

    @property
    def has_more(self) -> bool:
        return bool(self.news) or self.overflowed

    async def wait(self) -> None:
        if not self.has_more:
            self.arrived = asyncio.get_running_loop().create_future()
            await self.arrived


class Feed:
    """Give it to the store as a listener."""

    def __init__(self, store: EventStore, *, hears_all: bool = False) -> None:
        """`hears_all`: nobody else writes to this database, so that what is known here is all there is."""
        self._store = store
        self._hears_all = hears_all
        self._beginnings: dict[TaskId, list[StoredEvent]] = {}
        self._followers: dict[TaskId, set[Follower]] = {}

    def committed(self, events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        for event in events:
            if self._hears_all:
                self._note(event)
            for follower in self._followers.get(event.task, ()):
                follower.tell(event)

    def heard(self, hint: Hint) -> None:
        for task in hint.tasks if hint.is_whole else tuple(self._followers):
            for follower in self._followers.get(task, ()):
                follower.miss()

    def _note(self, stored: StoredEvent) -> None:
        if type(stored.event) is TaskSubmitted:
            self._beginnings[stored.task] = [stored]
            if len(self._beginnings) > KNOWN:
                del self._beginnings[next(iter(self._beginnings))]
        elif stored.task in self._beginnings:
            if type(stored.event) in BEGINNING and _is_small(stored.event):
                self._beginnings[stored.task].append(stored)
            else:
                del self._beginnings[stored.task]

    async def _stored(self, task_id: TaskId, after: int) -> Sequence[StoredEvent]:
        known = None if after else self._beginnings.get(task_id)
        return await self._store.events(task_id, after) if known is None else tuple(known)

    async def _newest(self, task_id: TaskId) -> int:
        """The number of its last event; 0 where there is no such task."""
        return (await self._store.last_numbers([task_id])).get(task_id, 0)

    async def look(self) -> int:
        """Wake whoever waits for what is stored already; of how many tasks."""
        waiting = list(self._followers)
        missed = 0
        for at in range(0, len(waiting), AT_ONCE):
            last = await self._store.last_numbers(waiting[at : at + AT_ONCE])
            for task, number in last.items():
                followers = self._followers.get(task, ())
                behind = [one for one in followers if one.seen is not None and one.seen < number]
                for follower in behind:
                    follower.miss()
                missed += bool(behind)
        return missed

    async def follow(
        self, task_id: TaskId, *, after: int = 0, live: bool = True
    ) -> AsyncGenerator[StoredEvent]:
        """Stored events with `seq` above `after`, then each new one; ends after a final one.

        All of them where a task that goes on never had as many: `after` is another's, or of a database put
        back since.
        Where it is not `live`, it ends with what is stored now.
        Raises `NotFound` at the first step where there is no such task.
        """
        pieces = self.follow_in_pieces(task_id, after=after, live=live)
        try:
            async for piece in pieces:
                for event in piece.events:
                    yield event
                del piece, event  # a draft may be large, and the next event days away
        finally:
            await pieces.aclose()

    async def follow_in_pieces(
        self, task_id: TaskId, *, after: int = 0, live: bool = True
    ) -> AsyncGenerator[Piece]:
        """As `follow`, what is known at once in one piece."""
        follower = Follower()
        self._followers.setdefault(task_id, set()).add(follower)
        try:
            stored = await self._stored(task_id, after)
            if not stored and (await self._store.task(task_id)).status.is_final:
                # It may have ended between the two reads.
                stored = await self._store.events(task_id, after)
                if not stored:
                    return
            elif not stored and after > await self._newest(task_id):
                after = 0
                stored = await self._store.events(task_id, after)
            is_over = False
            while True:
                if stored:
                    is_over = type(stored[-1].event) in FINAL
                # Not at an end that somebody went back on since. Also for a follower who was told again of
                # what it has seen.
                ends = (is_over and not follower.has_more) or not live
                if piece := [event for event in stored if event.seq > after]:
                    after = piece[-1].seq
                    yield Piece(events=piece, is_last=ends)
                if ends:
                    return
                # A draft may be large, and the next event days away.
                stored, piece = (), []
                follower.seen = after
                await follower.wait()
                follower.seen = None
                stored = tuple(follower.news)
                follower.news.clear()
                if follower.overflowed or _is_broken(stored, after):
                    follower.overflowed = False
                    stored = await self._store.events(task_id, after)
        finally:
            self._leave(task_id, follower)

    def _leave(self, task_id: TaskId, follower: Follower) -> None:
        followers = self._followers[task_id]
        followers.discard(follower)
        if not followers:
            del self._followers[task_id]


def _is_broken(news: Sequence[StoredEvent], after: int) -> bool:
    """Whether something is missing before one of them."""
    numbers = [event.seq for event in news if event.seq > after]
    return numbers != list(range(after + 1, after + 1 + len(numbers)))


def _is_small(event: Event) -> bool:
    return not isinstance(event, ReviewRequested) or (
        isinstance(event.draft, str) and len(event.draft) <= LONGEST
    )
