"""A PostgreSQL database: how to connect, how a transaction begins, which of its errors pass by themselves."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError, StoreUnavailable
from core.imports import extra

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect

    from core.store.database import Database
    from core.store.pipeline import Pipeline
    from core.store.placing import Placing
    from core.store.transaction import Transaction

UNREACHED = "The PostgreSQL database cannot be reached."
"""All that callers are told: where it is, is for whoever runs it."""
LONGEST_TRANSACTION = 10
"""Seconds, within which others can do what a server that stands still had locked: a lease lasts as long."""
IN_A_HURRY = "SET LOCAL lock_timeout = '20ms'"
"""Of units whose group has waited for a lock already: of all that it may hold they wait little more than a
second together."""
PROGRAM = "countersign"
LONGEST_NAME = 63
"""Characters of `application_name` (PostgreSQL, NAMEDATALEN)."""
AT_FIRST = "SET lock_timeout = '2s'"
"""What each connection is told when it begins."""
TIMELINE = """
SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
"""
"""The first eight digits of a WAL file's name (PostgreSQL, Continuous Archiving, Timelines)."""


class PostgreSQL:
    """A PostgreSQL database, reached with psycopg 3 (the extra `postgres`)."""

    has_one_writer = False
    begin_write = "BEGIN"
    begin_read = "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ"
    group = 64
    """A group keeps its row locks until it commits, and other servers wait for them."""

    def __init__(self, url: URL, program: str = PROGRAM) -> None:
        """`program` is what the server calls our connections, unless the URL or PGAPPNAME says otherwise."""
        try:
            import psycopg  # noqa: PLC0415 - an extra, and half a second of import for those who have it
        except ImportError as error:
            raise SettingsError(
                f"COUNTERSIGN_DATABASE_URL names PostgreSQL, which needs {extra('postgres')}."
            ) from error
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - likewise

        self._psycopg = psycopg
        self._has_let_us_in = False
        named = {"fallback_application_name": program[:LONGEST_NAME]}
        self.url = url.update_query_dict({**named, **url.query})
        self.dialect: Dialect = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]  # theirs

    def connect(self, *, read_only: bool = False) -> Any:
        """Raises `SettingsError` where the server refuses us that has never let us in."""
        try:
            connection = self._psycopg.connect(
                conninfo(self),
                autocommit=True,
                prepare_threshold=0,
                client_encoding="utf8",
                connect_timeout=2,  # Slack waits 3 s for the answer to a press
                tcp_user_timeout=5_000,
            )
        except self._psycopg.OperationalError as error:
            raise self._unreached(error) from error
        except self._psycopg.ProgrammingError as error:
            # Without its words, which may be those around a password.
            raise SettingsError(
                "COUNTERSIGN_DATABASE_URL: PostgreSQL's library cannot read the URL, or a parameter in it."
            ) from error
        self._tell(connection, AT_FIRST)
        if read_only:
            self._tell(connection, "SET default_transaction_read_only = on")
        self._has_let_us_in = True
        return connection

    def _tell(self, connection: Any, statement: str) -> str | None:
        """Raises `StoreUnavailable`, also where the server has let us in and says nothing more."""
        from core.store.pipeline import tell  # noqa: PLC0415 - it imports psycopg

        try:
            return tell(connection, statement)
        except self._psycopg.OperationalError as error:
            connection.close()
            raise self._unreached(error) from error

    def _unreached(self, error: BaseException) -> SettingsError | StoreUnavailable:
        """A server that has let us in and refuses us now may be under repair: that passes."""
        trouble, is_refusal = self._trouble(error)
        if is_refusal and not self._has_let_us_in:
            return SettingsError(f"COUNTERSIGN_DATABASE_URL: the {trouble}")
        return StoreUnavailable(UNREACHED, detail=f"The {trouble}")

    def _outage(self, error: BaseException) -> StoreUnavailable:
        return StoreUnavailable(UNREACHED, detail=f"The {self._trouble(error)[0]}")

    def _trouble(self, error: BaseException) -> tuple[str, bool]:
        """Of which sentence to say, and whether the server refuses us."""
        from core.store import reasons  # noqa: PLC0415 - likewise

        try:
            told = conninfo(self)
            why = reasons.reason(error, told)
            sentence = f"PostgreSQL database {reasons.where(told)} cannot be reached: {why}."
            return sentence, reasons.is_refusal(error, told)
        except Exception:  # noqa: BLE001 - whatever keeps the reason from being found, the outage stands: an error from here would end the lane's thread
            return UNREACHED.removeprefix("The "), False

    def cursor(self, connection: Any) -> Pipeline:
        from core.store.pipeline import Pipeline  # noqa: PLC0415 - it imports psycopg

        # A server that stands still in a transaction keeps its locks. In a pipeline that does not count as
        # idle, so that of PostgreSQL's limits only this one holds, which came with its release 17.
        if connection.info.server_version >= 170_000:
            self._tell(connection, f"SET transaction_timeout = '{LONGEST_TRANSACTION}s'")
        return Pipeline(connection, self._server(connection))

    def _server(self, connection: Any) -> str:
        """Its address and its timeline, which a standby that takes over leaves for one of its own."""
        try:
            timeline = self._tell(connection, TIMELINE)
        except self._psycopg.Error as error:
            if error.sqlstate is None:
                raise
            timeline = None  # not every service lets it be asked
        return f"{connection.info.hostaddr or connection.info.host}:{connection.info.port}/{timeline}"

    def transaction(self, cursor: Any, placing: Placing | None) -> Transaction:
        from core.store.pipeline import PipelinedTransaction  # noqa: PLC0415 - it imports psycopg

        return PipelinedTransaction(cursor, self.dialect, placing)

    def begin(self, cursor: Any, *, writes: bool) -> None:
        cursor.begin(self.begin_write if writes else self.begin_read)

    def leave(self, cursor: Any) -> None:
        cursor.leave()

    def unavailable(self, error: BaseException) -> StoreUnavailable | None:
        errors = self._psycopg.errors
        if isinstance(error, (errors.DeadlockDetected, errors.SerializationFailure)):
            return None
        sentences = {
            errors.DiskFull: "The disk of the database is full; nothing was changed.",
            errors.LockNotAvailable: "The database is locked by another program; nothing was changed.",
            errors.TransactionTimeout: "The database took too long; nothing was changed.",
            errors.ReadOnlySqlTransaction: "The database takes no changes now; nothing was changed.",
        }
        if text := next((text for kind, text in sentences.items() if isinstance(error, kind)), None):
            return StoreUnavailable(text)
        if isinstance(error, (self._psycopg.OperationalError, self._psycopg.InterfaceError)):
            return self._outage(error)
        return None

    def is_local(self, error: BaseException) -> bool:
        return isinstance(error, self._psycopg.errors.LockNotAvailable)

    def hurry(self, cursor: Any) -> None:
        cursor.send(IN_A_HURRY, {})

    def is_lost(self, error: BaseException) -> bool:
        from core.store.pipeline import Silent  # noqa: PLC0415 - it imports psycopg

        # Of libpq's own failures, which have no SQLSTATE, only silence leaves open what the server does.
        is_libpqs = isinstance(error, self._psycopg.OperationalError) and error.sqlstate is None
        errors = self._psycopg.errors
        said_so = (errors.AdminShutdown, errors.CrashShutdown, errors.IdleSessionTimeout)
        return (is_libpqs and not isinstance(error, Silent)) or isinstance(error, said_so)

    def mark(self, cursor: Any) -> str | None:
        return f"{cursor.server} {cursor.number}"

    def was_committed(self, cursor: Any, mark: str) -> bool:
        """A COMMIT whose answer was lost has often been done, so its number is looked up: where that was
        given, as another server may have given it to another transaction. Raises `StoreUnavailable` there."""
        server, _, number = mark.rpartition(" ")
        if server != cursor.server:
            raise StoreUnavailable("Another PostgreSQL server has taken over.")
        for _ in range(20):
            cursor.execute("SELECT pg_xact_status(%(number)s::xid8)", {"number": number})
            row = cursor.fetchone()
            if row is None or row[0] != "in progress":
                return row is not None and row[0] == "committed"
            sleep(0.1)  # the server has not yet noticed that we are gone
        raise StoreUnavailable("The PostgreSQL database is still busy with a lost connection.")


def conninfo(database: Database) -> str:
    """How PostgreSQL's own library is told of the database; holds its password."""
    text = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    place, mark, query = text.partition("?")
    # libpq refuses spaces, which SQLAlchemy leaves as they are, and takes for itself a +, its other space.
    return place.replace(" ", "%20") + mark + query.replace("+", "%20")
