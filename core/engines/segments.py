"""Runs segments as asyncio tasks in this process: what both engines are made of.

It holds no truth: what it forgets, a sweep over stored state finds again, at start and now and then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import structlog

from core.defects import Broke, defect
from core.errors import StaleRun, Unavailable
from core.events import (
    FINAL,
    ReviewApproved,
    ReviewEdited,
    ReviewExpired,
    ReviewRejected,
    ReviewRequested,
    TaskCancelled,
    TaskRewound,
    TaskSubmitted,
)
from core.outages import Outage
from core.stopping import CUT_OFF, cut_off

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime
    from types import TracebackType

    from core.events import Event
    from core.model import ChannelName, Hint, StoredEvent, TaskId
    from core.ports import Alarm, Clock, Runner, SegmentStore

log = structlog.get_logger()

WORK: frozenset[type[Event]] = frozenset(
    {TaskSubmitted, TaskRewound, ReviewApproved, ReviewRejected, ReviewExpired, ReviewEdited}
)
"""Events after which a task has stored work."""
RESTS: frozenset[type[Event]] = frozenset({ReviewRequested, *FINAL})
"""Events after which it has none, also where they came in one transaction with the work."""
SWEEP = timedelta(seconds=30)
"""How often stored state is searched for work that nobody told us of."""
PAUSE = timedelta(seconds=1)
"""Before work is taken up again that the database was not there for."""


class Segments:
    """`async with` it; give it to the store as a listener.

    At most `limit` segments run at once; the ids of others wait in a queue, and their tasks in the database.
    Asked when it is left, `grace` is how long what runs may take to end.
    """

    def __init__(
        self,
        runner: Runner,
        store: SegmentStore,
        clock: Clock,
        *,
        limit: int = 64,
        grace: Callable[[], timedelta] = timedelta,
    ) -> None:
        self._runner = runner
        self._store = store
        self._clock = clock
        self._limit = limit
        self._grace = grace
        self._queue: deque[TaskId] = deque()
        self._queued: set[TaskId] = set()
        self._running: dict[TaskId, asyncio.Task[datetime | None]] = {}
        self._again: set[TaskId] = set()
        self._alarms: dict[TaskId, Alarm] = {}
        self._rung: dict[TaskId, datetime] = {}
        """Until when tasks have waited that run next: an alarm rings in time where the clock is set back."""
        self._sweep_alarm: Alarm | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._accepting = False
        self._outage = Outage("sweep_postponed")

    async def __aenter__(self) -> Self:
        """Take up everything that was left: running, decided, or due."""
        self._accepting = True
        await self._sweep()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(self._grace())

    async def stop(self, grace: timedelta) -> None:
        """Take nothing new; let what runs end within `grace`, then stop it.

        What is stopped is put back, so that a stop in good order does not count as a crash would.
        """
        self._accepting = False
        waiting = [*self._queue, *self._alarms]
        self._queue.clear()
        self._queued.clear()
        for alarm in (*self._alarms.values(), self._sweep_alarm):
            if alarm is not None:
                alarm.cancel()
        self._alarms.clear()
        segments = dict(self._running)
        running: list[asyncio.Task[Any]] = [*segments.values()]
        if self._sweeping is not None:
            running.append(self._sweeping)
        if running:
            await asyncio.wait(running, timeout=grace.total_seconds())
        left = [task for task, segment in segments.items() if _is_left(segment)]
        await asyncio.gather(cut_off(running), self._put_back([*left, *waiting]), self._close())

    async def _close(self) -> None:
        """What else is to be stopped, while that goes on."""

    async def _leave(self, tasks: Sequence[TaskId]) -> None:
        """Put back the `tasks` that a stop cut off, or that waited to be run."""
        raise NotImplementedError

    async def _put_back(self, tasks: Sequence[TaskId]) -> None:
        """Where the store does not take it, a stop counts as a crash would; that alone fails no task."""
        try:
            async with asyncio.timeout(CUT_OFF.total_seconds()):
                await self._leave(tasks)
        except (Unavailable, TimeoutError) as error:
            log.warning("not_put_back", tasks=len(tasks), error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a defect must not keep the rest of the house from being stopped
            log.error("put_back_broke", tasks=len(tasks), **defect(error))

    def committed(self, events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        work: dict[TaskId, None] = {}
        for stored in events:
            if type(stored.event) in WORK:
                work[stored.task] = None
            elif type(stored.event) in RESTS:
                work.pop(stored.task, None)
            if isinstance(stored.event, TaskCancelled):
                self.drop(stored.task)
        for task in work:
            if self._is_ours(task):
                self.run(task)

    def heard(self, hint: Hint) -> None:
        for task in hint.cancelled:
            self.drop(task)

    def _is_ours(self, task: TaskId) -> bool:  # noqa: ARG002 - for an engine that is one of several
        """Whether the work that a commit stored, of which it is being told, is to be run here."""
        return True

    @property
    def held(self) -> int:
        """Segments that run or wait for one that does; those that are to be run later do not count."""
        return len(self._running) + len(self._queue)

    @property
    def queued(self) -> int:
        """Tasks that are to run as soon as there is room."""
        return len(self._queue)

    @property
    def running(self) -> int:
        return len(self._running)

    def run(self, task: TaskId) -> None:
        """Run the task soon; one that runs is looked at once more when it stops."""
        if not self._accepting:
            return
        if task in self._running:
            self._again.add(task)
        elif task not in self._queued:
            self._queued.add(task)
            self._queue.append(task)
            self._fill()

    def drop(self, task: TaskId) -> None:
        """Stop what runs of this task."""
        if alarm := self._alarms.pop(task, None):
            alarm.cancel()
        if running := self._running.get(task):
            running.cancel()

    def run_at(self, task: TaskId, at: datetime) -> None:
        """Run the task at a time; a later word replaces an earlier one."""
        if not self._accepting:
            return
        if alarm := self._alarms.pop(task, None):
            alarm.cancel()
        self._alarms[task] = self._clock.call_at(at, lambda: self._due(task, at))

    def _due(self, task: TaskId, at: datetime) -> None:
        self._alarms.pop(task, None)
        self._rung[task] = at
        self.run(task)

    def _fill(self) -> None:
        while self._accepting and self._queue and len(self._running) < self._limit:
            task = self._queue.popleft()
            self._queued.discard(task)
            segment = asyncio.create_task(self._run(task, self._rung.pop(task, None)), name=f"segment {task}")
            self._running[task] = segment
            # A callback, for a segment cancelled before its first step never runs a line of its own.
            segment.add_done_callback(partial(self._after, task))

    async def _run(self, task: TaskId, at: datetime | None) -> datetime | None:
        """When the task is to be looked at again, if it is; raises nothing."""
        try:
            return await self._runner.run(task, at)
        except Unavailable:
            return self._clock.now() + PAUSE
        except Exception as error:  # noqa: BLE001 - whatever it is: a task that nobody runs nor fails would say "running" for ever
            known = error if isinstance(error, Broke) else None
            cause = error.__cause__ if known is not None and error.__cause__ is not None else error
            log.error("segment_broke", task_id=task, **defect(cause))
            return await self._give_up(task, cause, None if known is None else known.version)

    async def _give_up(self, task: TaskId, error: BaseException, version: int | None) -> datetime | None:
        """Fail the task: its segment raised what no rule knows, and would again. Not one that something else
        has moved on from that `version` (None: it could not be read)."""
        try:
            await self._store.fail(
                task, f"The flow could not be run: {type(error).__name__}.", version=version
            )
        except Unavailable:
            return self._clock.now() + PAUSE
        except StaleRun:
            log.info("segment_overtaken", task_id=task)
        except Exception as broken:  # noqa: BLE001 - it stays as it is stored; the next sweep finds it again
            log.error("task_not_failed", task_id=task, **defect(broken))
        return None

    def _after(self, task: TaskId, segment: asyncio.Task[datetime | None]) -> None:
        del self._running[task]
        due_at = None if segment.cancelled() else segment.result()
        if task in self._again:
            self._again.discard(task)
            self.run(task)
        elif due_at is not None:
            self.run_at(task, due_at)
        self._fill()
        self._freed()

    def _freed(self) -> None:
        """A segment has ended."""

    async def _sweep(self) -> None:
        """Find work that nobody told us of, then again after a while."""
        try:
            for task, due_at in await self._store.runnable():
                if task not in self._running and task not in self._alarms:
                    self._take_up(task, due_at)
            await self._upkeep()
            self._outage.over()
        except Unavailable as error:
            self._outage.failed(error)
        except Exception as error:  # noqa: BLE001 - a defect must not end the sweeps: what was left behind would be so until the next start
            log.error("sweep_broke", **defect(error))
        if self._accepting:
            self._sweep_alarm = self._clock.call_at(self._clock.now() + SWEEP, self._start_sweep)

    async def _upkeep(self) -> None:
        """What is to be done now and then besides."""

    def _take_up(self, task: TaskId, due_at: datetime | None) -> None:
        if due_at is None:
            self.run(task)
        else:
            self.run_at(task, due_at)

    def _start_sweep(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep(), name="sweep")


def _is_left(segment: asyncio.Task[datetime | None]) -> bool:
    """Whether it runs still, or has ended to be run again: while the database was away, it did no more."""
    return not segment.done() or (not segment.cancelled() and segment.result() is not None)
