"""A database with nothing in it, of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from core.store.database import database
from core.store.lane import Lane
from tests.contracts.lanes import Told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from core.store.database import Database
    from tests.world import StoppedClock


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database with nothing in it."""
    if request.param == "sqlite":
        return database(f"sqlite:///{tmp_path / 'new.db'}")
    make: Callable[[], str] = request.getfixturevalue("empty_postgres")
    return database(make())


def on(where: Database, statement: str) -> list[Any]:
    """Run one statement and commit."""
    url = where.url
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        answer = connection.execute(text(statement))
        return list(answer) if answer.returns_rows else []


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def postgres_writer(
    postgres_database: Database, clock: StoppedClock, told: Told
) -> AsyncIterator[Lane]:
    """A lane that writes, and tells `told`."""
    started = Lane(postgres_database, clock, writes=True, committed=told)
    started.start()
    yield started
    await started.stop()
