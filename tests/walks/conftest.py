"""Fixtures of the walks: a town for each pair of transports."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

import pytest

from core.store.database import database as database_at
from tests.walks.town import platforms, town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from core.store.database import Database
    from tests.walks.town import Platforms, Town


@pytest.fixture
def new_database(migrated_file: Path, tmp_path: Path) -> Callable[[], Database]:
    """Makes migrated SQLite files."""
    numbers = itertools.count(1)

    def make() -> Database:
        path = tmp_path / f"countersign-{next(numbers)}.db"
        shutil.copy(migrated_file, path)
        return database_at(f"sqlite:///{path}")

    return make


@pytest.fixture
async def chats() -> AsyncIterator[Platforms]:
    """Both simulated platforms, and nobody listening yet."""
    async with platforms() as started:
        yield started


@pytest.fixture(params=["socket-polling", "http-webhook"])
async def there(
    request: pytest.FixtureRequest, chats: Platforms, sqlite_database: Database
) -> AsyncIterator[Town]:
    """The house over Socket Mode and polling, then over signed HTTP and a webhook."""
    by_http = request.param == "http-webhook"
    async with town(chats, sqlite_database, slack_http=by_http, telegram_webhook=by_http) as started:
        yield started


@pytest.fixture
async def by_socket(chats: Platforms, sqlite_database: Database) -> AsyncIterator[Town]:
    """The house over Socket Mode and polling only."""
    async with town(chats, sqlite_database) as started:
        yield started
