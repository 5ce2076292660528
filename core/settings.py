"""Core's knobs: which database, which configuration file, which model."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import TYPE_CHECKING

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.addresses import bare
from core.model import ModelEndpoint

if TYPE_CHECKING:
    from pydantic import ValidationInfo


class CoreSettings(BaseSettings):
    """Read from `COUNTERSIGN_…` variables and `.env`."""

    model_config = SettingsConfigDict(
        env_prefix="COUNTERSIGN_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: SecretStr = SecretStr("sqlite:///countersign.db")
    """`sqlite:///FILE` or `postgresql://…`; it may hold a password."""
    config: Path | None = None
    """The configuration file; None is `countersign.toml` where there is one."""
    model_url: str | None = None
    """Base of an OpenAI-compatible endpoint, as OpenAI clients take it: `https://…/v1`."""
    model: str | None = None
    model_model: str | None = None
    """Another spelling of `model`."""
    model_api_key: SecretStr | None = None
    api_key: SecretStr | None = None
    """Another spelling of `model_api_key`."""

    @field_validator("database_url", "config", mode="before")
    @classmethod
    def _empty_is_the_default(cls, value: object, info: ValidationInfo) -> object:
        return cls.model_fields[str(info.field_name)].default if value == "" else value

    @field_validator("model_url", "model", "model_model", "model_api_key", "api_key", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("model_url")
    @classmethod
    def _model_url_is_a_base(cls, value: str | None) -> str | None:
        if value is not None and not _is_base(value):
            raise ValueError(
                "COUNTERSIGN_MODEL_URL must be the base URL that OpenAI clients take, "
                "such as https://api.openai.com/v1"
            )
        return value

    @field_validator("model_api_key", "api_key")
    @classmethod
    def _key_fits_in_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all("!" <= character <= "~" for character in value.get_secret_value()):
            raise ValueError("COUNTERSIGN_MODEL_API_KEY must be ASCII letters, digits and signs, no spaces")
        return value

    @property
    def model_endpoint(self) -> ModelEndpoint | None:
        """For flows whose processor is `model`; None where its URL or name is not set."""
        name, key = self.model or self.model_model, self.model_api_key or self.api_key
        if self.model_url is None or name is None:
            return None
        return ModelEndpoint(
            url=self.model_url, model=name, api_key=None if key is None else key.get_secret_value()
        )


def _is_base(url: str) -> bool:
    parts = bare(url)
    return parts is not None and not parts.path.rstrip("/").endswith("/completions")
