"""countersign/chats.py: what a platform is told that calls before its channel is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from bot.settings import BotSettings
from core.leases import Alone
from core.settings import CoreSettings
from countersign.chats import Chats
from countersign.configuration import Configuration
from countersign.settings import Settings
from tests.world import whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from core.store.database import Database
    from tests.world import StoppedClock

SLACK = BotSettings(slack_bot_token=SecretStr("xoxb-1"), slack_signing_secret=SecretStr("secret"))
TELEGRAM = BotSettings(
    telegram_bot_token=SecretStr("42:token"),
    telegram_webhook_secret=SecretStr("secret"),
    public_url="https://review.example",
)


@pytest.mark.parametrize(("bot", "path"), [(SLACK, "/slack/events"), (TELEGRAM, "/telegram/webhook")])
async def test_who_calls_too_early_is_told_to_come_back(
    sqlite_database: Database, clock: StoppedClock, bot: BotSettings, path: str
) -> None:
    """A 200 would be the end of a press that nobody has heard."""
    settings = Settings(core=CoreSettings(), bot=bot, web=WebSettings())
    app = web.Application()
    async with whole_core(sqlite_database, clock) as world:
        chats = Chats(settings, Configuration(path=None), world.service, world.store, clock, Alone())
        app.add_routes(chats.routes())
        async with TestClient(TestServer(app)) as http, http.post(path, data=b"{}") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
