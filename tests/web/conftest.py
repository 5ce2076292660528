"""Servers for the tests of the web side."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.web.policy_house import PolicyHouse, policy_house
from tests.web.web_house import House
from tests.world import THEIRS, draft_flows, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.web.web_house import Houses
    from tests.world import StoppedClock, World


@pytest.fixture
async def houses(world: World) -> AsyncIterator[Houses]:
    """Starts servers with settings of the test's choice over one core."""
    async with AsyncExitStack() as stack:

        async def make(settings: WebSettings | None = None, **parts: Any) -> House:
            made = House(world, stack)
            await made.start(settings or WebSettings(port=0), **parts)
            return made

        yield make


@pytest.fixture
async def house(houses: Houses) -> House:
    return await houses()


@pytest.fixture
async def idle_house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[House]:
    """One whose engine runs nothing, so that tasks stay pending."""
    async with (
        whole_core(sqlite_database, clock, flows=draft_flows(processor=THEIRS), limit=0) as world,
        AsyncExitStack() as stack,
    ):
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


@pytest.fixture
async def office(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[PolicyHouse]:
    """One whose flows ask under each of `policy_house.POLICIES`."""
    async with AsyncExitStack() as stack, policy_house(sqlite_database, clock, stack) as made:
        yield made


@pytest.fixture
async def unused_server() -> AsyncIterator[TestServer]:
    """A server that fails the test when somebody reaches it."""

    async def reached(_request: web.Request) -> web.Response:
        pytest.fail("a guarded address was reached")

    app = web.Application()
    app.router.add_get("/", reached)
    server = TestServer(app)
    async with server:
        yield server


@pytest.fixture
def unused_tcp_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
