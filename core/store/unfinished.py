"""What a copy keeps in its target until it is whole: what it copies, and how far it has come.

The table is made and dropped by `countersign copy` itself; while it is there, nobody else may use the
database.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text, insert, select, update
from sqlalchemy.schema import CreateTable, DropTable

from core.store.sqlite import SQLite
from core.store.statements import Statement, p
from core.store.transaction import Transaction
from core.store.whole import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.store.database import Database
    from core.store.transaction import Cursor

# A line for each table of the source. It is no table of a release, so no migration knows it.
unfinished_copy = Table(
    "unfinished_copy",
    MetaData(),
    Column("table_name", String, primary_key=True),
    Column("source", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("copied", BigInteger, nullable=False),
    # JSON: the key of the last row that is copied; NULL: none is.
    Column("last", Text),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """Of one table: what the source had when the copy began, and what of it has come."""

    source: str
    tally: Tally
    copied: int
    last: Sequence[Any] | None


def source_of_copy(database: Database) -> str | None:
    """From where an unfinished copy in this database comes; None where there is no such copy."""
    if isinstance(database, SQLite) and not database.path.exists():
        return None
    with closing(database.connect(read_only=True)) as connection:
        found = remains(database, connection.cursor())
    return None if not found else next(iter(found.values())).source


def remains(database: Database, cursor: Cursor) -> dict[str, Remains] | None:
    """By the table's name; None where there is no unfinished copy."""
    if isinstance(database, SQLite):
        there = "SELECT count(*) FROM sqlite_master WHERE name = 'unfinished_copy'"
    else:
        there = "SELECT count(*) WHERE to_regclass('unfinished_copy') IS NOT NULL"
    cursor.execute(there, {})
    if cursor.fetchone() in (None, (0,)):
        return None
    return {
        name: Remains(
            source=source,
            tally=Tally(rows=rows, hash=digest),
            copied=copied,
            last=None if last is None else json.loads(last),
        )
        for name, source, rows, digest, copied, last in Transaction(cursor, database.dialect).all(
            Statement(select(unfinished_copy))
        )
    }


def begin(
    database: Database, cursor: Cursor, source: str, tallies: Mapping[str, Tally]
) -> dict[str, Remains]:
    """Note what is to come, in the open transaction."""
    cursor.execute(str(CreateTable(unfinished_copy).compile(dialect=database.dialect)), {})
    names = [column.name for column in unfinished_copy.columns]
    Transaction(cursor, database.dialect).insert_many(
        Statement(insert(unfinished_copy), names),
        [
            dict(zip(names, (name, source, tally.rows, tally.hash, 0, None), strict=True))
            for name, tally in tallies.items()
        ],
    )
    return {name: Remains(source=source, tally=tally, copied=0, last=None) for name, tally in tallies.items()}


def advance(database: Database, cursor: Cursor, table: str, count: int, last: Sequence[Any]) -> None:
    """So many more rows of the table have come, in the open transaction."""
    kept = unfinished_copy.c
    Transaction(cursor, database.dialect).run(
        Statement(
            update(unfinished_copy)
            .where(kept.table_name == p("table"))
            .values(copied=kept.copied + p("count"), last=p("last"))
        ),
        table=table,
        count=count,
        last=json.dumps(last),
    )


def end(database: Database, cursor: Cursor) -> None:
    """The copy is whole, or cleared away, in the open transaction."""
    cursor.execute(str(DropTable(unfinished_copy).compile(dialect=database.dialect)), {})
