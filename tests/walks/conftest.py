"""Fixtures of the walks: a town for each pair of transports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.walks.town import platforms, town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.walks.town import Platforms, Town


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
