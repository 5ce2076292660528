"""For trying processors: a run without a flow, and endpoints on loopback that do as they are told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from core.running import Run, current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

KEY = "5" * 64
FIRST: dict[str, Any] = {
    "task_id": "7" * 32,
    "task_input": "buy milk",
    "processed_output": None,
    "feedback": None,
    "feedback_comment": None,
    "attempt": 1,
}
SECOND: dict[str, Any] = {
    **FIRST,
    "processed_output": "d1",
    "feedback": "rejected",
    "feedback_comment": "say how much, “please”",
    "attempt": 2,
}


@dataclass
class Told:
    """What a processor said while it ran."""

    progress: list[tuple[float | None, str | None]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    heard: Callable[[], object] = lambda: None

    def note(self, fraction: float | None, text: str | None, streamed: str) -> None:
        if streamed:
            self.texts.append(streamed)
        else:
            self.progress.append((fraction, text))
        self.heard()


@contextmanager
def a_run(key: str = KEY) -> Iterator[Told]:
    """As while a node runs."""
    told = Told()
    token = current.set(Run(key, iter(()), told.note))
    try:
        yield told
    finally:
        current.reset(token)


class Pauses:
    """In place of sleep: notes how long it would have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@dataclass
class Asked:
    """One request that an endpoint got."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Loopback:
    """A server whose next answers are `answers`, the last of them for ever."""

    answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.raw_path, request.headers, await request.json()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    def will(self, *answers: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.answers = list(answers)


@asynccontextmanager
async def loopback() -> AsyncIterator[Loopback]:
    known = Loopback()
    application = web.Application()
    application.router.add_route("*", "/{any:.*}", known.answer)
    async with TestServer(application) as server:
        known.url = str(server.make_url("")).rstrip("/")
        yield known


def says(
    body: str | bytes = "", status: int = 200, kind: str = "application/json", **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A whole answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(
            body=body if isinstance(body, bytes) else body.encode(),
            status=status,
            headers={"Content-Type": kind, **named},
        )

    return answer


@asynccontextmanager
async def raw(*answers: bytes, hold: bool = False) -> AsyncIterator[str]:
    """A server that sends these bytes, one per connection and the last for ever, and hangs up (or not)."""
    left, held = list(answers), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if hold:
                await held.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        held.set()
        server.close()
        await server.wait_closed()
