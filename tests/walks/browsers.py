"""What a signed-in browser does, without one: forms posted as our pages post them, and streams read."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PATIENCE = 60.0
PAGE = {"Accept": "text/html"}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream."""

    id: int
    name: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer said, problem documents included."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Browser:
    """One person's session; cookies as browsers keep them."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str, *, is_script: bool = False) -> None:
        self.http = http
        self.url = url
        self.token = token
        self.is_script = is_script
        """Whether it sends the token with every request, instead of signing in."""

    @classmethod
    @asynccontextmanager
    async def signed_in(cls, url: str, token: str) -> AsyncIterator[Browser]:
        jar = aiohttp.CookieJar(unsafe=True)  # "unsafe" is what keeps cookies of a bare address
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(cookie_jar=jar, connector=connector) as http:
            browser = cls(http, url, token)
            reply = await browser.post_form("/sign-in", token=token)
            assert reply.status == 303, reply.text
            yield browser

    async def submit(self, text: str) -> str:
        """Fill in the form on the front page; the id of the new task."""
        page = await self.page("/")
        reply = await self.post_form("/submit", data=text, form_token=form_token(page))
        assert reply.status == 303, reply.text
        path = reply.headers["Location"]
        assert path.startswith("/tasks/")
        return path.removeprefix("/tasks/")

    async def decide(self, task: str, feedback: str, comment: str = "") -> None:
        """Press a button on the task's page."""
        page = await self.page(f"/tasks/{task}")
        (review,) = set(re.findall(r'name="review_id" value="([0-9a-f]+)"', page))  # in each of its forms
        token = form_token(page)
        reply = await self.post_form(
            f"/feedback/{task}", feedback=feedback, comment=comment, review_id=review, form_token=token
        )
        assert reply.status == 303, reply.text

    async def page(self, path: str) -> str:
        async with self.http.get(self.url + path, headers=PAGE) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def task(self, task: str) -> dict[str, Any]:
        reply = await self.get(f"/v1/tasks/{task}")
        assert reply.status == 200, reply.text
        found: dict[str, Any] = reply.json
        return found

    async def get(self, path: str) -> Reply:
        async with self.http.get(self.url + path, headers=self._token()) as answer:
            return await _read(answer)

    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.is_script else {}

    async def post_form(self, path: str, **fields: str) -> Reply:
        headers = {**PAGE, "Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        async with self.http.post(
            self.url + path, data=fields, headers=headers, allow_redirects=False
        ) as answer:
            return await _read(answer)

    async def post(self, path: str, body: Any, **headers: str) -> Reply:
        """As a script does, with the token."""
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        async with self.http.post(self.url + path, json=body, headers=headers) as answer:
            return await _read(answer)

    async def history(self, task: str) -> list[Message]:
        """Every event of a task that is over, as `/v1/tasks/{id}/events` names them."""
        return await self.read(f"/v1/tasks/{task}/events")

    async def read(self, path: str, after: int | None = None) -> list[Message]:
        """A stream of a task that is over, to its end; 204 is an empty one."""
        async with self.stream(path, after) as messages:
            return [message async for message in messages]

    async def until(self, task: str, holds: Callable[[Message], object]) -> Message:
        """Follow a task's stream to the first message for which that holds."""
        async with self.stream(f"/stream/{task}") as messages:
            async for message in messages:
                if holds(message):
                    return message
        raise AssertionError("the stream ended before")

    async def until_named(self, task: str, *names: str, after: int | None = None) -> list[Message]:
        """A task's events to the first of one of these names."""
        events: list[Message] = []
        async with self.stream(f"/v1/tasks/{task}/events", after) as messages:
            async for message in messages:
                events.append(message)
                if message.name in names:
                    return events
        raise AssertionError("the stream ended before")

    async def waits(self, task: str, attempt: int = 1) -> Message:
        """Follow a task until this attempt waits for its review."""
        return await self.until(
            task, lambda m: m.data.get("attempt") == attempt and m.data["status"] == "waiting_for_review"
        )

    async def ended(self, task: str) -> Message:
        return await self.until(task, lambda m: m.data["status"] in {"completed", "failed", "cancelled"})

    @asynccontextmanager
    async def stream(self, path: str, after: int | None = None) -> AsyncIterator[AsyncIterator[Message]]:
        headers = self._token()
        headers |= {} if after is None else {"Last-Event-ID": str(after)}
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with self.http.get(self.url + path, headers=headers, timeout=timeout) as answer:
            assert answer.status in {200, 204}, await answer.text()
            yield _messages(answer)


async def _messages(answer: aiohttp.ClientResponse) -> AsyncIterator[Message]:
    fields: dict[str, str] = {}
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield Message(int(fields["id"]), fields.get("event"), json.loads(fields["data"]))
            fields = {}


async def _read(answer: aiohttp.ClientResponse) -> Reply:
    return Reply(answer.status, dict(answer.headers), await answer.text())


def form_token(page: str) -> str:
    """What the page's forms carry."""
    found = re.search(r'name="form_token" value="([^"]*)"', page)
    assert found, page
    return found[1]
