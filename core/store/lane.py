"""A thread that runs units of work in groups.

The writer lane commits up to `Database.group` units at once: one fsync for all of them. The reader lane has a
connection of its own, so that reading never waits for a commit. Answers leave a lane only when their
group has ended, and each group wakes the event loop once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from core.errors import Overloaded, StoreUnavailable
from core.measures import ATTEMPTS, GROUPS, UNITS, Distribution
from core.store.session import Job, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.model import ChannelName, Position, StoredEvent
    from core.ports import Clock
    from core.store.database import Database
    from core.store.placing import Placing
    from core.store.transaction import Transaction

log = structlog.get_logger()

T = TypeVar("T")

WAITING = 20_000
"""Units that may wait for a lane; beyond, callers are told to come back."""

URGENT = 32
"""Units in one commit for each of which a person waits: on PostgreSQL they keep what they lock until then."""
WITH_URGENT = 16
"""Units that others fill such a commit up to, so that nobody waits long for what is not urgent. Measured with
32 clients on SQLite: with ten the rate is a tenth less, and with 32 the p99 of a decision a fifth longer."""

BESIDE_URGENT = 4
"""Units of others in such a commit, however many are urgent: people who decide do not keep all others out."""

LAST_GROUPS = timedelta(seconds=5)
"""How long a stop waits for what the database has still to do."""
LONG = 1.0
"""Seconds after which an outage has cost those who wait behind it enough."""


class Lane:
    """Start with `start()`; `run()` from the event loop; `stop()` finishes what waits."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        writes: bool,
        committed: Callable[[list[StoredEvent], set[ChannelName], list[Position], set[str]], None],
        placing: Placing | None = None,
        name: str | None = None,
    ) -> None:
        """`committed` is told on the event loop: of events, channels with something due, positions of tasks
        that were given work, and of the tasks whose work was left to a job. The log has it by `name`: write
        or read, unless there is another."""
        self._session = Session(database, clock, writes=writes, placing=placing)
        self._most = database.group
        self._committed = committed
        self._urgent: deque[Job[Any]] = deque()
        self._jobs: deque[Job[Any]] = deque()
        """The others; both are filled by the event loop and emptied by the thread."""
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_idle = True
        """Whether the thread waits for the bell, or is about to."""
        name = name or ("write" if writes else "read")
        self._thread = threading.Thread(target=self._work, name=f"store-{name}", daemon=True)
        self.latency, self.groups = Distribution(UNITS), Distribution(GROUPS)
        """Of units, from when the first of their group was asked for to its answers; of groups, in units."""
        self.attempts = Distribution(ATTEMPTS)
        """Of tasks that ended in these units."""
        self._stopped = False

    def start(self) -> None:
        """Connect and start the thread; raises `StoreUnavailable`."""
        self._loop = asyncio.get_running_loop()
        self._session.connect()
        self._thread.start()

    async def stop(self, *, within: timedelta = LAST_GROUPS) -> None:
        """Finish what waits and close the connection; whoever asks afterwards is refused.

        A thread that does not end `within` is left to the end of the process; nothing of its group has
        been acknowledged.
        """
        self._stopped = True
        if self._thread.is_alive():
            self._bell.put(None)
            await asyncio.to_thread(self._thread.join, within.total_seconds())
            if self._thread.is_alive():
                log.error("lane_would_not_stop", lane=self._thread.name, waiting=self.waiting)

    @property
    def failing(self) -> bool:
        """Whether the last group could not be run for want of the database."""
        return self._session.failing

    @property
    def waiting(self) -> int:
        """Units that no group has taken up yet."""
        return len(self._urgent) + len(self._jobs)

    async def run(self, unit: Callable[[Transaction], T], *, urgent: bool = False) -> T:
        """What `unit` returns, once its group is committed; an urgent one is in the next group.

        Raises what the unit raises, `StoreUnavailable`, or `Overloaded`. A caller that is cancelled does
        not undo its unit.
        """
        if self._stopped:
            raise StoreUnavailable("The service is stopping; nothing was changed.")
        if self.waiting >= WAITING:
            raise Overloaded("Too much work is waiting for the database; try again.")
        job: Job[T] = Job(unit, self._loop.create_future())
        (self._urgent if urgent else self._jobs).append(job)
        if self._is_idle:
            self._is_idle = False
            self._bell.put(None)
        answer: T = await job.answer
        return answer

    def _work(self) -> None:
        while self._wait():
            group = self._next_group()
            self._run_group(group)
            if not self._hand_back(group):
                break
        self._session.disconnect()

    def _wait(self) -> bool:
        """Until something waits; False where nothing does, and nothing more will come."""
        while not self.waiting:
            if self._stopped:
                return False
            self._is_idle = True
            # What came before that line is seen by this one; what comes later rings, and so does a stop.
            if not self.waiting:
                self._bell.get()
        return True

    def _next_group(self) -> list[Job[Any]]:
        group = _taken(self._urgent, URGENT)
        more = max(WITH_URGENT - len(group), BESIDE_URGENT) if group else self._most
        return group + _taken(self._jobs, more)

    def _hand_back(self, group: list[Job[Any]]) -> bool:
        """False where the event loop is gone, and with it everybody who could ask or be answered."""
        try:
            self._loop.call_soon_threadsafe(self._settle, group)
        except RuntimeError:
            return False
        return True

    def _run_group(self, group: list[Job[Any]]) -> None:
        began = monotonic()
        outage = self._session.run(group)
        if outage is not None and monotonic() - began > LONG:
            # Whoever waits behind a database that did not answer in time has waited as long.
            behind = _taken(self._urgent, WAITING) + _taken(self._jobs, WAITING)
            self._session.refuse(behind, outage)
            group += behind

    def _settle(self, group: list[Job[Any]]) -> None:
        """On the event loop: announce what is committed, then answer."""
        events: list[StoredEvent] = []
        due: set[ChannelName] = set()
        positions: list[Position] = []
        left: dict[str, bool] = {}
        for job in group:
            if job.error is None:
                events += job.events
                due |= job.due
                left |= job.left
                if job.position is not None:
                    positions.append(job.position)
                for count in job.attempts:
                    self.attempts.add(count)
        if events or due:
            self._committed(events, due, positions, {task for task, is_left in left.items() if is_left})
        # All as long as the first of them: one sum for the group, and what it says is never too little.
        self.latency.add(monotonic() - group[0].asked, len(group))
        self.groups.add(len(group))
        for job in group:
            if not job.answer.done():
                if job.error is not None:
                    job.answer.set_exception(job.error)
                else:
                    job.answer.set_result(job.result)


def _taken(waiting: deque[Job[Any]], most: int) -> list[Job[Any]]:
    return [waiting.popleft() for _ in range(min(most, len(waiting)))]
