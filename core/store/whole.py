"""Whole tables, row by row in the order of their keys: read, checked, hashed, written, for a copy of them.

A row is hashed as a line of JSON, in which both databases say the same of equal rows. Text is ordered by
its UTF-8 bytes, whatever the collation of the database. No more than `FETCHED` rows are in memory.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from json import JSONEncoder
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, LargeBinary, String, delete, func, insert, select, tuple_

from core.errors import CountersignError, Invalid
from core.store.sqlite import SQLite
from core.store.statements import Statement, p
from core.store.tables import metadata, task
from core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from sqlalchemy import Column, ColumnElement, Table
    from sqlalchemy.engine import Dialect

    from core.store.database import Database
    from core.store.transaction import Row

FETCHED = 100
"""Rows that are read at once; one may hold megabytes."""

OF_THE_DATABASE = frozenset({"replica", "lease", "installed"})
"""Tables that tell of the database and who uses it now, and nothing of the work."""
TABLES = tuple(table for table in metadata.sorted_tables if table.name not in OF_THE_DATABASE)
"""Every other one, a table before those that refer to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many rows a table has, and the SHA-256 over all of them in order, as hex."""

    rows: int
    hash: str


def columns(table: Table) -> list[Column[Any]]:
    """What is copied of it: who runs a task now holds for the one database only."""
    return [column for column in table.columns if column is not task.c.holder]


@contextmanager
def snapshot(database: Database) -> Iterator[Any]:
    """A connection that reads one moment's rows, however long it reads."""
    connection: Any = database.connect(read_only=True)
    with closing(connection):
        if isinstance(database, SQLite):
            # What is no UTF-8 is to be found by its row, and not to stop the driver in the middle of them.
            connection.text_factory = _text
        connection.cursor().execute(database.begin_read, {})
        yield connection


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def count(database: Database, connection: Any, table: Table) -> int:
    with told(database, table):
        found = Transaction(connection.cursor(), database.dialect).one(
            Statement(select(func.count()).select_from(table))
        )
    return 0 if found is None else int(found[0])


def tally(
    database: Database, connection: Any, table: Table, read: Callable[[int], object], *, check: bool = False
) -> Tally:
    """Of all rows; `read` is told how many more were read.

    With `check` raises `Invalid` for the first row that not every database could take.
    """
    total, digest, shape = 0, sha256(), _Shape(table)
    for batch in rows(database, connection, table):
        if check:
            shape.check(batch)
        for row in batch:
            digest.update(shape.line(row))
        total += len(batch)
        read(len(batch))
    return Tally(rows=total, hash=digest.hexdigest())


def rows(
    database: Database, connection: Any, table: Table, after: Sequence[Any] | None = None
) -> Generator[list[Row], None, None]:
    """All in order, or those behind the key `after`; a few at a time. Within a transaction."""
    text, constants = _in_order(table, database.dialect, after)
    cursor = connection.cursor() if isinstance(database, SQLite) else connection.cursor(name="whole")
    with told(database, table), closing(cursor):
        cursor.execute(text, constants)
        while batch := cursor.fetchmany(FETCHED):
            yield batch


def key_of(table: Table, row: Row) -> list[Any]:
    """The values of its primary key."""
    names = [column.name for column in columns(table)]
    return [row[names.index(column.name)] for column in table.primary_key]


def write(database: Database, cursor: Any, table: Table, found: Iterable[Row]) -> None:
    """Add the rows, in the open transaction."""
    names = [column.name for column in columns(table)]
    with told(database, table):
        if isinstance(database, SQLite):
            text, _ = Statement(insert(table), names).text(database.dialect)
            cursor.executemany(text, (dict(zip(names, row, strict=True)) for row in found))
            return
        quoted = database.dialect.identifier_preparer
        into = f"{quoted.format_table(table)} ({', '.join(map(quoted.quote, names))})"
        with cursor.copy(f"COPY {into} FROM STDIN") as copy:
            for row in found:
                copy.write_row(row)


class Passing:
    """At most `limit` rows of `batches`, counted on their way; `last` is the last that passed."""

    def __init__(self, found: Iterator[Row], limit: int) -> None:
        self._rows = islice(found, limit)
        self.count = 0
        self.last: Row | None = None

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.count += 1
            self.last = row
            yield row


def clear(database: Database, cursor: Any) -> None:
    """Leave no row in any of `TABLES`, in the open transaction."""
    if isinstance(database, SQLite):
        for table in reversed(TABLES):
            cursor.execute(str(delete(table).compile(dialect=database.dialect)), {})
        return
    quoted = database.dialect.identifier_preparer
    cursor.execute(f"TRUNCATE {', '.join(map(quoted.format_table, TABLES))}", {})


def settle(database: Database, cursor: Any) -> None:
    """Let the planner know what has come; outside of transactions."""
    if not isinstance(database, SQLite):
        with told(database):
            cursor.execute("ANALYZE", {})


def first_difference(
    one: tuple[Database, Any], other: tuple[Database, Any], table: Table
) -> list[Any] | None:
    """The key of the first row, in their order, that is not the same in both; None where all are."""
    ours, theirs = ((row for batch in rows(*side, table) for row in batch) for side in (one, other))
    shape = _Shape(table)
    while True:
        mine, its = next(ours, None), next(theirs, None)
        if mine is None or its is None:
            odd = its if mine is None else mine
            return None if odd is None else key_of(table, odd)
        if shape.line(mine) != shape.line(its):
            return min(key_of(table, mine), key_of(table, its), key=_by_bytes)


def _by_bytes(key: list[Any]) -> list[Any]:
    return [part.encode(errors="surrogateescape") if isinstance(part, str) else part for part in key]


def _in_order(table: Table, dialect: Dialect, after: Sequence[Any] | None) -> tuple[str, dict[str, Any]]:
    keys: list[ColumnElement[Any]] = [
        column.collate("C") if dialect.name != "sqlite" and isinstance(column.type, String) else column
        for column in table.primary_key
    ]
    wanted, given = select(*columns(table)).order_by(*keys), {}
    if after is not None:
        given = {f"key_{number}": value for number, value in enumerate(after)}
        wanted = wanted.where(tuple_(*keys) > tuple_(*map(p, given)))
    text, constants = Statement(wanted).text(dialect)
    return text, {**constants, **given}


class _Shape:
    """How a table's rows look as lines, and what may stand in each column."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = columns(table)
        self._encode = JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=bytes.hex).encode

    def line(self, row: Row) -> bytes:
        """One line, for JSON writes no line's end as it is; half a surrogate pair is kept."""
        return self._encode(row).encode(errors="surrogatepass") + b"\n"

    def check(self, batch: list[Row]) -> None:
        for column, values in zip(self._columns, zip(*batch, strict=True), strict=True):
            if any(map(_fault_of(column), values)):
                self._refuse(column, batch)

    def _refuse(self, column: Column[Any], batch: list[Row]) -> None:
        at, fault = self._columns.index(column), _fault_of(column)
        row, sentence = next((row, said) for row in batch if (said := fault(row[at])))
        raise Invalid(
            f"{self._table.name}: the row {JSONEncoder().encode(key_of(self._table, row))} cannot be copied: "
            f"its {column.name} {sentence}."
        )


def _fault_of(column: Column[Any]) -> Callable[[Any], str | None]:
    """What is wrong with a value of that column, for a sentence that begins with the column's name."""
    if isinstance(column.type, LargeBinary):
        return lambda value: None if value is None or isinstance(value, bytes) else "is not bytes"
    if isinstance(column.type, Integer):
        bits = 64 if isinstance(column.type, BigInteger) else 32
        return lambda value: None if value is None else _fault_of_number(value, bits)
    longest = column.type.length if isinstance(column.type, String) else None
    return lambda value: None if value is None else _fault_of_text(value, longest)


def _fault_of_number(value: object, bits: int) -> str | None:
    if not isinstance(value, int):
        return "is no whole number"
    return None if -(1 << bits - 1) <= value < 1 << bits - 1 else f"is a number of more than {bits} bits"


def _fault_of_text(value: object, longest: int | None) -> str | None:
    if not isinstance(value, str):
        return "is no text"
    if "\x00" in value:
        return "holds a NUL character, which PostgreSQL cannot store"
    if longest is not None and len(value) > longest:
        return f"has more than {longest} characters"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds what is not UTF-8 text"
    return None


@contextmanager
def told(database: Database, table: Table | None = None) -> Iterator[None]:
    """What the database refuses becomes a sentence of ours."""
    try:
        yield
    except CountersignError:
        raise
    except Exception as error:  # drivers differ; what is not of the database is raised as it is
        if known := database.unavailable(error):
            raise known from error
        if said := _said(error):
            where = "" if table is None else f"{table.name}: "
            raise Invalid(f"{where}the database says: {said}.") from error
        raise


def _said(error: Exception) -> str | None:
    """A driver's own words, without the values that PostgreSQL adds to them."""
    if isinstance(error, sqlite3.Error):
        return str(error)
    found = getattr(getattr(error, "diag", None), "message_primary", None)
    return None if found is None else str(found)
