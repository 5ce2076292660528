"""The chats' knobs: tokens, secrets and where the platforms are. A platform without its token is off."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.addresses import is_loopback, is_loopback_url

SLACK_API = "https://slack.com/api/"
TELEGRAM_API = "https://api.telegram.org/bot"
TELEGRAM_FILES = "https://api.telegram.org/file/bot"

_WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
"""Bot API, setWebhook, secret_token."""


class BotSettings(BaseModel):
    """Checked settings; every refusal is one sentence that names the setting and echoes no value."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, populate_by_name=True)

    slack_bot_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    """Means Socket Mode; without one Slack calls `POST /slack/events`."""
    slack_api_url: str = Field(default=SLACK_API, validation_alias="COUNTERSIGN_SLACK_API_URL")
    """With a slash at the end, as slack_sdk takes it."""
    telegram_bot_token: SecretStr | None = None
    telegram_webhook_secret: SecretStr | None = Field(
        default=None, validation_alias="COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET"
    )
    """Means a webhook; without one we poll."""
    telegram_api_url: str = Field(default=TELEGRAM_API, validation_alias="COUNTERSIGN_TELEGRAM_API_URL")
    """The token is appended, as python-telegram-bot does."""
    telegram_file_url: str = Field(default=TELEGRAM_FILES, validation_alias="COUNTERSIGN_TELEGRAM_FILE_URL")
    public_url: str = Field(default="", validation_alias="COUNTERSIGN_PUBLIC_URL")
    """The web server's setting, looked at here only for whether a webhook could work; empty is plain http."""

    @field_validator(
        "slack_bot_token",
        "slack_signing_secret",
        "slack_app_token",
        "telegram_bot_token",
        "telegram_webhook_secret",
        mode="before",
    )
    @classmethod
    def _stripped(cls, value: object) -> object:
        """An end of a line comes with what is read out of a file of secrets; empty is unset."""
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _secret_fits_in_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _WEBHOOK_SECRET.fullmatch(value.get_secret_value()):
            raise ValueError(
                "COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET must be 1 to 256 letters, digits, underscores or hyphens"
            )
        return value

    @field_validator("slack_api_url")
    @classmethod
    def _slack_url_is_safe(cls, value: str) -> str:
        return _checked("COUNTERSIGN_SLACK_API_URL", value or SLACK_API).rstrip("/") + "/"

    @field_validator("telegram_api_url")
    @classmethod
    def _telegram_url_is_safe(cls, value: str) -> str:
        return _checked("COUNTERSIGN_TELEGRAM_API_URL", value or TELEGRAM_API)

    @field_validator("telegram_file_url")
    @classmethod
    def _file_url_is_safe(cls, value: str) -> str:
        return _checked("COUNTERSIGN_TELEGRAM_FILE_URL", value or TELEGRAM_FILES)

    @model_validator(mode="after")
    def _slack_can_be_heard(self) -> BotSettings:
        if self.slack_bot_token and not (self.slack_app_token or self.slack_signing_secret):
            raise ValueError("SLACK_BOT_TOKEN needs SLACK_APP_TOKEN or SLACK_SIGNING_SECRET beside it")
        return self

    @model_validator(mode="after")
    def _telegram_can_call_us(self) -> BotSettings:
        """Telegram calls no address in the clear; a simulator on loopback does."""
        has_webhook = self.telegram_bot_token is not None and self.telegram_webhook_secret is not None
        is_https = self.public_url.lower().startswith("https:")
        if has_webhook and not is_https and not is_loopback_url(self.telegram_api_url):
            raise ValueError(
                "COUNTERSIGN_PUBLIC_URL must be https:// where COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET is set"
            )
        return self

    @property
    def foreign_urls(self) -> tuple[str, ...]:
        """Settings whose base URL is not the platform's own: named at start and by `doctor`."""
        ours = {
            "COUNTERSIGN_SLACK_API_URL": (self.slack_api_url, SLACK_API),
            "COUNTERSIGN_TELEGRAM_API_URL": (self.telegram_api_url, TELEGRAM_API),
            "COUNTERSIGN_TELEGRAM_FILE_URL": (self.telegram_file_url, TELEGRAM_FILES),
        }
        return tuple(name for name, (value, default) in ours.items() if value != default)


class BotEnvironment(BotSettings, BaseSettings):
    """The same, read from the environment and `.env`."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def _checked(setting: str, url: str) -> str:
    """Tokens travel to this address, in the clear only where nobody else can listen."""
    if not _is_safe(url):
        raise ValueError(f"{setting} must be an https:// address, or http:// on loopback")
    return url


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    )
