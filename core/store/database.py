"""The databases: what each can be asked for, and which one a URL names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from core.errors import SettingsError
from core.store.hosts import hosts_in_the_query
from core.store.postgresql import PROGRAM, PostgreSQL
from core.store.sqlite import SQLite

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect

    from core.errors import StoreUnavailable
    from core.store.placing import Placing
    from core.store.transaction import Cursor, Transaction

MISLEADING = re.compile(r"[@/]|\?\w+=")
"""What a user and a password do not have in a URL that means what it seems to."""


class Connection(Protocol):
    """The part of a DB-API connection that is used here; outside BEGIN it commits by itself."""

    def cursor(self) -> Cursor: ...
    def close(self) -> None: ...


class Database(Protocol):
    """One database server or file."""

    @property
    def url(self) -> URL: ...
    @property
    def dialect(self) -> Dialect: ...
    @property
    def has_one_writer(self) -> bool: ...
    @property
    def begin_write(self) -> str: ...
    @property
    def begin_read(self) -> str: ...
    @property
    def group(self) -> int:
        """Units in one commit."""
        ...

    def connect(self, *, read_only: bool = False) -> Connection:
        """A new connection in autocommit mode; raises `StoreUnavailable`."""
        ...

    def cursor(self, connection: Connection) -> Cursor:
        """The one cursor of a lane's connection, made for many small transactions."""
        ...

    def transaction(self, cursor: Cursor, placing: Placing | None) -> Transaction:
        """What units run their statements on, over that cursor."""
        ...

    def begin(self, cursor: Cursor, *, writes: bool) -> None: ...

    def leave(self, cursor: Cursor) -> None:
        """End a transaction that has only read."""
        ...

    def unavailable(self, error: BaseException) -> StoreUnavailable | None:
        """What to raise instead where the error says "not now"; None where it is a defect of ours, or where
        running the unit again may help."""
        ...

    def is_local(self, error: BaseException) -> bool:
        """Whether only what one unit touches is locked, and others of its group may be run."""
        ...

    def hurry(self, cursor: Cursor) -> None:
        """Wait for no lock in the open transaction for longer than a moment."""
        ...

    def is_lost(self, error: BaseException) -> bool:
        """Whether it says that the connection is gone, so that a new one may find the server there."""
        ...

    def mark(self, cursor: Cursor) -> str | None:
        """What `was_committed` finds the open transaction by, where a COMMIT can get lost on its way."""
        ...

    def was_committed(self, cursor: Cursor, mark: str) -> bool:
        """Whether that transaction is committed; raises where nobody can tell."""
        ...


def database(url: str, program: str = PROGRAM) -> Database:
    """The database that a `COUNTERSIGN_DATABASE_URL` names; raises `SettingsError` for a wrong one.

    `program` is shown to whoever asks PostgreSQL who is connected.
    """
    kind, _, rest = url.partition("://")
    if kind.startswith("postgres") and MISLEADING.search(rest.rpartition("@")[0]):
        # Else a part of a password would be taken for a host or a database, and stand in sentences.
        raise SettingsError(
            "COUNTERSIGN_DATABASE_URL: an @ that is not the one before the host, and a / or ? in the user or "
            "the password, are percent-encoded: %40, %2F, %3F."
        )
    try:
        url.encode()  # what the environment holds need not be text
        parsed = make_url(hosts_in_the_query(url))
    except (ArgumentError, ValueError):
        raise SettingsError("COUNTERSIGN_DATABASE_URL is not a database URL.") from None
    match parsed.get_backend_name():
        case "sqlite":
            return SQLite(parsed)
        case "postgresql":
            return PostgreSQL(parsed, program)
        case other:
            raise SettingsError(
                f"COUNTERSIGN_DATABASE_URL: {other} is not supported; use sqlite or postgresql."
            )
