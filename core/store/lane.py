"""A thread with one connection that runs units of work in groups.

The writer lane commits up to `Database.group` units at once: one fsync for all of them. The reader lane has a
connection of its own, so that reading never waits for a commit. Answers leave a lane only when their
group has ended, and each group wakes the event loop once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog

from core.errors import CountersignError, Overloaded, StoreUnavailable
from core.measures import ATTEMPTS, GROUPS, UNITS, Distribution
from core.store.transaction import Missed, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.model import ChannelName, Position, StoredEvent
    from core.ports import Clock
    from core.store.database import Connection, Database
    from core.store.placing import Placing
    from core.store.transaction import Cursor

log = structlog.get_logger()

T = TypeVar("T")

WAITING = 20_000
"""Units that may wait for a lane; beyond, callers are told to come back."""

WITH_URGENT = 32
"""Units in the commit of one for which a person waits, who is to wait for no longer a group than that."""

LAST_GROUPS = timedelta(seconds=5)
"""How long a stop waits for what the database has still to do."""
LONG = 1.0
"""Seconds after which an outage has cost those who wait behind it enough."""


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """One unit of work and who waits for it."""

    unit: Callable[[Transaction], T]
    answer: asyncio.Future[T]
    result: T | None = None
    error: Exception | None = None
    events: list[StoredEvent] = field(default_factory=list)
    due: set[ChannelName] = field(default_factory=set)
    position: Position | None = None
    attempts: list[int] = field(default_factory=list)
    left: dict[str, bool] = field(default_factory=dict)
    asked: float = field(default_factory=monotonic)


class Urgent:
    """Stands in the queue for a job that is taken before all that waits there."""


URGENT = Urgent()


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
    ) -> None:
        """`committed` is told on the event loop: of events, channels with something due, positions of tasks
        that were given work, and of the tasks whose work was left to a job."""
        self._database = database
        self._placing = placing
        self._clock = clock
        self._writes = writes
        self._committed = committed
        self._jobs: queue.SimpleQueue[Job[Any] | Urgent | None] = queue.SimpleQueue()
        self._urgent: deque[Job[Any]] = deque()
        """Each has an `Urgent` among the jobs."""
        self._thread = threading.Thread(
            target=self._work, name=f"store-{'write' if writes else 'read'}", daemon=True
        )
        self.failing = False
        """Whether the last group could not be run for want of the database."""
        self._outage: StoreUnavailable | None = None
        """Why the present group could not be run."""
        self.latency, self.groups = Distribution(UNITS), Distribution(GROUPS)
        """Of units, from when the first of their group was asked for to its answers; of groups, in units."""
        self.attempts = Distribution(ATTEMPTS)
        """Of tasks that ended in these units."""
        self._stopped = False
        self._connection: Connection | None = None
        self._cursor: Cursor
        self._transaction: Transaction

    def start(self) -> None:
        """Connect and start the thread; raises `StoreUnavailable`."""
        self._loop = asyncio.get_running_loop()
        self._connect()
        self._thread.start()

    async def stop(self, *, within: timedelta = LAST_GROUPS) -> None:
        """Finish what waits and close the connection; whoever asks afterwards is refused.

        A thread that does not end `within` is left to the end of the process; nothing of its group has
        been acknowledged.
        """
        self._stopped = True
        if self._thread.is_alive():
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join, within.total_seconds())
            if self._thread.is_alive():
                log.error("lane_would_not_stop", lane=self._thread.name, waiting=self.waiting)

    @property
    def waiting(self) -> int:
        """Units that no group has taken up yet."""
        return self._jobs.qsize()

    async def run(self, unit: Callable[[Transaction], T], *, urgent: bool = False) -> T:
        """What `unit` returns, once its group is committed; an urgent one is in the next group.

        Raises what the unit raises, `StoreUnavailable`, or `Overloaded`. A caller that is cancelled does
        not undo its unit.
        """
        if self._stopped:
            raise StoreUnavailable("The service is stopping; nothing was changed.")
        if self._jobs.qsize() >= WAITING:
            raise Overloaded("Too much work is waiting for the database; try again.")
        job: Job[T] = Job(unit, self._loop.create_future())
        if urgent:
            self._urgent.append(job)
            self._jobs.put(URGENT)
        else:
            self._jobs.put(job)
        answer: T = await job.answer
        return answer

    def _work(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                stopping = self._run_group(group) or stopping
                stopping = not self._hand_back(group) or stopping
        self._disconnect()

    def _next_group(self) -> tuple[list[Job[Any]], bool]:
        """Wait for one job and take what else waits; True with it when this is the last."""
        job = self._jobs.get()
        if job is None:
            return [], True
        group = self._take_urgent()
        most = WITH_URGENT if group else self._database.group
        if isinstance(job, Job):
            group.append(job)
        return group, self._take_waiting(group, most - len(group))

    def _take_urgent(self) -> list[Job[Any]]:
        return [self._urgent.popleft() for _ in range(len(self._urgent))]

    def _take_waiting(self, group: list[Job[Any]], most: int) -> bool:
        """Move up to `most` waiting jobs into the group; True where the lane is to stop after them."""
        for _ in range(most):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return False
            if job is None:
                return True
            if isinstance(job, Job):
                group.append(job)
        return False

    def _hand_back(self, group: list[Job[Any]]) -> bool:
        """False where the event loop is gone, and with it everybody who could ask or be answered."""
        try:
            self._loop.call_soon_threadsafe(self._settle, group)
        except RuntimeError:
            return False
        return True

    def _run_group(self, group: list[Job[Any]]) -> bool:
        """Run all in one transaction; where one fails after a write, roll back and run each alone.

        One alone is run a second time too: on PostgreSQL another server may have stored the same key in
        the same moment, which the second run finds. True where the lane is to stop.
        """
        began = monotonic()
        self._outage = None
        if not self._attempt(group):
            log.info("group_run_apart", units=len(group))
            self._run_apart(group)
        if self._outage is not None and monotonic() - began > LONG:
            # Whoever waits behind a database that did not answer in time has waited as long.
            behind = self._take_urgent()
            stopping = self._take_waiting(behind, WAITING)
            self._refuse(behind, self._outage)
            group += behind
            return stopping
        return False

    def _run_apart(self, group: list[Job[Any]]) -> None:
        for number, job in enumerate(group):
            job.error = None
            self._attempt([job])
            if self._outage is not None:
                self._refuse(group[number + 1 :], self._outage)
                return

    def _attempt(self, group: list[Job[Any]]) -> bool:
        """Run and commit `group`; False where nothing of it was committed and running apart may help."""
        mark: str | None = None
        try:
            self._begin()
            self._transaction.now = self._clock.now()
            wrote = 0
            for job in group:
                if not self._run_unit(job):
                    self._rollback()
                    return False
                wrote += self._transaction.writes
            mark = self._database.mark(self._cursor) if wrote else None
            self._commit()
            self.failing = self.failing and not wrote
        except Exception as error:  # noqa: BLE001 - the thread lives on, and every caller is told
            return self._ended(group, error, mark)
        return True

    def _commit(self) -> None:
        if self._writes:
            self._cursor.execute("COMMIT", {})
        else:
            self._database.leave(self._cursor)

    def _ended(self, group: list[Job[Any]], error: Exception, mark: str | None) -> bool:
        """What came of a group that did not reach the end of its COMMIT; as `_attempt`."""
        known = error if isinstance(error, StoreUnavailable) else self._database.unavailable(error)
        if known is None:
            # The database refused a statement, most likely one for whose answer no unit had waited.
            self._rollback()
            for job in group:
                job.error = _said(error)
            return False
        if mark is None or not self._had_committed(mark):
            self._fail(group, known)
        return True

    def _had_committed(self, mark: str) -> bool:
        """Whether the transaction of a COMMIT whose answer was lost is there all the same."""
        self._disconnect()
        try:
            self._connect()
            return self._database.was_committed(self._cursor, mark)
        except Exception as error:  # noqa: BLE001 - then nobody can tell
            log.warning("commit_unknown", error=type(error).__name__)
            return False

    def _run_unit(self, job: Job[Any]) -> bool:
        """False where it failed after it had written, so that the whole group has to be rolled back."""
        transaction = self._transaction
        transaction.begin_unit()
        try:
            job.result = job.unit(transaction)
        except CountersignError as error:
            job.error = error
            return transaction.writes == 0
        except Exception as error:
            if self._database.unavailable(error) is not None:
                raise
            job.error = _said(error)
            return False
        job.events, job.due = transaction.events, transaction.due
        job.position, job.attempts = transaction.position, transaction.attempts
        job.left = transaction.left
        return True

    def _begin(self) -> None:
        if self._connection is None:
            self._connect()
        self._database.begin(self._cursor, writes=self._writes)

    def _connect(self) -> None:
        self._connection = self._database.connect()
        self._cursor = self._database.cursor(self._connection)
        self._transaction = Transaction(self._cursor, self._database.dialect, self._placing)

    def _disconnect(self) -> None:
        """Throw the connection away; the next group makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:  # noqa: BLE001 - drivers differ; it is thrown away in any case
                log.warning("connection_not_closed", error=type(error).__name__)

    def _rollback(self) -> None:
        """Undo the open transaction; where even that fails, the connection is thrown away."""
        try:
            self._cursor.execute("ROLLBACK", {})
        except Exception as error:  # noqa: BLE001 - drivers differ, and any failure means the same
            log.warning("connection_dropped", error=type(error).__name__)
            self._disconnect()

    def _fail(self, group: list[Job[Any]], outage: StoreUnavailable) -> None:
        """The whole group failed: nothing of it is known to be committed, and each caller is told so."""
        self._disconnect()
        log.warning("group_failed", units=len(group), error=str(outage))
        self.failing, self._outage = True, outage
        self._refuse(group, outage)

    def _refuse(self, group: list[Job[Any]], outage: StoreUnavailable) -> None:
        for job in group:
            # One exception raised in many tasks would collect all their tracebacks.
            job.error = StoreUnavailable(str(outage), retry_after=outage.retry_after)

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


def _said(error: Exception) -> Exception:
    """What whoever asked for the unit is told."""
    return error.refusal if isinstance(error, Missed) else error
