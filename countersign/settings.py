"""All settings, read once from the environment and `.env`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import ValidationError

from bot.settings import BotEnvironment, BotSettings
from core.errors import SettingsError
from core.settings import CoreSettings
from web.settings import WebSettings
from web.settings import from_environment as web_settings

if TYPE_CHECKING:
    from dotenv.parser import Original

PREFIX = "COUNTERSIGN_"
INTERNAL = frozenset({f"{PREFIX}MAX_STREAMS", f"{PREFIX}MAX_STREAMS_PER_PERSON", f"{PREFIX}PING_SECONDS"})
"""Set by tests, and by nobody else without a reason."""
SPELLINGS = frozenset({f"{PREFIX}MODEL_MODEL", f"{PREFIX}API_KEY"})
"""Other names of settings, heeded where their own is empty."""
TESTING = frozenset({f"{PREFIX}TEST_POSTGRES", f"{PREFIX}SOAK_SEED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each package's own, side by side."""

    core: CoreSettings
    bot: BotSettings
    web: WebSettings


def settings() -> Settings:
    """Raises `SettingsError` with one sentence that names the setting and never prints its value."""
    _stored()
    try:
        core, bot = CoreSettings(), BotEnvironment()
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None
    return Settings(core=core, bot=bot, web=web_settings())


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "value_error":  # one of ours, which names the setting itself
        return f"{first['msg'].removeprefix('Value error, ')}."
    return f"{'_'.join(str(part) for part in first['loc']).upper()}: {first['msg']}."


def environment() -> dict[str, str]:
    """`.env` under the environment, which wins: where hooks find their secrets."""
    return {**_stored(), **os.environ}


def _stored() -> dict[str, str]:
    """What stands in `.env`; raises `SettingsError` where that, or a line of it, cannot be read."""
    try:
        _check_lines(Path(".env"))
        return {name: value for name, value in dotenv_values(".env").items() if value is not None}
    except UnicodeDecodeError:
        raise SettingsError(".env cannot be read: it is not UTF-8 text.") from None
    except OSError as error:
        raise SettingsError(f".env cannot be read: {error.strerror}.") from None


def _check_lines(file: Path) -> None:
    """python-dotenv passes over what it cannot read, with a line in the log: a setting would be lost so."""
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as lines:
        for binding in parse_stream(lines):
            # A name alone, where it is not ours, may be there for another program, as Docker's are.
            is_name_alone = binding.key is not None and binding.value is None
            is_lost = is_name_alone and binding.key in known_names()
            if binding.error or is_lost:
                line = _line(binding.original)
                raise SettingsError(f".env, line {line}: is not NAME=VALUE, or a quote is open.")


def _line(found: Original) -> int:
    """python-dotenv counts from the empty lines before it."""
    before = found.string[: len(found.string) - len(found.string.lstrip())]
    return found.line + before.count("\n")


def known_names() -> frozenset[str]:
    """Every setting that there is."""
    fields = (*CoreSettings.model_fields, *WebSettings.model_fields)
    bot = (str(field.validation_alias or name.upper()) for name, field in BotSettings.model_fields.items())
    return frozenset({*(PREFIX + name.upper() for name in fields), *bot, f"{PREFIX}TOKEN"}) - SPELLINGS


def unknown_names() -> list[str]:
    """Variables that begin as ours do and are none of ours: most likely a slip of the pen."""
    known = known_names() | SPELLINGS | TESTING
    return sorted(name for name in environment() if name.startswith(PREFIX) and name not in known)
