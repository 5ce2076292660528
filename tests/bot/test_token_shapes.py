"""Tokens that are in the wrong setting, or not whole: seen without asking anybody, and never quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.settings import BotSettings
from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from bot.tokens import Chat, check, malformed
from core.errors import SettingsError

if TYPE_CHECKING:
    from bot.findings import Finding

BOT, USER, APP = (
    "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    "xoxp-1-2-canary",
    "xapp-1-A1-2-canary",
)
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TELEGRAM = "123456789:AAcanary-canary-canary-canary-canar"


def findings(**tokens: str) -> list[Finding]:
    return [finding for _, finding in malformed(BotSettings.model_validate(tokens))]


def slack(bot: str = BOT, app: str = APP, secret: str = SECRET) -> list[Finding]:
    return findings(slack_bot_token=bot, slack_app_token=app, slack_signing_secret=secret)


def test_what_is_right_and_what_is_not_set_is_no_finding() -> None:
    assert slack() == slack("xoxe.xoxb-1-canary") == findings(telegram_bot_token=TELEGRAM) == findings() == []


def test_the_simulators_tokens_are_right() -> None:
    simulated, telegram = SlackSimulator(), TelegramSimulator()
    assert slack(simulated.bot_token, simulated.app_token, simulated.signing_secret) == []
    assert findings(telegram_bot_token=telegram.token) == []


@pytest.mark.parametrize(
    ("setting", "token", "kind"),
    [
        ("slack_bot_token", APP, "an app-level token of Slack's"),
        ("slack_bot_token", USER, "a user token of Slack's"),
        ("slack_bot_token", TELEGRAM, "a bot's token of Telegram's"),
        ("slack_app_token", BOT, "a bot token of Slack's"),
        ("slack_app_token", SECRET, None),
        ("slack_signing_secret", BOT, "a bot token of Slack's"),
        ("slack_signing_secret", "8f74 canary", None),
        ("telegram_bot_token", BOT, "a bot token of Slack's"),
        ("slack_bot_token", "xoxb-…", None),
        ("slack_bot_token", "xoxb-", None),
        ("slack_bot_token", f"{BOT} # the bot's", None),
        ("slack_app_token", "xapp", None),
        ("telegram_bot_token", "123456789", None),
        ("telegram_bot_token", TELEGRAM.partition(":")[2], None),
        ("telegram_bot_token", TELEGRAM[:-12], None),
        ("telegram_bot_token", f"bot{TELEGRAM}", None),
    ],
)
def test_what_stands_in_the_wrong_setting_or_is_not_whole_is_said_without_any_of_it(
    setting: str, token: str, kind: str | None
) -> None:
    tokens = {"slack_bot_token": BOT, "slack_app_token": APP, "telegram_bot_token": TELEGRAM, setting: token}
    (found,) = findings(**tokens)
    assert (found.check, found.is_well) == (setting.upper(), False)
    if kind is not None:
        assert found.text == f"holds {kind}"
    assert found.mend
    said = f"{found.text} {found.mend}"
    assert not [part for part in ("canary", "pdFZ", "8f74", "123456789", "the bot's") if part in said]


def test_of_which_chat_it_is_is_told_so_that_nobody_asks_with_it() -> None:
    swapped = BotSettings.model_validate(
        {"slack_bot_token": APP, "slack_app_token": BOT, "telegram_bot_token": TELEGRAM}
    )
    assert [chat for chat, _ in malformed(swapped)] == [Chat.SLACK, Chat.SLACK]


def settings(**tokens: str) -> BotSettings:
    right = {
        "slack_bot_token": BOT,
        "slack_app_token": APP,
        "slack_signing_secret": SECRET,
        "telegram_bot_token": TELEGRAM,
    }
    return BotSettings.model_validate(right | tokens)


@pytest.mark.parametrize(
    ("setting", "token"),
    [
        ("slack_bot_token", TELEGRAM),
        ("slack_bot_token", APP),
        ("slack_signing_secret", BOT),
        ("telegram_bot_token", BOT),
    ],
)
def test_nothing_starts_with_another_ones_token(setting: str, token: str) -> None:
    with pytest.raises(SettingsError, match=setting.upper()) as caught:
        check(settings(**{setting: token}))
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "token"),
    [
        ("telegram_bot_token", "canary"),
        ("telegram_bot_token", TELEGRAM.partition(":")[2]),
        ("telegram_bot_token", f"bot{TELEGRAM}"),
        ("telegram_bot_token", f"{TELEGRAM} # the canary's"),
        ("telegram_bot_token", "123456789:"),
        ("slack_bot_token", "xoxb-"),
        ("slack_bot_token", "xoxb-canary…"),
        ("slack_bot_token", f"{BOT} canary"),
        ("slack_app_token", "xapp-"),
        ("slack_app_token", "xapp-1\ncanary"),
        ("slack_signing_secret", "canary canary"),
    ],
)
def test_nothing_starts_with_what_can_be_nobodys_token(setting: str, token: str) -> None:
    with pytest.raises(SettingsError, match=f"^{setting.upper()} ") as caught:
        check(settings(**{setting: token}))
    assert not [part for part in ("canary", "123456789", "pdFZ") if part in str(caught.value)]


def test_what_may_be_somebodys_is_tried() -> None:
    check(settings(slack_bot_token="of-a-proxy", telegram_bot_token="1:short"))
    check(settings(telegram_bot_token=f"{TELEGRAM}/test"))  # how one asks for Telegram's test environment
    check(settings(telegram_bot_token="of-a-proxy", telegram_api_url="https://proxy.example/bot"))
    check(settings(telegram_bot_token=f" {TELEGRAM}\n", slack_bot_token=f"{BOT}\n"))
    check(settings())
