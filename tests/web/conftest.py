"""Servers for the tests of the web side."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.web.web_fakes import FakeCredentials, FakeHealth, FakeSecrets, FakeService, StoppedClock
from tests.web.web_house import House
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.web.web_house import Houses


@pytest.fixture
async def houses() -> AsyncIterator[Houses]:
    """Starts servers with settings of the test's choice."""
    async with AsyncExitStack() as stack:

        async def make(settings: WebSettings | None = None, **parts: Any) -> House:
            clock = StoppedClock()
            made = House(
                clock=clock,
                service=FakeService(clock),
                credentials=FakeCredentials(),
                secrets=FakeSecrets(),
                health=FakeHealth(),
                stack=stack,
            )
            await made.start(settings or WebSettings(port=0), **parts)
            return made

        yield make


@pytest.fixture
async def house(houses: Houses) -> House:
    return await houses()


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
