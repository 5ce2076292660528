"""What every part of the store runs its units of work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.store.backup import Copies
from core.store.commits import Commits
from core.store.lane import Lane
from core.store.placing import Placing

if TYPE_CHECKING:
    from core.ports import Clock
    from core.store.database import Database


class Lanes:
    """One for writing and one for reading, and what becomes of commits."""

    def __init__(self, database: Database, clock: Clock, *, replica: str | None = None) -> None:
        """`replica` is the id of this process among several on one PostgreSQL database."""
        self._placing = None if replica is None else Placing(replica)
        self._commits = Commits()
        self._copies = Copies(database)
        self._write = Lane(database, clock, writes=True, committed=self._commits.tell, placing=self._placing)
        self._read = Lane(database, clock, writes=False, committed=self._commits.tell)
