"""The side server's knobs: where it listens, who may call, what its callbacks may reach."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.addresses import bare, is_loopback
from core.durations import duration
from core.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import ValidationInfo

RESERVED = ("oidc", "proxy")
_NAME = re.compile(r"\w[\w.-]*")
"""Of a host; whether there is one of this name is found out when it is listened at."""


LONGEST_DRAIN = timedelta(seconds=60)


class WebSettings(BaseModel):
    """Checked settings; every refusal is one sentence that names the setting and echoes no value."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    worker_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Where a worker answers probes and metrics; None: nowhere. Not `port`, which a server beside it has."""
    public_url: str | None = None
    """`https://host[:port]`; None follows from host and port (`base_url`)."""
    auth: Literal["token", "open"] = "token"
    drain: timedelta = timedelta(0)
    """How long it goes on, no longer ready, once it is told to stop: until a proxy has noticed."""
    webhook_secret: SecretStr | None = None
    """`whsec_` and 24 to 64 bytes in base64, as Standard Webhooks asks."""
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names, addresses and networks, separated by commas."""
    max_streams: int = 10_000
    max_streams_per_person: int = 2_000
    ping_seconds: float = 15

    @field_validator(
        "host", "port", "auth", "max_streams", "max_streams_per_person", "ping_seconds", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: object, info: ValidationInfo) -> object:
        """An empty host would listen everywhere."""
        return cls.model_fields[str(info.field_name)].default if value == "" else value

    @field_validator("host")
    @classmethod
    def _host_is_one(cls, value: str) -> str:
        if not _is_host(value):
            raise ValueError("COUNTERSIGN_HOST must be a host name or an IP address, without a port")
        return value

    @field_validator("drain", mode="before")
    @classmethod
    def _drain_is_a_duration(cls, value: object) -> object:
        wait = duration(value or "0s") if isinstance(value, str) else value
        if not isinstance(wait, timedelta) or not timedelta(0) <= wait <= LONGEST_DRAIN:
            raise ValueError("COUNTERSIGN_DRAIN must be a duration such as 2s, 60s at most")
        return wait

    @field_validator("auth", mode="before")
    @classmethod
    def _auth_is_built(cls, value: object) -> object:
        if value in RESERVED:
            raise ValueError(f"COUNTERSIGN_AUTH: {value} is a reserved word and not built yet; use token")
        return value

    @field_validator("worker_port", mode="before")
    @classmethod
    def _empty_is_nowhere(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_origin(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not _is_origin(value):
            raise ValueError("COUNTERSIGN_PUBLIC_URL must be http(s)://host[:port] without a path")
        return value.rstrip("/")

    @field_validator("webhook_secret")
    @classmethod
    def _webhook_secret_is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not 24 <= _key_length(value.get_secret_value()) <= 64:
            raise ValueError("COUNTERSIGN_WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64")
        return value

    @field_validator("webhook_allow", mode="before")
    @classmethod
    def _split_on_commas(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @model_validator(mode="after")
    def _open_stays_at_home(self) -> WebSettings:
        if self.auth == "open" and not is_loopback(self.host):
            raise ValueError("COUNTERSIGN_AUTH=open needs a loopback COUNTERSIGN_HOST, such as 127.0.0.1")
        return self

    @property
    def base_url(self) -> str:
        """The base of links, without a slash at the end."""
        if self.public_url:
            return self.public_url
        host = "localhost" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - a comparison
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def is_https(self) -> bool:
        return self.base_url.startswith("https:")


class WebEnvironment(WebSettings, BaseSettings):
    """The same, read from `COUNTERSIGN_…` variables and `.env`; see `from_environment`."""

    model_config = SettingsConfigDict(
        env_prefix="COUNTERSIGN_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )


def from_environment() -> WebSettings:
    """The settings in force; raises `SettingsError` with one sentence for the first that is wrong."""
    try:
        return WebEnvironment()
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    return f"COUNTERSIGN_{str(first['loc'][0]).upper()}: {first['msg']}."


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return True


def _is_origin(url: str) -> bool:
    parts = bare(url)
    return parts is not None and parts.path in {"", "/"}


def webhook_key(secret: str) -> bytes:
    """The bytes behind `whsec_…`, whose base64 may leave its padding out; raises `ValueError` for others."""
    plain = secret.removeprefix("whsec_").rstrip("=")
    return b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _key_length(secret: str) -> int:
    try:
        return len(webhook_key(secret))
    except ValueError:
        return 0
