"""bot/telegram/door.py: who does not know the secret is turned away, whatever they send in its place."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from yarl import URL

from bot.telegram.door import SECRET_HEADER, Door
from tests.bot.house import served

SECRET = b"1f9840a85d5aF5bf1D1762F925BDADdC4201F984"


async def status(said: bytes | None) -> int:
    """503 is for whoever is let in: nobody listens behind this door. By hand, for bytes that are no text."""
    door = Door(secret=SECRET, intake=lambda: None)
    proof = b"" if said is None else SECRET_HEADER.encode() + b": " + said + b"\r\n"
    async with served([web.post("/telegram/webhook", door.handle)]) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
        head = b"POST /telegram/webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        writer.write(head + proof + b"\r\n{}")
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
    return int(answer.split()[1])


@pytest.mark.parametrize(
    "said",
    [None, b"", b"\xff", "ü".encode(), SECRET[:-1], SECRET + b"0", SECRET.lower(), b"0" * 8_000],
    ids=lambda said: "none" if said is None else repr(said[:4]),
)
async def test_nothing_but_the_secret_lets_in(said: bytes | None) -> None:
    assert await status(said) == 401


async def test_the_secret_does() -> None:
    assert await status(SECRET) == 503


async def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.bodies.SECONDS", 0.05)
    door = Door(secret=SECRET, intake=lambda: None)
    async with served([web.post("/telegram/webhook", door.handle)]) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
        head = b"POST /telegram/webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        writer.write(head + SECRET_HEADER.encode() + b": " + SECRET + b"\r\n\r\n{")
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()
        await writer.wait_closed()
