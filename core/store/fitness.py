"""Whether a PostgreSQL server and a database on it can hold what is stored: its release and its encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import SettingsError

if TYPE_CHECKING:
    from core.store.database import Database

OLDEST = 13
"""PostgreSQL's release. Since then a transaction has a number that does not wrap around, by which a lost
commit is looked up, and Procrastinate's documentation asks for as much."""
ENDS_TRANSACTIONS = 17
"""Since then a transaction may be given a time (`transaction_timeout`)."""
TESTED = 16
"""The oldest on which the tests of the store have been run."""
HOW_TO_MAKE = "CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
"""Without a locale it would have the server's, which may be that of another encoding."""


def check(database: Database, connection: Any) -> None:
    """Raises `SettingsError` where something of ours would fail, or might not be stored."""
    server = connection.info.server_version // 10_000
    if server < OLDEST:
        raise SettingsError(
            f"COUNTERSIGN_DATABASE_URL: the server is PostgreSQL {_release(connection)}, and this release "
            f"needs PostgreSQL {OLDEST} or later",
            mend="bring the server to a newer release",
        )
    cursor = connection.cursor()
    cursor.execute("SELECT getdatabaseencoding()::text, to_regclass('alembic_version') IS NOT NULL", {})
    encoding, is_used = cursor.fetchone()
    if encoding != "UTF8":
        bring = ", and bring everything over with pg_dump and pg_restore (see docs/operations.md)"
        raise SettingsError(
            f"COUNTERSIGN_DATABASE_URL: the database {database.url.database} is in {encoding} and cannot "
            "hold every text",
            mend=f"make one in UTF-8: {HOW_TO_MAKE}" + (bring if is_used else ""),
        )


def examined(database: Database) -> str | None:
    """What is lacking that can be done without, as part of a sentence; raises as `check` does, and
    `StoreUnavailable`."""
    connection: Any = database.connect(read_only=True)
    try:
        check(database, connection)
        return lacking(connection.info.server_version // 10_000, _release(connection))
    except Exception as error:  # drivers differ; what does not mean that the database is away is raised
        if known := database.unavailable(error):
            raise known from error
        raise
    finally:
        connection.close()


def lacking(server: int, release: str) -> str | None:
    if server >= ENDS_TRANSACTIONS:
        return None
    untested = "" if server >= TESTED else f", and our tests have been run on {TESTED} and later only"
    return (
        f"PostgreSQL {release} keeps what a replica had locked that froze in the middle of a transaction, "
        f"until it wakes or is killed{untested}"
    )


def _release(connection: Any) -> str:
    """Some distributions add their own to it."""
    return str(connection.info.parameter_status("server_version")).partition(" ")[0]
