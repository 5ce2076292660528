"""A whole house without chats, and a client for it."""

from __future__ import annotations

import tomllib
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from pydantic import SecretStr

from bot.settings import BotSettings
from core.model import PersonId
from core.settings import CoreSettings
from countersign.composition import flows, house
from countersign.configuration import parsed
from countersign.settings import Settings
from tests.walks.town import WEBHOOK_SECRET
from web.auth import new_token
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from countersign.composition import House
    from countersign.traced import Tracing

CONFIGURATION = """
[people.ana]
name = "Ana Ruiz"
[people.sam]
name = "Sam Lee"
[policies.default]
reviewers = ["ana"]
[flows.draft]
processor = "python:tests.world:theirs"
[hooks.ci]
scheme = "bearer"
secret_env = "CI"
"""


@asynccontextmanager
async def running(
    database: Database, traced: Tracing | None = None
) -> AsyncIterator[tuple[House, aiohttp.ClientSession]]:
    """A house on a free port, and a client."""
    settings = Settings(
        core=CoreSettings(database_url=SecretStr(database.url.render_as_string(hide_password=False))),
        bot=BotSettings(),
        web=WebSettings(port=0, webhook_secret=SecretStr(WEBHOOK_SECRET), webhook_allow=("127.0.0.1",)),
    )
    known = parsed(tomllib.loads(CONFIGURATION), None, {"CI": "ci-secret"})
    async with (
        house(settings, known, flows(known), database, tracing=traced) as opened,
        aiohttp.ClientSession(opened.address) as http,
    ):
        yield opened, http


async def bearer(opened: House, person: str) -> dict[str, str]:
    token, credential = new_token(PersonId(person), datetime.now(UTC))
    await opened.store.add_credential(credential)
    return {"Authorization": f"Bearer {token}"}


async def posted(
    http: aiohttp.ClientSession, path: str, headers: dict[str, str], **body: Any
) -> dict[str, Any]:
    async with http.post(path, json=body, headers=headers) as answer:
        assert answer.status < 300, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found
