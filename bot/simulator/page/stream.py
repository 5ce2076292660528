"""Both chats as Server-Sent Events: the whole picture of a chat whenever it looks different."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp_sse import EventSourceResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SHOWN = 60
"""The latest messages of a chat that a picture holds."""
SEND_SECONDS = 30


class Stream:
    """Any number of readers; each is sent only what differs from what it was sent before.

    Events: `slack` and `telegram` carry pictures, `tasks` a number that rises when tasks change.
    """

    def __init__(self, slack: Callable[[], dict[str, Any]], telegram: Callable[[], dict[str, Any]]) -> None:
        self._parts: dict[str, Callable[[], Any]] = {
            "slack": lambda: slack_picture(slack()),
            "telegram": lambda: telegram_picture(telegram()),
            "tasks": lambda: self._tasks,
        }
        self._tasks = 0
        self._bell = asyncio.Event()
        self._closed = False

    def routes(self, path: str) -> list[web.RouteDef]:
        return [web.get(f"{path}/events", self.serve, allow_head=False)]

    def ring(self) -> None:
        """Have every reader look again."""
        self._bell.set()
        self._bell = asyncio.Event()

    def tasks_changed(self) -> None:
        self._tasks += 1
        self.ring()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self.ring()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        response = EventSourceResponse(sep="\n", send_timeout=SEND_SECONDS, ping_interval=15)
        await response.prepare(request)
        try:
            async with response:
                async for name, data in self._news():
                    await response.send(data, event=name)
        except (ConnectionResetError, TimeoutError):
            pass  # the reader went away, or takes nothing
        return response

    async def _news(self) -> AsyncIterator[tuple[str, str]]:
        sent: dict[str, str] = {}
        while not self._closed:
            bell = self._bell
            for name, picture in self._parts.items():
                data = json.dumps(picture())
                if sent.get(name) != data:
                    sent[name] = data
                    yield name, data
            await bell.wait()


def slack_picture(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot without its oldest threads."""
    channels = [{**channel, "messages": channel["messages"][-SHOWN:]} for channel in snapshot["channels"]]
    return {**snapshot, "channels": channels}


def telegram_picture(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot without its oldest messages, and without what changes unseen."""
    chats = [{**chat, "messages": chat["messages"][-SHOWN:]} for chat in snapshot["chats"]]
    return {**snapshot, "chats": chats, "version": None}
