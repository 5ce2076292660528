"""One connection, and the units of work that are run on it in groups, each in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog

from core.errors import CountersignError, StoreUnavailable
from core.store.transaction import Missed, Transaction

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from core.model import ChannelName, Position, StoredEvent
    from core.ports import Clock
    from core.store.database import Connection, Database
    from core.store.placing import Placing
    from core.store.transaction import Cursor

log = structlog.get_logger()

T = TypeVar("T")


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


class Session:
    """Used by one thread at a time; connects anew where the connection was lost."""

    def __init__(self, database: Database, clock: Clock, *, writes: bool, placing: Placing | None) -> None:
        self._database = database
        self._placing = placing
        self._clock = clock
        self._writes = writes
        self.failing = False
        """Whether the last group could not be run for want of the database."""
        self._outage: StoreUnavailable | None = None
        """Why the present group could not be run."""
        self.connection: Connection | None = None
        self._cursor: Cursor
        self._transaction: Transaction

    def run(self, group: list[Job[Any]]) -> StoreUnavailable | None:
        """Run all in one transaction; where one fails after a write, roll back and run each alone.

        One alone is run a second time too: on PostgreSQL another server may have stored the same key in
        the same moment, which the second run finds. Returns what kept any of them from being run.
        """
        self._outage = None
        if not self._attempt(group):
            log.info("group_run_apart", units=len(group))
            self._run_apart(group)
        return self._outage

    def _run_apart(self, group: list[Job[Any]]) -> None:
        for number, job in enumerate(group):
            job.error = None
            self._attempt([job])
            if self._outage is not None:
                refuse(group[number + 1 :], self._outage)
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
        self.disconnect()
        try:
            self.connect()
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
        if self.connection is None:
            self.connect()
        self._database.begin(self._cursor, writes=self._writes)

    def connect(self) -> None:
        self.connection = self._database.connect()
        self._cursor = self._database.cursor(self.connection)
        self._transaction = Transaction(self._cursor, self._database.dialect, self._placing)

    def disconnect(self) -> None:
        """Throw the connection away; the next group makes a new one."""
        connection, self.connection = self.connection, None
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
            self.disconnect()

    def _fail(self, group: list[Job[Any]], outage: StoreUnavailable) -> None:
        """The whole group failed: nothing of it is known to be committed, and each caller is told so."""
        self.disconnect()
        log.warning("group_failed", units=len(group), error=str(outage))
        self.failing, self._outage = True, outage
        refuse(group, outage)


def refuse(group: list[Job[Any]], outage: StoreUnavailable) -> None:
    for job in group:
        # One exception raised in many tasks would collect all their tracebacks.
        job.error = StoreUnavailable(str(outage), retry_after=outage.retry_after)


def _said(error: Exception) -> Exception:
    """What whoever asked for the unit is told."""
    return error.refusal if isinstance(error, Missed) else error
