"""The chats' settings: wrong ones are refused by name, and no secret is ever repeated."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from bot.settings import BotEnvironment, BotSettings

WEBHOOK = {"telegram_bot_token": "1:canary", "telegram_webhook_secret": "canary"}


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"slack_bot_token": "xoxb-canary"}, "SLACK_APP_TOKEN"),
        ({"telegram_webhook_secret": "canary with spaces"}, "COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET"),
        ({"telegram_webhook_secret": "canary" * 100}, "COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET"),
        ({"slack_api_url": "http://canary.example/api/"}, "COUNTERSIGN_SLACK_API_URL"),
        ({"telegram_api_url": "ftp://canary.example/bot"}, "COUNTERSIGN_TELEGRAM_API_URL"),
        ({"telegram_file_url": "canary"}, "COUNTERSIGN_TELEGRAM_FILE_URL"),
        ({"slack_api_url": "https://[canary/api/"}, "COUNTERSIGN_SLACK_API_URL"),
        (WEBHOOK, "COUNTERSIGN_PUBLIC_URL"),
        (WEBHOOK | {"public_url": "http://canary.example"}, "COUNTERSIGN_PUBLIC_URL"),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        BotSettings(**settings)
    assert name in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_platform_without_its_token_is_off() -> None:
    assert BotSettings.model_validate({"slack_bot_token": " "}).slack_bot_token is None


@pytest.mark.parametrize(
    "mended",
    [
        {"public_url": "https://sign.example.com"},
        {"public_url": "HTTPS://sign.example.com"},
        {"telegram_api_url": "http://127.0.0.1:9/bot"},
        {"telegram_webhook_secret": ""},
        {"telegram_bot_token": ""},
    ],
)
def test_a_webhook_needs_an_address_that_telegram_can_call(mended: dict[str, str]) -> None:
    BotSettings.model_validate(WEBHOOK | mended)


def test_loopback_may_be_plain_http_and_is_named_as_unusual() -> None:
    found = BotSettings(slack_api_url="http://127.0.0.1:9/api")
    assert found.slack_api_url == "http://127.0.0.1:9/api/"
    assert found.foreign_urls == ("COUNTERSIGN_SLACK_API_URL",)
    assert BotSettings().foreign_urls == ()


def test_the_environment_has_the_names_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-1")
    monkeypatch.setenv("COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET", "s")
    monkeypatch.setenv("COUNTERSIGN_TELEGRAM_API_URL", "http://localhost:1/bot")
    found = BotEnvironment(_env_file=None)
    assert found.slack_app_token == SecretStr("xapp-1")
    assert found.telegram_webhook_secret == SecretStr("s")
    assert found.telegram_api_url == "http://localhost:1/bot"
    assert "xoxb-1" not in repr(found)
