"""`doctor` against the simulated platforms: what it says, and that it says neither token nor address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from pydantic import SecretStr
from telegram.request import HTTPXRequest

from bot.checkup import NEEDED_SCOPES, WANTED_SCOPES, slack_findings, telegram_findings
from bot.settings import BotSettings
from bot.simulator.faults import Fault
from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.method import BOT_SCOPES
from tests.bot import slack_house, telegram_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.findings import Finding
    from bot.simulator.telegram import TelegramSimulator

NOWHERE = "http://127.0.0.1:9"
TOKEN = "123456789:AAcanary-canary-canary-canary-canar"


@pytest.fixture
async def slack() -> AsyncIterator[SlackSimulator]:
    async with slack_house.simulated() as running:
        yield running


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with telegram_house.simulated() as running:
        yield running


async def of_slack(settings: BotSettings, *channels: str) -> dict[str, Finding]:
    return {found.check: found async for found in slack_findings(settings, channels)}


async def of_telegram(settings: BotSettings, *chats: str) -> dict[str, Finding]:
    return {found.check: found async for found in telegram_findings(settings, chats)}


async def test_recipients_of_a_chat_that_is_off_are_warned_of_as_the_inbox_serves() -> None:
    off = BotSettings()
    (slack,) = (await of_slack(off, "C01GEN")).values()
    assert (slack.check, slack.is_well, slack.is_warning) == ("slack", True, True)
    assert slack.text == "off (SLACK_BOT_TOKEN is not set); its recipients get no cards"
    (telegram,) = (await of_telegram(off, "-100")).values()
    assert (telegram.check, telegram.is_well, telegram.is_warning) == ("telegram", True, True)
    assert telegram.text == "off (TELEGRAM_BOT_TOKEN is not set); its recipients get no cards"


async def test_a_chat_that_is_off_and_that_nobody_asked_for_is_no_finding() -> None:
    assert await of_slack(BotSettings()) == await of_telegram(BotSettings()) == {}


async def test_a_slack_that_works_is_well(slack: SlackSimulator) -> None:
    found = await of_slack(slack_house.settings_for(slack, http=False), slack_house.GENERAL)
    assert set(found) == {"slack token", "slack scopes", "clock", "slack socket mode", "slack C01GEN"}
    assert all(each.is_well for each in found.values()), found


@pytest.mark.parametrize("scope", NEEDED_SCOPES)
async def test_a_scope_that_is_missing_is_named_with_what_it_is_for(scope: str) -> None:
    async with SlackSimulator(bot_scopes=BOT_SCOPES - {scope}) as slack:
        found = (await of_slack(slack_house.settings_for(slack, http=False)))["slack scopes"]
    assert (found.is_well, found.text) == (False, f"missing: {scope} ({NEEDED_SCOPES[scope]})")


async def test_a_scope_that_one_can_do_without_is_named_with_what_that_costs() -> None:
    async with SlackSimulator(bot_scopes=BOT_SCOPES - WANTED_SCOPES.keys()) as slack:
        found = (await of_slack(slack_house.settings_for(slack, http=False)))["slack scopes"]
    assert found.is_well
    assert found.text == (
        "every needed scope is granted; without channels:history and groups:history a card may come twice to "
        "channels and private channels after an outage"
    )


async def test_a_telegram_that_works_is_well(telegram: TelegramSimulator) -> None:
    settings = telegram_house.settings_for(telegram, webhook=False)
    found = await of_telegram(settings, str(telegram_house.GROUP))
    assert set(found) == {"telegram token", "clock", "telegram webhook", f"telegram {telegram_house.GROUP}"}
    assert all(each.is_well for each in found.values()), found
    assert found["telegram webhook"].text == "none; serve polls"


@pytest.mark.parametrize("platform", ["slack", "telegram"])
async def test_no_connection_is_not_called_a_wrong_token(platform: str) -> None:
    (found,) = (await _nowhere(platform)).values()
    assert found.check == f"{platform} token"
    assert found.text.startswith("no connection (")
    setting = f"COUNTERSIGN_{platform.upper()}_API_URL"
    assert found.mend == f"check the network, the proxy, or {setting}"
    for secret in ("canary", "127.0.0.1"):
        assert secret not in found.text + found.mend


async def _nowhere(platform: str) -> dict[str, Finding]:
    if platform == "slack":
        return await of_slack(
            BotSettings(
                slack_bot_token=SecretStr("xoxb-canary"),
                slack_app_token=SecretStr("xapp-canary"),
                slack_api_url=f"{NOWHERE}/api/",
            )
        )
    return await of_telegram(
        BotSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=f"{NOWHERE}/bot")
    )


async def test_a_line_that_slack_cuts_is_no_connection(slack: SlackSimulator) -> None:
    slack.faults.add(Fault(method="auth.test", cut=True, times=None))
    (found,) = (await of_slack(slack_house.settings_for(slack, http=True))).values()
    assert found.text.startswith("no connection (")


async def test_a_trouble_of_slacks_own_is_not_called_a_wrong_token(slack: SlackSimulator) -> None:
    slack.faults.add(Fault(method="auth.test", body={"ok": False, "error": "fatal_error"}, times=None))
    (found,) = (await of_slack(slack_house.settings_for(slack, http=True))).values()
    assert (found.text, found.mend) == ("Slack answered fatal_error", "run doctor again in a while")


async def test_a_refused_token_is_to_be_set_anew(slack: SlackSimulator, telegram: TelegramSimulator) -> None:
    wrong: Any = SecretStr("xoxb-canary")
    (found,) = (await of_slack(slack_house.settings_for(slack, http=True, slack_bot_token=wrong))).values()
    assert (found.text, found.mend) == ("Slack answered invalid_auth", "set SLACK_BOT_TOKEN anew")
    wrong = SecretStr(TOKEN)
    settings = telegram_house.settings_for(telegram, webhook=False, telegram_bot_token=wrong)
    (found,) = (await of_telegram(settings)).values()
    assert found.text == "Telegram refuses the bot's token"
    assert found.mend == "set TELEGRAM_BOT_TOKEN anew"


async def test_a_webhook_of_a_telegram_on_loopback_may_be_plain_http(telegram: TelegramSimulator) -> None:
    settings = telegram_house.settings_for(telegram, webhook=True)
    found = await of_telegram(settings)
    assert all(each.is_well for each in found.values()), found


async def test_a_chat_that_the_bot_is_not_in_is_told(telegram: TelegramSimulator) -> None:
    found = (await of_telegram(telegram_house.settings_for(telegram, webhook=False), "-5"))["telegram -5"]
    assert not found.is_well
    assert "check the id" in found.mend


async def test_one_way_to_telegram_is_enough(telegram: TelegramSimulator) -> None:
    """Each reads the certificates that it trusts."""
    make = HTTPXRequest.__init__
    with patch.object(HTTPXRequest, "__init__", autospec=True, side_effect=make) as made:
        assert (await of_telegram(telegram_house.settings_for(telegram, webhook=False)))[
            "telegram token"
        ].is_well
    assert made.call_count == 1
