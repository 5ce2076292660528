"""The two simulated chats of the demo, with the configuration's people in them."""

from __future__ import annotations

import tomllib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from bot.settings import BotSettings
from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from countersign.configuration import parsed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from countersign.configuration import Configuration

FILE = Path(__file__).with_name("demo.toml")
CHANNEL, GROUP = "approvals", "Approvals"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedChats:
    """Both listen on loopback."""

    slack: SlackSimulator
    telegram: TelegramSimulator

    @property
    def settings(self) -> BotSettings:
        """How the real adapters reach them: Socket Mode, and polling."""
        return BotSettings(
            slack_bot_token=SecretStr(self.slack.bot_token),
            slack_app_token=SecretStr(self.slack.app_token),
            slack_api_url=self.slack.api_url,
            telegram_bot_token=SecretStr(self.telegram.token),
            telegram_webhook_secret=None,
            telegram_api_url=self.telegram.api_url,
            telegram_file_url=self.telegram.file_url,
        )


def demo_configuration() -> Configuration:
    """Checked as a user's own file would be."""
    return parsed(tomllib.loads(FILE.read_text(encoding="utf-8")), FILE, environment={})


@asynccontextmanager
async def simulated_chats(configuration: Configuration) -> AsyncIterator[SimulatedChats]:
    """Everybody who has a chat identity is in the chats' one channel and one group."""
    async with SlackSimulator() as slack, TelegramSimulator() as telegram:
        names = {person: configuration.people[person].name for person in configuration.people}
        for (_, user), person in configuration.directory.slack.items():
            slack.add_user(user, names[person])
        for number, person in configuration.directory.telegram.items():
            telegram.add_user(number, names[person])
        for recipient in configuration.policies["default"].recipients:
            if recipient.channel == "slack":
                slack.add_channel(recipient.address, CHANNEL, members=_slack_users(configuration))
            else:
                members = list(configuration.directory.telegram)
                telegram.add_chat(int(recipient.address), title=GROUP, members=members)
        yield SimulatedChats(slack=slack, telegram=telegram)


def _slack_users(configuration: Configuration) -> list[str]:
    return [user for _, user in configuration.directory.slack]
