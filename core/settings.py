"""Core's knobs: which database, which configuration file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it at run time

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class CoreSettings(BaseSettings):
    """Read from `COUNTERSIGN_…` variables and `.env`."""

    model_config = SettingsConfigDict(
        env_prefix="COUNTERSIGN_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: SecretStr = SecretStr("sqlite:///countersign.db")
    """`sqlite:///FILE` or `postgresql://…`; it may hold a password."""
    config: Path | None = None
    """The configuration file; None is `countersign.toml` where there is one."""
