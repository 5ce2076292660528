"""Whether a database is at this release's schema, and how it gets there.

Alembic is imported only where there is something to migrate: it would cost every start a tenth of a second.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.store.database import SQLite

if TYPE_CHECKING:
    from core.store.database import Database

HEAD = "0001"
"""The newest revision in `migrations/versions`; a test compares."""


def revision(database: Database) -> str | None:
    """The revision that the database is at, read only; None for a new one. Raises `StoreUnavailable`."""
    if isinstance(database, SQLite) and not database.path.exists():
        return None
    connection = database.connect(read_only=True)
    try:
        cursor = connection.cursor()
        if isinstance(database, SQLite):
            cursor.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'", {})
        else:
            cursor.execute("SELECT count(*) WHERE to_regclass('alembic_version') IS NOT NULL", {})
        found = cursor.fetchone()
        if not found or not found[0]:
            return None
        cursor.execute("SELECT version_num FROM alembic_version", {})
        row = cursor.fetchone()
        return None if row is None else str(row[0])
    finally:
        connection.close()


def migrate(database: Database) -> Path | None:
    """Bring the database to `HEAD`; idempotent. A SQLite file that holds data is copied first.

    Returns the copy's path, if one was made. Raises `SettingsError` for a database of a newer release.
    """
    at = revision(database)
    if at == HEAD:
        return None
    if at is not None and at > HEAD:
        raise SettingsError(
            f"The database is at revision {at}, made by a newer release; this one knows {HEAD}."
        )
    copied = _copy(database) if isinstance(database, SQLite) and at is not None else None
    _upgrade(database)
    return copied


def _copy(database: SQLite) -> Path:
    """A consistent copy beside the file, named by the moment."""
    target = database.path.with_name(f"{database.path.name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}.bak")
    source = sqlite3.connect(database.path)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    return target


def _upgrade(database: Database) -> None:
    from alembic import command  # noqa: PLC0415 - see the module's docstring
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    url = database.url
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
