"""Both bots on, against the simulators in this process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from tests.bench.server import CONFIGURATION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def both_bots() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """The configuration and environment of a server that talks to them: Socket Mode and polling."""
    async with SlackSimulator() as slack, TelegramSimulator() as telegram:
        slack.add_user("U01ANA", "ana")
        slack.add_channel("C01GEN", "general", members=["U01ANA"])
        telegram.add_user(42, "Ana")
        telegram.add_chat(-100123, kind="supergroup", title="Reviews", members=[42])
        config = f'{CONFIGURATION}\n[recipients]\nslack = ["C01GEN"]\ntelegram = [-100123]\n'
        env = {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "COUNTERSIGN_SLACK_API_URL": slack.api_url,
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "COUNTERSIGN_TELEGRAM_API_URL": telegram.api_url,
            "COUNTERSIGN_TELEGRAM_FILE_URL": telegram.file_url,
        }
        yield config, env
