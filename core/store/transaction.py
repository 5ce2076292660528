"""What a unit of work may do inside its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from core.store import jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Dialect

    from core.errors import CountersignError
    from core.model import ChannelName, Position, StoredEvent
    from core.store.placing import Placing
    from core.store.statements import Statement

Row = tuple[Any, ...]


class Cursor(Protocol):
    """The part of a DB-API cursor that is used here."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, operation: str, parameters: Mapping[str, Any], /) -> object: ...
    def executemany(self, operation: str, parameters: Sequence[Mapping[str, Any]], /) -> object: ...
    def fetchone(self) -> Row | None: ...
    def fetchall(self) -> list[Row]: ...


class Missed(Exception):
    """A compare-and-set found nothing, as a later answer shows: of which unit, only running it apart says.

    No error of ours, so that no unit takes it for a refusal of its own.
    """

    def __init__(self, refusal: CountersignError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Transaction:
    """Runs statements for one unit of work at a time and notes what to tell once it is committed.

    Waits for each; a lane's on PostgreSQL does not (core/store/pipeline.py).
    """

    __slots__ = (
        "_cursor",
        "_dialect",
        "_placing",
        "attempts",
        "due",
        "events",
        "left",
        "now",
        "position",
        "writes",
    )

    def __init__(self, cursor: Cursor, dialect: Dialect, placing: Placing | None = None) -> None:
        self._cursor = cursor
        self._dialect = dialect
        self._placing = placing
        """Where one of several replicas works on the database."""
        self.now: datetime
        """What the units of one group stamp on what they store: they become durable together."""
        self.begin_unit()

    def begin_unit(self) -> None:
        """Forget the last unit's notes."""
        self.events: list[StoredEvent] = []
        """Events stored by this unit, for followers."""
        self.due: set[ChannelName] = set()
        """Channels for which this unit made deliveries due; `TIMERS` where it set some."""
        self.position: Position | None = None
        """Where a runner takes up the task to which this unit gave work; saves it a read."""
        self.left: dict[str, bool] = {}
        """Of each task to which this unit gave work, whether it was left to a job."""
        self.attempts: list[int] = []
        """Of each task that this unit ended."""
        self.writes = 0
        """How much this unit changed, at most: rows where it learnt how many, statements where it did not
        ask. A refusal before the first write leaves its group alone."""

    def run(self, statement: Statement, /, **parameters: Any) -> int:
        """Run a statement that changes rows; how many it changed."""
        self._execute(statement, parameters)
        count = self._cursor.rowcount
        self.writes += max(count, 0)
        return count

    def send(self, statement: Statement, /, **parameters: Any) -> None:
        """Run a statement that changes rows, where nobody needs to know whether it found any.

        On PostgreSQL it is not waited for: where it fails, the next wait raises that, another unit's or
        the commit's, and its group is run apart.
        """
        self._execute(statement, parameters)
        self.writes += 1

    def must(self, statement: Statement, refusal: CountersignError, /, **parameters: Any) -> None:
        """Run a compare-and-set that fails in races only: under a lock it is all but sure.

        Where it changes nothing, the unit ends with `refusal` and all of it is undone. On PostgreSQL
        that may come to light later, and then costs the whole group a second run; who loses more often than
        that asks `run`.
        """
        if not self.run(statement, **parameters):
            raise refusal

    def changed(self, statement: Statement, /, **parameters: Any) -> list[Row]:
        """Run an update that says `RETURNING`; what it returns of the rows that it changed."""
        rows = self.all(statement, **parameters)
        self.writes += len(rows)
        return rows

    def insert(self, statement: Statement, /, **columns: Any) -> None:
        """Insert one row; it fails as `send` does."""
        self.send(statement, **columns)

    def insert_many(self, statement: Statement, rows: Iterable[Mapping[str, Any]], /) -> None:
        rows = list(rows)
        if len(rows) == 1:
            self.send(statement, **rows[0])
        elif rows:
            text, constants = statement.text(self._dialect)
            self._cursor.executemany(text, [{**constants, **row} for row in rows] if constants else rows)
            self.writes += len(rows)

    def ahead(self, statement: Statement, /, **parameters: Any) -> None:
        """Say which row `one` will be asked for: it then is that of now, whatever the unit stores between.

        On PostgreSQL it comes with the answer that is waited for next, so that it costs no wait of its own.
        Elsewhere `one` reads it; so ask for what the unit leaves as it is.
        """

    def one(self, statement: Statement, /, **parameters: Any) -> Row | None:
        self._execute(statement, parameters)
        return self._cursor.fetchone()

    def all(self, statement: Statement, /, **parameters: Any) -> list[Row]:
        self._execute(statement, parameters)
        return self._cursor.fetchall()

    def lock(self, statement: Statement, /, **parameters: Any) -> None:
        """Lock what the statement selects until the commit, where other servers may be writing too.

        A read of its own: what is read after it is the newest there is. SQLite has one writer anyway.
        """
        if self._dialect.name != "sqlite":
            self._execute(statement, parameters)

    def holder(self) -> str | None:
        """Who is to hold the work that this unit stores for a task; None where nobody has to, or a job
        carries it: `place` it once it is stored."""
        placing = self._placing
        return placing.replica if placing is not None and placing.has_room() else None

    def place(self, task: str, version: int, holder: str | None) -> bool:
        """The task has stored work at this version; whether this process is to run it."""
        self.left[task] = holder is None and self._placing is not None
        if self.left[task]:
            self.defer(task, version)
        return not self.left[task]

    def defer(self, task: str, version: int) -> None:
        """Store a job for the work that the task has at this version, which was just made."""
        self.insert(jobs.DEFER, task=task, lock=jobs.lock_of(task, version))

    def _execute(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        text, constants = statement.text(self._dialect)
        self._cursor.execute(text, {**constants, **parameters} if constants else parameters)
