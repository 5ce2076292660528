"""Whether a database is at this release's schema, and how it gets there.

Alembic is imported only where there is something to migrate: it would cost every start a tenth of a second.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import structlog

from core.errors import SettingsError, StoreUnavailable
from core.store import fitness, installed
from core.store.postgresql import AT_FIRST
from core.store.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from sqlalchemy.engine import Connection as SQLConnection
    from sqlalchemy.engine import Engine

    from core.store.database import Database
    from core.store.transaction import Cursor

log = structlog.get_logger()

HEAD = "0015"
"""The newest revision in `migrations/versions`; a test compares."""
OLDEST = "0011"
"""The oldest revision whose code works beside this one's on a PostgreSQL database at `HEAD`."""
NOT_ALLOWED = "42501"
"""SQLSTATE; since PostgreSQL 15 only the owner of a database may make tables in it, unless told otherwise."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries of a migration that found a PostgreSQL table in use. Whoever comes later waits behind
one that waits for a whole table: between the tries, the replicas go on."""
MIGRATING = 0x436F756E746573
"""PostgreSQL's advisory lock of whoever migrates: "Countes" in ASCII."""


def revision(database: Database) -> str | None:
    """The revision that the database is at, read only; None for a new one. Raises `StoreUnavailable`.

    Raises `SettingsError`, too, where the tables belong to somebody else.
    """
    if isinstance(database, SQLite) and not database.path.exists():
        return None
    connection = database.connect(read_only=True)
    try:
        return _revision(database, connection.cursor())
    except Exception as error:  # drivers differ; what does not mean that the database is away is raised
        if known := database.unavailable(error):
            raise type(known)(f"{database.url.database}: {known}", detail=known.detail) from error
        raise
    finally:
        connection.close()


def _revision(database: Database, cursor: Cursor) -> str | None:
    if isinstance(database, SQLite):
        cursor.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'", {})
    else:
        cursor.execute("SELECT count(*) WHERE to_regclass('alembic_version') IS NOT NULL", {})
    found = cursor.fetchone()
    if not found or not found[0]:
        return None
    try:
        cursor.execute("SELECT version_num FROM alembic_version", {})
    except Exception as error:
        if not _is_not_allowed(error):
            raise
        raise SettingsError(
            "COUNTERSIGN_DATABASE_URL: the URL's user may not use the tables in the database "
            f"{database.url.database}",
            mend="let them own each, or restore the backup as that user",
        ) from error
    row = cursor.fetchone()
    return None if row is None else str(row[0])


def migrate(database: Database) -> Path | None:
    """Bring the database to `HEAD`, wholly or not at all; idempotent.

    A SQLite file that holds data is copied first; returns the copy's path, if one was made. What a newer
    release has made stays as it is; raises `SettingsError` where this one does not work on it, and
    `StoreUnavailable`.
    """
    if not isinstance(database, SQLite):
        _migrate_shared(database)
        return None
    at = _known(revision(database))
    if at == HEAD:
        return None
    copied = None
    if at is None:
        _make_private(database.path)
    else:
        copied = _copy(database)
    _upgrade(database)
    return copied


def _known(at: str | None) -> str | None:
    if at is not None and at > HEAD:
        raise SettingsError(
            f"The database is at revision {at}, made by a newer release; this one knows {HEAD}: "
            "install the newer release."
        )
    return at


def _migrate_shared(database: Database) -> None:
    """Replicas may be serving it meanwhile; another `migrate` waits."""
    connection: Any = database.connect()
    try:
        cursor = connection.cursor()
        fitness.check(database, connection)
        cursor.execute("SET lock_timeout = 0", {})
        cursor.execute("SELECT pg_advisory_lock(%(key)s)", {"key": MIGRATING})
        cursor.execute(AT_FIRST, {})
        at = _revision(database, cursor)
        if at is not None and at > HEAD and _works_beside(installed.version(cursor, "oldest")):
            return  # and what it needs is there, and newer than ours
        if _known(at) != HEAD:
            _upgrade(database)
        _giving_way(database, partial(installed.bring_up, connection))
        installed.record(cursor, "oldest", OLDEST)
    except Exception as error:  # likewise
        if known := database.unavailable(error):
            raise _not_migrated(database, known) from error
        if _is_not_allowed(error):
            name = database.url.database
            raise SettingsError(
                f"COUNTERSIGN_DATABASE_URL: the URL's user may make no tables in the database {name}",
                mend=f"let them own it: ALTER DATABASE {name} OWNER TO USER",
            ) from error
        raise
    finally:
        connection.close()


def _is_not_allowed(error: Exception) -> bool:
    """SQLAlchemy keeps the driver's error in its own."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) == NOT_ALLOWED


def _works_beside(oldest: str | None) -> bool:
    """Whether this release's code works on a newer schema, which says of which the oldest has to be."""
    return oldest is not None and oldest <= HEAD


def check_shared(database: Database) -> str | None:
    """Whether replicas of this release may work on a PostgreSQL database: None, or its newer revision.

    Raises `SettingsError` where they may not.
    """
    connection = database.connect(read_only=True)
    try:
        cursor = connection.cursor()
        at = _revision(database, cursor)
        oldest = installed.version(cursor, "oldest")
        jobs = installed.version(cursor, installed.PROCRASTINATE)
    finally:
        connection.close()
    if at == HEAD and jobs is not None and jobs >= installed.newest():
        return None
    if at is not None and at > HEAD:
        if _works_beside(oldest):
            return at
        raise SettingsError(
            f"COUNTERSIGN_DATABASE_URL: the database is at revision {at}, with which this release, "
            f"which knows {HEAD}, does not work",
            mend="install the newer release",
        )
    raise SettingsError(
        "COUNTERSIGN_DATABASE_URL: the database is not at this release's schema",
        mend="run: countersign migrate",
    )


def _make_private(path: Path) -> None:
    """An empty file for its owner only, as SQLite makes the files beside it then; one that is there stays."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"The file {path.name} cannot be made: {error.strerror}.") from error


def _copy(database: SQLite) -> Path:
    """A consistent copy beside the file, named by the moment; for its owner only, as it holds every draft."""
    target = database.path.with_name(f"{database.path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.bak")
    _make_private(target)
    try:
        with closing(sqlite3.connect(database.path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise StoreUnavailable(
            f"The database cannot be copied to {target.name} before it is migrated: {error}."
        ) from error
    return target


def _upgrade(database: Database, to: str = "head") -> None:
    from alembic.config import Config  # noqa: PLC0415 - see the module's docstring
    from sqlalchemy import create_engine  # noqa: PLC0415 - likewise
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - likewise
    from sqlalchemy.pool import NullPool  # noqa: PLC0415 - likewise

    url = database.url
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    if isinstance(database, SQLite):
        _begin_before_ddl(engine)
    config = Config()
    here = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", here.replace("%", "%%"))  # Alembic interpolates
    try:
        _giving_way(database, partial(_in_one_transaction, engine, config, to))
    except DBAPIError as error:
        if error.orig is not None and (known := database.unavailable(error.orig)):
            raise _not_migrated(database, known) from error
        raise
    except OSError as error:
        raise StoreUnavailable(f"The database cannot be migrated: {url.database}: {error}.") from error


def _giving_way(database: Database, change: Callable[[], None]) -> None:
    """Make a change that is made wholly or not at all; where a table of it is in use, let others go on for a
    moment, and try again. Raises what the last try does."""
    for pause in PAUSES:
        try:
            change()
        except Exception as error:
            cause = getattr(error, "orig", None) or error
            if not database.is_local(cause):
                raise
            log.warning("migration_postponed", reason=str(database.unavailable(cause)))
            sleep(pause)
        else:
            return
    change()


def _in_one_transaction(engine: Engine, config: Config, to: str) -> None:
    from alembic import command  # noqa: PLC0415 - likewise

    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(AT_FIRST)
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def _not_migrated(database: Database, known: StoreUnavailable) -> StoreUnavailable:
    said = f"The database cannot be migrated: {database.url.database}: {known}"
    detail = None if known.detail is None else f"The database cannot be migrated: {known.detail}"
    return StoreUnavailable(said, detail=detail)


def _begin_before_ddl(engine: Engine) -> None:
    """Make a migration one transaction: sqlite3 itself begins one before INSERT, not before CREATE TABLE."""
    from sqlalchemy import event  # noqa: PLC0415 - likewise

    @event.listens_for(engine, "connect")
    def autocommit(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: SQLConnection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
