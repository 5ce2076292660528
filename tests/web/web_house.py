"""A running side server over an in-memory core, and people who hold tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from aiohttp.test_utils import TestServer

from core.model import PersonId, Submission
from web.app import create_app
from web.auth import new_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack

    from tests.web.web_fakes import FakeCredentials, FakeHealth, FakeSecrets, FakeService, StoppedClock
    from web.settings import WebSettings

WHSEC = "whsec_" + "c2VjcmV0" * 4
PAGE = {"Accept": "text/html,application/xhtml+xml"}


Houses: TypeAlias = "Callable[..., Awaitable[House]]"
"""`await houses(settings, **parts_of_create_app)`"""


@dataclass
class House:
    """The server and everything that a test may want to look at or break."""

    clock: StoppedClock
    service: FakeService
    credentials: FakeCredentials
    secrets: FakeSecrets
    health: FakeHealth
    stack: AsyncExitStack
    server: TestServer = field(init=False)
    http: aiohttp.ClientSession = field(init=False)

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def start(self, settings: WebSettings, **parts: Any) -> None:
        app = create_app(
            service=self.service,  # type: ignore[arg-type]  # a fake with the same methods
            credentials=self.credentials,
            secrets=self.secrets,
            health=self.health,
            clock=self.clock,
            settings=settings,
            **parts,
        )
        self.server = TestServer(app)
        await self.server.start_server(access_log=None)
        self.stack.push_async_callback(self.server.close)
        self.http = await self.browser()

    async def browser(self) -> aiohttp.ClientSession:
        """A client with a cookie jar of its own, who follows no redirect unless asked."""
        jar = aiohttp.CookieJar(unsafe=True)
        return await self.stack.enter_async_context(
            aiohttp.ClientSession(self.server.make_url("/"), cookie_jar=jar)
        )

    async def token(self, person: str) -> str:
        token, credential = new_token(PersonId(person), self.clock.now())
        await self.credentials.add_credential(credential)
        return token

    async def bearer(self, person: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.token(person)}"}

    async def signed_in(self, person: str) -> aiohttp.ClientSession:
        """A browser with a session of this person."""
        browser = await self.browser()
        async with browser.post("/sign-in", json={"token": await self.token(person)}) as answer:
            assert answer.status == 204
        return browser

    async def submitted(self, text: str = "hello", person: str = "sam") -> str:
        task, _ = await self.service.submit(Submission(input=text, submitter=PersonId(person)))
        return task.id

    def open_review(self, task_id: str) -> str:
        review = self.service.all_tasks[task_id].review
        assert review is not None
        return review
