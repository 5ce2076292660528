"""web/app.py, `make_runner`: how the server is served, and what that writes nowhere."""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from web.app import make_runner

if TYPE_CHECKING:
    import pytest


async def served(runner: web.AppRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


async def test_no_log_says_who_reads_what(caplog: pytest.LogCaptureFixture) -> None:
    """An address may hold an id, and, by a slip of somebody's, a token."""
    caplog.set_level(logging.DEBUG)
    runner = make_runner(web.Application())
    async with aiohttp.ClientSession(await served(runner)) as http:
        for path in ("/tasks/7?token=cs_canary", "/cs_canary"):
            async with http.get(path, headers={"Authorization": "Bearer cs_canary"}) as answer:
                assert answer.status == 404
    await runner.cleanup()
    assert "cs_canary" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("aiohttp.access")]


async def test_whoever_goes_away_is_served_no_longer() -> None:
    """Else each reader of a stream that left would be kept until something was to be sent to it."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def stream(_request: web.Request) -> web.Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    app = web.Application()
    app.add_routes([web.get("/stream", stream)])
    runner = make_runner(app)
    async with aiohttp.ClientSession(await served(runner)) as http:
        reading = asyncio.create_task(http.get("/stream"))
        await began.wait()
        reading.cancel()
        async with asyncio.timeout(10):
            await ended.wait()
    await runner.cleanup()


async def test_a_body_that_comes_compressed_is_left_to_us() -> None:
    """aiohttp would take half of it for the whole."""

    async def told(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.add_routes([web.post("/told", told)])
    runner = make_runner(app)
    cut_off = gzip.compress(b"all of it")[:-8]
    async with (
        aiohttp.ClientSession(await served(runner)) as http,
        http.post("/told", data=cut_off, headers={"Content-Encoding": "gzip"}) as answer,
    ):
        assert await answer.read() == cut_off
    await runner.cleanup()
