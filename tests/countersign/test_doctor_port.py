"""`countersign doctor` on the port: who listens there already, and that a server of ours may."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from countersign.doctor import findings
from countersign.listening import port_finding
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bot.findings import Finding

FREE_ONE = "stop what listens there, or set COUNTERSIGN_PORT"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@asynccontextmanager
async def answering(server: str | None) -> AsyncIterator[int]:
    """A web server on some port; `server` is what it says it is."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, headers={"Server": server} if server else {})

    app = web.Application()
    app.router.add_get("/healthz", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def found_at(port: int, monkeypatch: pytest.MonkeyPatch, host: str = "127.0.0.1") -> list[Finding]:
    monkeypatch.setenv("COUNTERSIGN_HOST", host)
    monkeypatch.setenv("COUNTERSIGN_PORT", str(port))
    return [one async for one in findings() if one.check == "port"]


async def test_a_server_of_ours_that_listens_there_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering("countersign") as port:
        (found,) = await found_at(port, monkeypatch)
    assert (found.is_well, found.is_warning) == (True, False)
    assert found.text == f"a server of Countersign's listens at 127.0.0.1:{port}"


@pytest.mark.parametrize("server", [None, "nginx"])
async def test_another_program_there_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, server: str | None
) -> None:
    async with answering(server) as port:
        (found,) = await found_at(port, monkeypatch)
    assert (found.is_well, found.is_warning) == (True, True)
    assert found.text == f"something else than Countersign listens at 127.0.0.1:{port}, so serve cannot"
    assert found.mend == FREE_ONE


async def test_what_speaks_no_http_is_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        (found,) = await found_at(port, monkeypatch)
    assert found.is_warning
    assert found.text.startswith("something else than Countersign listens")


async def test_what_does_not_answer_holds_doctor_up_for_a_moment_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = await port_finding(WebSettings(port=port), patience=0.05)
    assert found is not None
    assert (found.is_well, found.is_warning) == (True, True)
    assert found.text == f"something listens at 127.0.0.1:{port} and does not answer, so serve cannot"


async def test_a_server_of_ours_is_found_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering("countersign") as port:
        (found,) = await found_at(port, monkeypatch, host="0.0.0.0")  # noqa: S104
        assert (found.is_warning, found.text) == (
            False,
            f"a server of Countersign's listens at 0.0.0.0:{port}",
        )


async def test_of_a_free_port_and_of_any_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert await found_at(port, monkeypatch) == await found_at(0, monkeypatch) == []
