"""web/hooks/outbound.py: what a receiver cannot do to us, and what the machine's environment cannot."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.clock import SystemClock
from core.errors import Unreachable
from tests.web.test_outbound_webhooks import COMPLETED, delivery, notice
from tests.web.web_house import WHSEC
from tests.web.web_names import Answers
from web.hooks.addresses import CallbackGuard
from web.hooks.outbound import WebhookChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT_ONCE = 4


@dataclass
class Receiver:
    """Answers once it is `released`; says how many calls were under way at once, at most."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    cookies: list[str | None] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    under_way: int = 0
    most: int = 0

    async def receive(self, request: web.Request) -> web.Response:
        self.cookies.append(request.headers.get("Cookie"))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.arrived.release()
        await self.released.wait()
        self.under_way -= 1
        return web.Response(headers={"Set-Cookie": "who=countersign; Path=/"})


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.receive)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook?key=canary"))
        receiver.released.set()


@asynccontextmanager
async def calling() -> AsyncIterator[WebhookChannel]:
    async with WebhookChannel(
        secret=WHSEC,
        guard=CallbackGuard(["127.0.0.1"]),
        base_url="https://c.example",
        clock=SystemClock(),
        resolver=Answers(["127.0.0.1"], ["127.0.0.1"]),
    ) as channel:
        yield channel


async def test_no_proxy_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch, unused_server: TestServer
) -> None:
    """It would look up the name itself, and reach what we keep callbacks from."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, str(unused_server.make_url("/")))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    receiver = Receiver()
    receiver.released.set()
    async with receiving(receiver) as url, calling() as channel:
        await channel.post(delivery(url), notice(COMPLETED), thread=None)
    assert receiver.most == 1


async def test_a_receivers_cookie_goes_nowhere() -> None:
    """Receivers that share a host would know each other's tasks by it."""
    receiver = Receiver()
    receiver.released.set()
    async with receiving(receiver) as url, calling() as channel:
        named = url.replace("127.0.0.1", "localhost")  # of an address no cookie would be kept anyway
        for _ in range(2):
            await channel.post(delivery(named), notice(COMPLETED), thread=None)
    assert receiver.cookies == [None, None]


async def test_a_slow_receiver_has_no_more_than_its_share() -> None:
    """All others would wait for it: there are fifty connections for everybody."""
    receiver = Receiver()
    async with receiving(receiver) as url, calling() as channel, asyncio.TaskGroup() as posts:
        for _ in range(AT_ONCE + 2):
            posts.create_task(channel.post(delivery(url), notice(COMPLETED), thread=None))
        for _ in range(AT_ONCE):
            await receiver.arrived.acquire()
        receiver.released.set()
        for _ in range(2):
            await receiver.arrived.acquire()
    assert receiver.most == AT_ONCE


async def test_a_receiver_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.hooks.outbound.SECONDS", 0.05)
    receiver = Receiver()
    async with receiving(receiver) as url, calling() as channel:
        async with asyncio.timeout(10):
            with pytest.raises(Unreachable, match="TimeoutError"):
                await channel.post(delivery(url), notice(COMPLETED), thread=None)
        receiver.released.set()


async def test_an_error_names_no_address(unused_tcp_port: int) -> None:
    """It stands on the task's page, in its record and in the log, and the URL may hold a secret."""
    url = f"http://127.0.0.1:{unused_tcp_port}/hook?key=canary"
    async with calling() as channel:
        with pytest.raises(Unreachable) as raised:
            await channel.post(delivery(url), notice(COMPLETED), thread=None)
    assert str(raised.value) == "The callback's server could not be reached (ClientConnectorError)."
