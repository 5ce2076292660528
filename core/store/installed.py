"""What `migrate` brings to a PostgreSQL database besides our own tables: those of Procrastinate.

Procrastinate keeps no record of what it applied, so ours does: the name of its newest migration. It is told
apart from a release's schema as a whole, which is applied to a new database.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError

if TYPE_CHECKING:
    from core.store.transaction import Cursor

PROCRASTINATE = "procrastinate"
FIRST = "03.04.00_50_post_add_retry_failed_job_procedure.sql"
"""The newest migration when this began."""
MADE_BY_IT = "procrastinate_retry_job_v2"
"""A function that stands since then: tables that somebody else made are told by it."""

RECORD = (
    "INSERT INTO installed (name, version) VALUES (%(name)s, %(version)s)"
    " ON CONFLICT (name) DO UPDATE SET version = excluded.version"
)


def version(cursor: Cursor, name: str) -> str | None:
    """What is recorded under this name; None also where nothing is recorded at all yet."""
    cursor.execute("SELECT count(*) WHERE to_regclass('installed') IS NOT NULL", {})
    found = cursor.fetchone()
    if not found or not found[0]:
        return None
    cursor.execute("SELECT version FROM installed WHERE name = %(name)s", {"name": name})
    row = cursor.fetchone()
    return None if row is None else str(row[0])


def record(cursor: Cursor, name: str, version: str) -> None:
    cursor.execute(RECORD, {"name": name, "version": version})


def newest() -> str:
    """Procrastinate's newest migration, as this release has it."""
    return _files()[-1].name


def bring_up(connection: Any) -> None:
    """Apply what the release of Procrastinate that is installed here needs, each file wholly or not at all.

    `connection` is one of psycopg's, in autocommit mode. Raises `SettingsError` for tables of unknown origin.
    """
    cursor = connection.cursor()
    at = version(cursor, PROCRASTINATE)
    if at is None:
        at = _begin(connection, cursor)
    for file in _files():
        if file.name > at:
            with connection.transaction():
                connection.execute(file.read_text(encoding="utf-8"), prepare=False)
                record(cursor, PROCRASTINATE, file.name)


def _begin(connection: Any, cursor: Cursor) -> str:
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - a second of import

    cursor.execute(
        "SELECT to_regclass('procrastinate_jobs') IS NOT NULL, to_regproc(%(made)s) IS NOT NULL",
        {"made": MADE_BY_IT},
    )
    is_there, is_known = cursor.fetchone() or (False, False)
    if is_there and not is_known:
        raise SettingsError(
            "COUNTERSIGN_DATABASE_URL: the database has tables of an older Procrastinate; "
            "bring them to 3.4 with its own command, or use a database of its own."
        )
    at = FIRST if is_there else newest()
    with connection.transaction():
        if not is_there:
            connection.execute(SchemaManager.get_schema(), prepare=False)
        record(cursor, PROCRASTINATE, at)
    return at


def _files() -> list[Path]:
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - likewise

    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
