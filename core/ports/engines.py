"""What runs a task, and what it asks of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from core.model import (
        Delegation,
        Json,
        Person,
        PersonId,
        Policy,
        Position,
        ReviewId,
        Step,
        TaskId,
        Timer,
    )


class Engine(Protocol):
    """Decides where and when stored work runs; holds no truth, and may be asked twice."""

    def run(self, task: TaskId) -> None:
        """Work is stored for this task: run it soon."""
        ...

    def drop(self, task: TaskId) -> None:
        """This task is over: stop what runs of it."""
        ...


class Runner(Protocol):
    """Runs one segment; when to come back, where it is to be tried again later."""

    async def run(self, task_id: TaskId, at: datetime | None = None) -> datetime | None:
        """`at` is a time for which it has waited, so that it is not earlier now, whatever the clock says."""
        ...


class Processor(Protocol):
    """Turns a task and the last feedback into a draft."""

    async def __call__(self, shared: Mapping[str, Json]) -> Json:
        """Read the seed's keys (`task_input`, `feedback`, `feedback_comment`, …); return the draft."""
        ...


class Sequel(Protocol):
    """Says inside a unit of work what follows from it at once."""

    def __call__(self, position: Position) -> Step | None:
        """The step to be stored with it; None where a runner has to take the task up. Without effects."""
        ...


class Others(Protocol):
    """The other replicas, which may know more: a release, or a flow, comes to one after the other."""

    async def leave(self, task: TaskId) -> bool:
        """Leave to them a task that cannot be run here; False where they know no more than this one."""
        ...


class StepStore(Protocol):
    """The part of the store that a segment needs."""

    async def step(self, step: Step) -> int: ...
    async def last_approved(self, task_id: str) -> Json: ...


class FlowStore(StepStore, Protocol):
    """The part of the store that a runner needs."""

    async def position(self, task_id: str) -> Position | None: ...

    async def fail(self, task_id: str, error: str, *, version: int | None = None) -> None:
        """Raises `StaleRun` where the task is not at this `version` any more."""
        ...


class SegmentStore(Protocol):
    """The part of the store that tells what is to be run here."""

    async def runnable(self) -> Sequence[tuple[TaskId, datetime | None]]: ...
    async def fail(self, task_id: str, error: str, *, version: int | None = None) -> None:
        """Raises `StaleRun` where the task is not at this `version` any more; None is at any."""
        ...


class WorkStore(SegmentStore, Protocol):
    """The same for an engine that has the database to itself."""

    async def recover(self) -> Sequence[str]: ...
    async def put_back(self) -> None: ...
    async def forget_old(self) -> None: ...


class SharedWorkStore(SegmentStore, Protocol):
    """The same for one engine of several on one database."""

    @property
    def replica(self) -> str:
        """The id of this one."""
        ...

    def ask_for_room(self, has_room: Callable[[], bool]) -> None:
        """Ask that, in any thread, before this replica is made the holder of work that is stored."""
        ...

    def is_left_to_a_job(self, task: TaskId) -> bool:
        """Whether the commit that listeners are being told of gave the work that it stored to a job."""
        ...

    async def enlist(self, worker: int) -> None:
        """Make known which worker's heartbeat is this replica's."""
        ...

    async def beaten(self, worker: int) -> bool:
        """The worker's heartbeat was stored; whether others know it as this replica's still."""
        ...

    async def may_judge(self) -> bool:
        """Whether this replica has been answered for long enough to tell that another is dead."""
        ...

    async def take(self, task: TaskId) -> bool:
        """Become the holder of a task with stored work, unless another that lives is; whether this one is."""
        ...

    async def uncovered(self) -> Sequence[tuple[TaskId, int]]:
        """Tasks with stored work, and their versions, that neither a job nor a holder that lives covers.

        Those of holders that seem dead only where this replica `may_judge`.
        """
        ...

    async def bury(self) -> None:
        """Forget the replicas that have not lived for a while."""
        ...

    async def retire(self) -> None:
        """This replica ends in good order: leave what it holds to jobs, and forget it."""
        ...

    async def forget_old(self) -> None: ...


class CallStore(Protocol):
    """What `calling` needs of the store."""

    async def delegations(self) -> Sequence[Delegation]:
        """All that are in force now."""
        ...

    async def moved_calls(
        self, before: Sequence[Delegation], *, after: str | None, limit: int
    ) -> tuple[Sequence[ReviewId], str | None]:
        """Of a page of open reviews those whose next reminder or escalation is another now than while these
        were away, and what the next page comes `after`; None at the end."""
        ...

    async def show_calls(self, review_ids: Sequence[str]) -> None:
        """That moved: their cards show it, one after the other, when nobody waits for that."""
        ...


class TimerStore(CallStore, Protocol):
    """The part of the store that tells what falls due, and lets it happen."""

    async def due_timers(self, limit: int) -> Sequence[Timer]: ...
    async def next_timer(self) -> datetime | None: ...

    async def fire(
        self, timer: Timer, *, policies: Mapping[str, Policy], people: Mapping[PersonId, Person]
    ) -> bool:
        """Let it happen, once; False where it has happened, or its review is closed."""
        ...
