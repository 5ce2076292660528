"""A running side server over the real core, and people who hold tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from aiohttp.test_utils import TestServer

from core.model import PersonId, TaskFilter
from web.app import create_app
from web.auth import new_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack

    from core.model import Task
    from tests.world import World
    from web.settings import WebSettings

WHSEC = "whsec_" + "c2VjcmV0" * 4
PAGE = {"Accept": "text/html,application/xhtml+xml"}

Houses: TypeAlias = "Callable[..., Awaitable[House]]"
"""`await houses(settings, **parts_of_create_app)`"""


class Troubled:
    """A part of core that fails with `fault` while that is set; `calls` counts by method."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self.fault: Exception | None = None
        self.calls: dict[str, int] = {}
        self.answers: dict[str, Any] = {}
        """Methods that stand in for the part's own."""

    def __getattr__(self, name: str) -> Any:
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.fault is not None and name in {"submit", "task", "decide", "check"}:
            raise self.fault
        return self.answers.get(name) or getattr(self._part, name)


@dataclass
class House:
    """The server and everything that a test may want to look at or break."""

    world: World
    stack: AsyncExitStack
    service: Troubled = field(init=False)
    store: Troubled = field(init=False)
    server: TestServer = field(init=False)
    http: aiohttp.ClientSession = field(init=False)

    def __post_init__(self) -> None:
        self.service, self.store = Troubled(self.world.service), Troubled(self.world.store)

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def start(self, settings: WebSettings, **parts: Any) -> None:
        app = create_app(
            service=self.service,  # type: ignore[arg-type]  # it delegates all methods
            credentials=self.store,
            secrets=self.store,
            health=self.store,
            clock=self.world.clock,
            settings=settings,
            **parts,
        )
        self.server = TestServer(app)
        await self.server.start_server(access_log=None, auto_decompress=False)
        self.stack.push_async_callback(self.server.close)
        self.http = await self.browser()

    async def browser(self) -> aiohttp.ClientSession:
        """A client with a cookie jar of its own."""
        jar = aiohttp.CookieJar(unsafe=True)
        return await self.stack.enter_async_context(
            aiohttp.ClientSession(self.server.make_url("/"), cookie_jar=jar)
        )

    async def token(self, person: str) -> str:
        token, credential = new_token(PersonId(person), self.world.clock.now())
        await self.world.store.add_credential(credential)
        return token

    async def bearer(self, person: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.token(person)}"}

    async def signed_in(self, person: str) -> aiohttp.ClientSession:
        """A browser with a session of this person."""
        browser = await self.browser()
        async with browser.post("/sign-in", json={"token": await self.token(person)}) as answer:
            assert answer.status == 204
        return browser

    async def submitted(self, text: str = "hello", flow: str = "draft") -> str:
        """A task of Sam's that waits for review."""
        task = await self.world.submit(text, flow=flow)
        await self.world.open_review(task.id)
        return task.id

    async def task(self, task_id: str) -> Task:
        return await self.world.service.task(task_id)

    async def open_review(self, task_id: str, attempt: int = 1) -> str:
        return await self.world.open_review(task_id, attempt)

    async def tasks(self) -> list[Task]:
        """All that are stored; the same again while nothing has changed."""
        return list((await self.world.service.tasks(TaskFilter(), limit=200)).tasks)
