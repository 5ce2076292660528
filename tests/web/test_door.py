"""web/door.py: who knocked before it was closed is answered; who comes later is refused."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from countersign.serve import run
from web.app import make_runner
from web.door import Door

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYN_SENT = 2
"""The first byte of linux/tcp.h's `struct tcp_info`, where nobody has answered yet."""


async def answer(_request: web.Request) -> web.Response:
    return web.Response(text="come in")


async def closing() -> None:
    app = web.Application()
    app.add_routes([web.post("/", answer)])
    runner = make_runner(app)
    await runner.setup()
    door = Door(runner, "127.0.0.1", 0)
    await door.start()
    address = runner.addresses[0]
    with socket.create_connection(address) as caller:  # the loop does not turn: nobody has let it in yet
        caller.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await door.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        caller.setblocking(False)
        said = b""
        async with asyncio.timeout(10):
            while chunk := await asyncio.get_running_loop().sock_recv(caller, 1000):
                said += chunk
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"come in")
    await runner.cleanup()


@pytest.mark.parametrize("running", [asyncio.run, run], ids=["asyncio", "the quickest"])
def test_who_knocked_before_is_answered(running: Callable[[Any], object]) -> None:
    running(closing())


async def closing_with_no_descriptor_left() -> None:
    runner = make_runner(web.Application())
    await runner.setup()
    door = Door(runner, "127.0.0.1", 0)
    await door.start()
    address = runner.addresses[0]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        await door.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        is_open = bool(runner.sites)
        await runner.cleanup()
    assert not is_open
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.mark.parametrize("running", [asyncio.run, run], ids=["asyncio", "the quickest"])
def test_it_is_closed_also_where_too_many_are_in(running: Callable[[Any], object]) -> None:
    running(closing_with_no_descriptor_left())


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Those who come when everybody has been let in, and it is not closed yet."""
    came: list[socket.socket] = []

    class Hinge(socket.socket):
        def accept(self) -> tuple[socket.socket, Any]:
            try:
                return super().accept()
            except BlockingIOError:
                caller = socket.socket()
                caller.setblocking(False)
                caller.connect_ex(self.getsockname())
                came.append(caller)
                raise

    monkeypatch.setattr("web.door.socket", Hinge)
    yield came
    for caller in came:
        caller.close()


async def closing_as_somebody_comes(late: list[socket.socket]) -> None:
    runner = make_runner(web.Application())
    await runner.setup()
    door = Door(runner, "127.0.0.1", 0)
    await door.start()
    await door.stop()
    await runner.cleanup()
    states = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] for one in late]
    assert states
    assert set(states) == {SYN_SENT}, "nobody was let in, to be turned out"


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere no listener can be told so.")
@pytest.mark.parametrize("running", [asyncio.run, run], ids=["asyncio", "the quickest"])
def test_who_comes_as_it_closes_is_not_let_in(
    running: Callable[[Any], object], late: list[socket.socket]
) -> None:
    running(closing_as_somebody_comes(late))
