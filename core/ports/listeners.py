"""Who is told of what became durable, and what the feed replays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from core.errors import CountersignError
    from core.model import ChannelName, Hint, ReviewRequest, StoredEvent, Task, TaskId, Verdict


class Listener(Protocol):
    """Who is to know of every commit."""

    def committed(self, events: Sequence[StoredEvent], due: AbstractSet[ChannelName], /) -> None:
        """Called on the event loop after each commit, before its answers; must not raise or wait.

        `events` were stored; deliveries of the channels in `due` are to be shown, and where `TIMERS` is
        among them, timers were set; where `ABSENCES` is, somebody is away, or back.
        """
        ...

    def heard(self, hint: Hint, /) -> None:
        """Called on the event loop when other replicas committed something; must not raise or wait.

        Late, in any order and perhaps not at all: whom it concerns reads the store.
        """
        ...


class Observer(Protocol):
    """Is told what became of decisions, on the event loop and once it is durable; must not raise or wait."""

    def decided(self, review: ReviewRequest, verdict: Verdict, via: str) -> None:
        """The review as it stands after it."""
        ...

    def refused(self, refusal: CountersignError, via: str) -> None: ...


class EventStore(Protocol):
    """The part of the store that is replayed."""

    async def events(self, task_id: str, after: int) -> Sequence[StoredEvent]: ...
    async def task(self, task_id: str) -> Task: ...

    async def last_numbers(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, int]:
        """Of at most a hundred tasks the number of their last event."""
        ...
