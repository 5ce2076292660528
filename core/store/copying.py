"""One copy of a database into another, which may be stopped at any point and gone on with.

Each batch of rows is one transaction with the note of how far the copy has come, so that a copy that was
killed goes on behind its last batch.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from core.store import unfinished, whole
from core.store.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Table

    from core.store.database import Database
    from core.store.transaction import Row
    from core.store.unfinished import Remains
    from core.store.whole import Tally

    Tallies = dict[str, Tally]

BATCH = 2_000
"""Rows in one transaction."""
# Copies of a whole server have its identifier; no two have begun in the same microsecond.
IDENTITY = """
SELECT extract(epoch FROM pg_postmaster_start_time())::text, oid
FROM pg_database WHERE datname = current_database()
"""


def identity(database: Database) -> tuple[object, ...]:
    """The same for two URLs where they name one database, at this moment; a SQLite file has to be there."""
    if isinstance(database, SQLite):
        known = database.path.stat()
        return known.st_dev, known.st_ino
    with closing(database.connect(read_only=True)) as connection:
        cursor = connection.cursor()
        cursor.execute(IDENTITY, {})
        return tuple(cursor.fetchone() or ())


class Copy:
    """One source, as it is at one moment, and one target; both held for this process."""

    def __init__(self, source: Database, read: Any, target: Database, written: Any) -> None:
        self.source, self.target = source, target
        self._read, self._written = read, written
        self.counts = {table.name: whole.count(source, read, table) for table in whole.TABLES}

    def remains(self) -> dict[str, Remains] | None:
        return unfinished.remains(self.target, self._written.cursor())

    def there(self) -> dict[str, int]:
        """How many rows the target's tables have."""
        return {table.name: whole.count(self.target, self._written, table) for table in whole.TABLES}

    def look_through(self, told: Callable[[int], object]) -> Tallies:
        """What the source has; raises `Invalid` for what cannot be copied."""
        return {
            table.name: whole.tally(self.source, self._read, table, told, check=True)
            for table in whole.TABLES
        }

    def begin(self, source: str, tallies: Tallies) -> dict[str, Remains]:
        """`source` is its name for people."""
        with self._transaction() as cursor:
            return unfinished.begin(self.target, cursor, source, tallies)

    def clear(self) -> None:
        with self._transaction() as cursor:
            whole.clear(self.target, cursor)
            unfinished.end(self.target, cursor)

    def go_on(
        self, remains: Mapping[str, Remains], told: Callable[[int], object], batch: int = BATCH
    ) -> None:
        """Copy what has not come yet; `told` hears of every batch once it is durable."""
        for table in whole.TABLES:
            known = remains[table.name]
            if known.copied < known.tally.rows:
                self._table(table, known, told, batch)

    def _table(self, table: Table, known: Remains, told: Callable[[int], object], batch: int) -> None:
        # Whatever ends it, reading ends before the connection does.
        with closing(whole.rows(self.source, self._read, table, known.last)) as read:
            self._rows((row for some in read for row in some), table, known, told, batch)

    def _rows(
        self, found: Iterator[Row], table: Table, known: Remains, told: Callable[[int], object], batch: int
    ) -> None:
        left = known.tally.rows - known.copied
        while left > 0:
            passing = whole.Passing(found, batch)
            with self._transaction() as cursor:
                whole.write(self.target, cursor, table, passing)
                if passing.last is not None:
                    last = whole.key_of(table, passing.last)
                    unfinished.advance(self.target, cursor, table.name, passing.count, last)
            if not passing.count:
                return  # the source's snapshot cannot have fewer; the check at the end would say so
            left -= passing.count
            told(passing.count)

    def check(self, told: Callable[[int], object]) -> Tallies:
        """What the target has, read anew."""
        with whole.snapshot(self.target) as anew:
            return {table.name: whole.tally(self.target, anew, table, told) for table in whole.TABLES}

    def first_difference(self, name: str) -> list[Any] | None:
        table = next(table for table in whole.TABLES if table.name == name)
        with whole.snapshot(self.target) as anew:
            return whole.first_difference((self.source, self._read), (self.target, anew), table)

    def finish(self) -> None:
        """Whoever serves the target may do so from now on."""
        whole.settle(self.target, self._written.cursor())
        with self._transaction() as cursor:
            unfinished.end(self.target, cursor)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """Committed at the end of the block; whoever leaves it by an exception ends the connection, too."""
        cursor = self._written.cursor()
        with whole.told(self.target):
            cursor.execute(self.target.begin_write, {})
            yield cursor
            cursor.execute("COMMIT", {})
