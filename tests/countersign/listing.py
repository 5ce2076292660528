"""A source of groups on loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bot.settings import BotSettings
from core.errors import Unavailable
from countersign.membership import asker
from countersign.sources import Kind, Source
from tests.bot.house import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Lists:
    """A source of groups: what it answers, and what it was asked with."""

    url: str = ""
    status: int = 200
    body: str = "[]"
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.headers))
        await self.gate.wait()
        return web.Response(
            status=self.status, text=self.body, headers=self.headers, content_type="application/json"
        )

    def source(self, token: str | None = None) -> Source:
        return Source(group="legal", kind=Kind.HTTP, address=f"{self.url}/legal", token=token)

    async def members(self, token: str | None = None) -> tuple[str, ...]:
        return await asker(BotSettings())(self.source(token))

    async def refusal(self) -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            await self.members()
        return caught.value


@asynccontextmanager
async def listing() -> AsyncIterator[Lists]:
    lists = Lists()
    lists.gate.set()
    async with served([web.get("/legal", lists.answer)]) as lists.url:
        yield lists
