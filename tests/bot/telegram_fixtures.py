"""A house with Telegram for a test: a module takes what it asks for, `there = telegram_fixtures.there`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bot.telegram_house import telegram_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.bot.telegram_house import TelegramHouse
    from tests.world import StoppedClock


@pytest.fixture(params=["polling", "webhook"])
async def there(
    request: pytest.FixtureRequest, sqlite_database: Database, clock: StoppedClock
) -> AsyncIterator[TelegramHouse]:
    async with telegram_house(sqlite_database, clock, webhook=request.param == "webhook") as started:
        yield started


@pytest.fixture
async def polling(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[TelegramHouse]:
    async with telegram_house(sqlite_database, clock, webhook=False) as started:
        yield started


@pytest.fixture
async def by_webhook(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[TelegramHouse]:
    async with telegram_house(sqlite_database, clock, webhook=True) as started:
        yield started
