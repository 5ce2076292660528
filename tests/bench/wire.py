"""HTTP at little cost to who sends it: a load's sender must not be what is measured.

A request takes aiohttp's client as long as it takes the server; 32 in flight of one sender would wait for the
sender, on a machine of two cores.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import httptools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Answer(NamedTuple):
    status: int
    body: bytes


class Wire(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        """Of the body, as they come; None at its end."""

    @classmethod
    async def to(cls, port: int) -> Wire:
        _, wire = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return wire

    # asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parts.put_nowait(exc or ConnectionResetError("closed before the answer was whole"))

    # httptools' calls

    def on_body(self, body: bytes) -> None:
        self._parts.put_nowait(body)

    def on_message_complete(self) -> None:
        self._parts.put_nowait(None)

    # Ours

    async def ask(self, request: bytes) -> Answer:
        """Raises `ConnectionError`."""
        body = b"".join([part async for part in self.parts(request)])
        return Answer(self._parser.get_status_code(), body)

    async def parts(self, request: bytes) -> AsyncIterator[bytes]:
        """The answer's body as it comes."""
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        while (part := await self._parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self) -> None:
        self._transport.close()


class Wires:
    """Connections to any servers of this machine, each used again once its answer is whole."""

    def __init__(self) -> None:
        self._idle: dict[int, list[Wire]] = {}

    async def post(self, url: str, body: Any, headers: Mapping[str, str]) -> Any:
        """The answer's JSON; raises `RuntimeError` for a refusal."""
        port, path = _split(url)
        async with self._one(port) as wire:
            sent = {"Content-Type": "application/json", **headers}
            answer = await wire.ask(request("POST", port, path, sent, json.dumps(body).encode()))
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status} {answer.body.decode()}")
        return json.loads(answer.body)

    async def lines(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Of a stream, without their ends; one that is left early is not used again."""
        port, path = _split(url)
        async with self._one(port) as wire:
            rest = b""
            async for part in wire.parts(request("GET", port, path, headers)):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    yield line

    def close(self) -> None:
        for idle in self._idle.values():
            for wire in idle:
                wire.close()

    @asynccontextmanager
    async def _one(self, port: int) -> AsyncIterator[Wire]:
        idle = self._idle.setdefault(port, [])
        wire = idle.pop() if idle else await Wire.to(port)
        try:
            yield wire
        except BaseException:  # cut off as well: what is left of its answer is nobody else's
            wire.close()
            raise
        idle.append(wire)


@asynccontextmanager
async def wires() -> AsyncIterator[Wires]:
    made = Wires()
    try:
        yield made
    finally:
        made.close()


def request(method: str, port: int, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """As it goes over the wire."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _split(url: str) -> tuple[int, str]:
    parts = urlsplit(url)
    assert parts.port is not None
    return parts.port, parts.path
