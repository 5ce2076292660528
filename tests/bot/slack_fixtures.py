"""A house with Slack for a test: a module takes what it asks for, `there = slack_fixtures.there`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.bot.slack_house import simulated, slack_house
from tests.world import StoppedClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.slack import SlackSimulator
    from core.store.database import Database
    from tests.bot.slack_house import SlackHouse


@pytest.fixture
def clock() -> StoppedClock:
    """bolt and the simulator sign and check by the machine's clock."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture(params=["socket mode", "http"])
async def there(
    request: pytest.FixtureRequest, sqlite_database: Database, clock: StoppedClock
) -> AsyncIterator[SlackHouse]:
    async with slack_house(sqlite_database, clock, http=request.param == "http") as started:
        yield started


@pytest.fixture
async def over_http(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[SlackHouse]:
    async with slack_house(sqlite_database, clock, http=True) as started:
        yield started


@pytest.fixture
async def over_socket(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[SlackHouse]:
    async with slack_house(sqlite_database, clock, http=False) as started:
        yield started


@pytest.fixture
async def slack(clock: StoppedClock) -> AsyncIterator[SlackSimulator]:
    """Its clock is ours: messages of the last minutes are looked at."""
    async with simulated(now=lambda: clock.now().timestamp()) as started:
        yield started


@pytest.fixture
async def on_one_clock(
    sqlite_database: Database, clock: StoppedClock, slack: SlackSimulator
) -> AsyncIterator[SlackHouse]:
    """Over Socket Mode, with `slack`."""
    async with slack_house(sqlite_database, clock, http=False, running=slack) as started:
        yield started
