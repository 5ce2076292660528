"""A page that shows both simulated chats side by side, and lets one act in them as one of their people.

    page = Page(slack=slack, telegram=telegram, frame=Frame(...))
    ...                                  # serve page.routes() behind a gate that refuses other sites' posts
    async with page.following():
        ...                              # streams are open; leaving ends every one of them at once

For the demo only. Whoever can reach these routes can be anybody in both chats.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bot.simulator.page.actions import SlackActions, TelegramActions
from bot.simulator.page.downloads import Downloads
from bot.simulator.page.files import Files, Frame
from bot.simulator.page.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from bot.simulator.slack import Change, SlackSimulator
    from bot.simulator.telegram import TelegramSimulator

__all__ = ["PATH", "Frame", "Page"]

PATH = "/demo"

INVISIBLE = frozenset({"called", "connected", "disconnected", "held"})
"""Changes of the simulated Slack that nobody in it can see."""


class Page:
    """The page, what it loads, its one stream, and what people do on it."""

    def __init__(self, *, slack: SlackSimulator, telegram: TelegramSimulator, frame: Frame) -> None:
        self._slack = slack
        self._telegram = telegram
        self._files = Files(frame)
        self._stream = Stream(slack.snapshot, telegram.snapshot)
        self._downloads = Downloads(slack, telegram)
        self._actions = (SlackActions(slack), TelegramActions(telegram))

    def routes(self) -> list[web.RouteDef]:
        """All of them below `PATH`."""
        acting = [route for actions in self._actions for route in actions.routes(PATH)]
        shown = [*self._files.routes(PATH), *self._stream.routes(PATH), *self._downloads.routes(PATH)]
        return [*shown, *acting]

    def tasks_changed(self) -> None:
        """Have every open page ask for the tasks again."""
        self._stream.tasks_changed()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Changes reach the open pages inside."""
        self._slack.on_change.append(self._slack_changed)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch_telegram())
                try:
                    yield
                finally:
                    watching.cancel()
        finally:
            self._slack.on_change.remove(self._slack_changed)
            self._stream.close()

    def _slack_changed(self, change: Change) -> None:
        if change.kind not in INVISIBLE:
            self._stream.ring()

    async def _watch_telegram(self) -> None:
        async for _ in self._telegram.changes():
            self._stream.ring()
