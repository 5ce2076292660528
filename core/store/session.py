"""One connection, and the units of work that are run on it in groups, each in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog

from core.errors import CountersignError, StoreUnavailable
from core.store.credentials import write_something
from core.store.transaction import Missed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from core.model import ChannelName, Position, StoredEvent
    from core.ports import Clock
    from core.store.database import Connection, Database
    from core.store.placing import Placing
    from core.store.transaction import Cursor, Transaction

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

    def forget(self) -> None:
        """What came of it before it is run again."""
        self.result = self.error = self.position = None
        self.events, self.due, self.attempts, self.left = [], set(), [], {}


class Session:
    """Used by one thread at a time; connects anew where the connection was lost."""

    def __init__(self, database: Database, clock: Clock, *, writes: bool, placing: Placing | None) -> None:
        self._database = database
        self._placing = placing
        self._clock = clock
        self._writes = writes
        self.failing = False
        """Whether the last group could not be run for want of the database."""
        self._by_locks = False
        """Whether it was for locks that others hold: whether these are gone no other write tells."""
        self._outage: StoreUnavailable | None = None
        """Why the present group could not be run."""
        self._told: str | None = None
        """Why groups fail, as the log has it: it says so once, not for each of them."""
        self._refused = 0
        """Units, since then."""
        self._is_old = False
        """Whether the connection was there before the present group."""
        self._locked_out: list[StoreUnavailable] = []
        """Of the present group: for each time that it has waited for a lock in vain, what is told."""
        self.connection: Connection | None = None
        self._cursor: Cursor
        self._transaction: Transaction

    def run(self, group: list[Job[Any]]) -> StoreUnavailable | None:
        """Run all in one transaction; where one fails after a write, roll back and run each alone.

        One alone is run a second time too: on PostgreSQL another server may have stored the same key in
        the same moment, which the second run finds; so is a group that found its connection lost. Returns
        what kept any of them from being run; a lock on what single units touch keeps only those from it.
        """
        self._outage = None
        self._is_old, self._locked_out = self.connection is not None, []
        if not self._attempt(group):
            log.info("group_run_apart", units=len(group))
            self._is_old = False
            self._run_apart(group)
        if self._locked_out:
            log.warning("units_locked_out", units=len(group), error=str(self._locked_out[-1]))
        if self.failing and self._writes and not self._by_locks and self._outage is None:
            self._try_to_write()
        return self._outage

    def _try_to_write(self) -> None:
        """A full disk and a standby can be read, and who waits for a lease never writes: so neither that it
        answers is the end of an outage, nor does that wait for somebody's write."""
        try:
            self._begin()
            self._database.hurry(self._cursor)  # somebody waits for the group before it
            write_something(self._transaction)
            self._commit()
        except Exception as error:  # noqa: BLE001 - as in `_attempt`; nobody waits for this one
            known = error if isinstance(error, StoreUnavailable) else self._database.unavailable(error)
            if known is not None and not self._database.is_local(error):
                self.disconnect()  # where the URL names several servers, another one may take changes
                self._begin_outage(known, 0)
                return
            self._rollback()
            if known is not None:
                return
            log.warning("write_refused", error=type(error).__name__)  # not for want of the database
        self._end_outage()

    def _run_apart(self, group: list[Job[Any]]) -> None:
        before = len(self._locked_out)
        for number, job in enumerate(group):
            self._attempt([job])
            if self._outage is not None:
                self.refuse(group[number + 1 :], self._outage)
                return
        if len(self._locked_out) - before == len(group) > 1:
            # Not what one unit touches is locked, but what all do. Each has been told already.
            self._begin_outage(self._locked_out[-1], len(group), by_locks=True)
            self._refused += len(group)

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
            if not self._writes or (wrote and self._by_locks):
                self._end_outage()
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
        if self._database.is_local(error):
            return self._locked(group, known)
        if mark is None and self._is_old and self._database.is_lost(error):
            self.disconnect()
            return False
        if mark is None or not self._had_committed(mark):
            self._fail(group, known)
        return True

    def _locked(self, group: list[Job[Any]], known: StoreUnavailable) -> bool:
        """Only who touches what is locked is refused, and nobody waits as long again; as `_attempt`."""
        self._rollback()
        self._locked_out.append(known)
        if len(group) > 1:
            return False
        _tell(group, known)
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
        job.forget()
        try:
            job.result = job.unit(transaction)
        except CountersignError as error:
            job.error = error
            return transaction.writes == 0
        except Exception as error:  # whatever it is: it is told to whoever asked for the unit
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
        if self._locked_out:
            self._database.hurry(self._cursor)

    def connect(self) -> None:
        self.connection = self._database.connect()
        self._cursor = self._database.cursor(self.connection)
        self._transaction = self._database.transaction(self._cursor, self._placing)

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
        self._begin_outage(outage, len(group))
        self.refuse(group, outage)

    def _begin_outage(self, outage: StoreUnavailable, units: int, *, by_locks: bool = False) -> None:
        if self._told != outage.in_full:
            log.warning("group_failed", lane=current_thread().name, units=units, error=outage.in_full)
        self._told, self._by_locks = outage.in_full, by_locks
        self.failing, self._outage = True, outage

    def _end_outage(self) -> None:
        self.failing = False
        if self._told is not None:
            log.info("groups_done_again", lane=current_thread().name, refused=self._refused)
            self._told, self._refused = None, 0

    def refuse(self, jobs: list[Job[Any]], outage: StoreUnavailable) -> None:
        """Those who wait for these are told of the outage; it is counted with it."""
        self._refused += len(jobs)
        _tell(jobs, outage)


def _tell(jobs: list[Job[Any]], outage: StoreUnavailable) -> None:
    for job in jobs:
        job.error = outage.again()


def _said(error: Exception) -> Exception:
    """What whoever asked for the unit is told."""
    return error.refusal if isinstance(error, Missed) else error
