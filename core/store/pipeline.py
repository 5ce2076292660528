"""A cursor that runs prepared statements in libpq's pipeline mode, and waits only for what is asked of it.

psycopg's own cursors do the same at more than twice the CPU (measured: 28 us a statement against 12; 41
without a pipeline), for choices that are made once here: each text is prepared once per connection, under
the types that it names itself. The connection belongs to its one `Pipeline`; psycopg's cursors cannot be
used on it beside.
"""

from __future__ import annotations

import re
import select
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import DatabaseError, DataError, InterfaceError, OperationalError, errors, pq
from psycopg.adapt import Transformer

from core.store.postgresql import LONGEST_TRANSACTION
from core.store.transaction import Missed, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import Connection
    from psycopg.pq.abc import PGconn, PGresult
    from sqlalchemy.engine import Dialect

    from core.errors import CountersignError
    from core.store.placing import Placing
    from core.store.statements import Statement
    from core.store.transaction import Row

PARAMETER = re.compile(r"%\((\w+)\)s|%%")
CAST = re.compile(r"%\((\w+)\)s::")
INFERRED, INT8 = 0, 20
"""Types of parameters: what their place says, and a whole number."""
NUMBER = "SELECT pg_current_xact_id()::text"
"""What `pg_xact_status` knows a transaction by."""

SILENCE = LONGEST_TRANSACTION + 1.0
"""Seconds without a word after which a server is given up that has closed nothing: no transaction is to take
longer than `LONGEST_TRANSACTION`, and where the server can, it ends one that does."""

COMMAND_OK = pq.ExecStatus.COMMAND_OK
TUPLES_OK = pq.ExecStatus.TUPLES_OK
PIPELINE_SYNC = pq.ExecStatus.PIPELINE_SYNC
PIPELINE_ABORTED = pq.ExecStatus.PIPELINE_ABORTED


class Silent(OperationalError):
    """The server has said nothing for `SILENCE`."""


class Sent(Enum):
    """What has been sent and not been answered."""

    STATEMENT = auto()
    NUMBER = auto()
    SYNC = auto()


class Expected(NamedTuple):
    """A statement has been sent that has to change something."""

    refusal: CountersignError


class Ahead:
    """A question that has been sent, and its answer once that has come."""

    __slots__ = ("result",)

    def __init__(self) -> None:
        self.result: PGresult | None = None


class Prepared(NamedTuple):
    """A text that the server knows by a name, and the order in which it takes its parameters."""

    name: bytes
    keys: tuple[str, ...]


class Pipeline:
    """The part of a DB-API cursor that `Transaction` uses, and what a `PipelinedTransaction` uses beside.

    What fails in a statement for which nobody waited is raised by the next wait, at the latest by that for
    COMMIT, which then was not done. Outside a transaction every statement is waited for.
    """

    def __init__(self, connection: Connection[Any], server: str = "") -> None:
        self.server = server
        """Which one it is; after a failover it is another, whose numbers of transactions begin anew."""
        self._pgconn: PGconn = connection.pgconn
        self._pgconn.enter_pipeline_mode()
        self._transformer = Transformer(connection)
        self._prepared: dict[str, Prepared] = {}
        self._names = 0
        self._sent: deque[Sent | Expected | Ahead | str] = deque()
        """Oldest first; a text is one that was sent to be prepared."""
        self._is_open = False
        """Whether a transaction is: within it no Sync is needed."""
        self._number: str | None = None
        self._result: PGresult | None = None
        self._row = 0
        self._wire = Wire(self._pgconn)

    @property
    def rowcount(self) -> int:
        """Of the statement that was waited for last."""
        count = None if self._result is None else self._result.command_tuples
        return -1 if count is None else count

    @property
    def number(self) -> str:
        """What the server calls the open transaction, which has to be one that may write."""
        if self._number is None:
            self._pgconn.send_flush_request()
            self._take_answers()
        if self._number is None:
            raise InterfaceError("No transaction is open that may write.")
        return self._number

    def begin(self, operation: str) -> None:
        """Open a transaction; its number comes with the first answer that anybody waits for."""
        self.send(operation, {})
        self._is_open = True
        self._number = None
        if operation == "BEGIN":
            self.send(NUMBER, {})
            self._sent[-1] = Sent.NUMBER

    def leave(self) -> None:
        """End a transaction that has only read, without waiting until the server has done so."""
        self.send("COMMIT", {})
        self._sync()
        self._pgconn.flush()

    def send(self, operation: str, parameters: Mapping[str, Any], /) -> None:
        """Run a statement whose answer nobody needs."""
        prepared = self._prepared.get(operation) or self._prepare(operation, parameters)
        values = [_dumped(parameters[key]) for key in prepared.keys]
        self._pgconn.send_query_prepared(prepared.name, values)
        self._sent.append(Sent.STATEMENT)

    def expect(self, operation: str, parameters: Mapping[str, Any], refusal: CountersignError, /) -> None:
        """Run a statement that has to change something; where it does not, the next wait raises `Missed`."""
        self.send(operation, parameters)
        self._sent[-1] = Expected(refusal)

    def ahead(self, operation: str, parameters: Mapping[str, Any], /) -> Ahead:
        """Ask for what will be needed; its answer comes with the next that anybody waits for."""
        self.send(operation, parameters)
        asked = Ahead()
        self._sent[-1] = asked
        return asked

    def answered(self, asked: Ahead) -> list[Row]:
        """What was asked ahead, at the latest now."""
        if asked.result is None:
            self._pgconn.send_flush_request()
            self._take_answers()
        if asked.result is None:
            raise InterfaceError("It was asked in a transaction that has ended.")
        self._transformer.set_pgresult(asked.result)
        return self._transformer.load_rows(0, asked.result.ntuples, tuple)

    def execute(self, operation: str, parameters: Mapping[str, Any], /) -> None:
        """Run a statement and wait for its answer, and with it for those of all before it."""
        if operation == "COMMIT" and any(isinstance(sent, Expected) for sent in self._sent):
            # That one changed nothing is no failure to the server, which would commit all the same.
            self._pgconn.send_flush_request()
            self._take_answers()
        self.send(operation, parameters)
        if self._is_open and operation not in {"COMMIT", "ROLLBACK"}:
            self._pgconn.send_flush_request()
        else:
            self._sync()
        self._take_answers()
        if operation == "COMMIT" and (self._result is None or self._result.command_status != b"COMMIT"):
            # So it says to a transaction that has failed, and takes it for no failure.
            raise errors.InFailedSqlTransaction("The server undid what it was to commit.")

    def executemany(self, operation: str, rows: Sequence[Mapping[str, Any]], /) -> None:
        for row in rows:
            self.send(operation, row)

    def fetchone(self) -> Row | None:
        rows = self._rows(1)
        return rows[0] if rows else None

    def fetchall(self) -> list[Row]:
        return self._rows(None)

    def _rows(self, most: int | None) -> list[Row]:
        result, first = self._result, self._row
        if result is None or result.status != TUPLES_OK:
            raise InterfaceError("The last statement gave no rows.")
        self._row = result.ntuples if most is None else min(first + most, result.ntuples)
        if first == self._row:
            return []
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(first, self._row, tuple)

    def _prepare(self, operation: str, parameters: Mapping[str, Any]) -> Prepared:
        places: dict[str, int] = {}

        def numbered(found: re.Match[str]) -> str:
            return "%" if found[1] is None else f"${places.setdefault(found[1], len(places) + 1)}"

        text = PARAMETER.sub(numbered, operation)
        # Most places say what they hold; the branch of a CASE does not, and it would be taken for text.
        cast = set(CAST.findall(operation))
        types = [INT8 if key not in cast and isinstance(parameters[key], int) else INFERRED for key in places]
        self._names += 1
        prepared = self._prepared[operation] = Prepared(b"s%d" % self._names, tuple(places))
        self._pgconn.send_prepare(prepared.name, text.encode(), types)
        self._sent.append(operation)
        return prepared

    def _sync(self) -> None:
        """Whatever failed before it, what comes after it is run."""
        self._pgconn.pipeline_sync()
        self._sent.append(Sent.SYNC)
        self._is_open = False

    def _take_answers(self) -> None:
        """Wait for the answers to all that was sent; raises the first failure among them."""
        failure = self._first_failure()
        if failure is not None:
            self._result = None
            self._sync()  # the server skips all that was sent until then
            self._first_failure()
            raise failure

    def _first_failure(self) -> Exception | None:
        failure: Exception | None = None
        self._wire.send()
        self._row = 0
        while self._sent:
            sent = self._sent.popleft()
            result = self._wire.next_result()
            if result is None:
                raise OperationalError("The server closed the connection.")
            if sent is Sent.SYNC:
                continue
            self._wire.next_result()  # libpq ends the results of each statement with none
            failed = self._noted(sent, result)
            failure = failure or failed
        return failure

    def _noted(self, sent: Sent | Expected | Ahead | str, result: PGresult) -> Exception | None:
        """Keep what an answer says; what it fails with, if it is the first to."""
        if result.status not in {COMMAND_OK, TUPLES_OK}:
            if isinstance(sent, str):
                self._prepared.pop(sent, None)
            return None if result.status == PIPELINE_ABORTED else _failure(result)
        if sent is Sent.STATEMENT:
            self._result = result
        elif sent is Sent.NUMBER:
            self._number = (result.get_value(0, 0) or b"").decode()
        elif isinstance(sent, Ahead):
            sent.result = result
        elif isinstance(sent, Expected) and not result.command_tuples:
            return Missed(sent.refusal)
        return None


class PipelinedTransaction(Transaction):
    """Waits for what is asked of it, and for nothing else before the commit."""

    __slots__ = ("_asked", "_pipeline")

    def __init__(self, pipeline: Pipeline, dialect: Dialect, placing: Placing | None = None) -> None:
        self._pipeline = pipeline
        super().__init__(pipeline, dialect, placing)

    def begin_unit(self) -> None:
        super().begin_unit()
        self._asked: dict[Statement, tuple[Mapping[str, Any], Ahead]] = {}
        """What was asked ahead: with which parameters, and where the answer will be."""

    def send(self, statement: Statement, /, **parameters: Any) -> None:
        self._pipeline.send(*self._said(statement, parameters))
        self.writes += 1

    def must(self, statement: Statement, refusal: CountersignError, /, **parameters: Any) -> None:
        self._pipeline.expect(*self._said(statement, parameters), refusal)
        self.writes += 1

    def ahead(self, statement: Statement, /, **parameters: Any) -> None:
        self._asked[statement] = parameters, self._pipeline.ahead(*self._said(statement, parameters))

    def one(self, statement: Statement, /, **parameters: Any) -> Row | None:
        if self._asked and (asked := self._asked.pop(statement, None)) and asked[0] == parameters:
            rows = self._pipeline.answered(asked[1])
            return rows[0] if rows else None
        return super().one(statement, **parameters)

    def lock(self, statement: Statement, /, **parameters: Any) -> None:
        self._pipeline.send(*self._said(statement, parameters))

    def _said(self, statement: Statement, parameters: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        text, constants = statement.text(self._dialect)
        return text, {**constants, **parameters} if constants else parameters


class Wire:
    """Waits for the server, though never longer than for `SILENCE`: then it raises `Silent`.

    What the server does with what it was sent last nobody knows, and the connection is of no use any more.
    """

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._until_readable = _poll(pgconn, select.POLLIN)
        self._until_ready = _poll(pgconn, select.POLLIN | select.POLLOUT)
        self._milliseconds = SILENCE * 1_000

    def send(self) -> None:
        """All that is to be sent, and that the server is to read."""
        while self._pgconn.flush():
            if not self._until_ready(self._milliseconds):
                raise Silent("The server did not take what it was sent.")
            self._pgconn.consume_input()

    def next_result(self) -> PGresult | None:
        pgconn = self._pgconn
        while pgconn.is_busy():
            if not self._until_readable(self._milliseconds):
                raise Silent("The server did not answer.")
            pgconn.consume_input()
        return pgconn.get_result()


def tell(connection: Connection[Any], statement: str) -> str | None:
    """Run a statement on a connection that nothing else is under way on; the one value that it answers, if
    any."""
    pgconn = connection.pgconn
    wire, failure, value = Wire(pgconn), None, None
    pgconn.send_query(statement.encode())
    wire.send()
    while (result := wire.next_result()) is not None:
        if result.status not in {COMMAND_OK, TUPLES_OK}:
            failure = failure or _failure(result)
        elif result.ntuples:
            value = result.get_value(0, 0)
    if failure is not None:
        raise failure
    return None if value is None else value.decode()


def _poll(pgconn: PGconn, events: int) -> Callable[[float], object]:
    poll = select.poll()
    poll.register(pgconn.socket, events)
    return poll.poll


def _dumped(value: Any) -> bytes | None:
    """In PostgreSQL's text format."""
    if isinstance(value, str):
        data = value.encode()
        if b"\0" in data:
            raise DataError("PostgreSQL's text cannot hold the character NUL.")
        return data
    if value is None:
        return None
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    raise TypeError(f"No column here takes a {type(value).__name__}.")


def _failure(result: PGresult) -> DatabaseError:
    """psycopg's error of the result's SQLSTATE; libpq's own have none, and mean that the server is gone."""
    message = result.get_error_message().strip()
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    if state is None:
        return OperationalError(message)
    try:
        return errors.lookup(state.decode())(message)  # type: ignore[return-value]  # all are of DatabaseError
    except KeyError:
        return DatabaseError(message)
