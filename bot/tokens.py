"""What kind of token stands in which setting, as far as shapes tell: nobody is asked, nothing is quoted."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from bot.findings import Finding
from bot.settings import TELEGRAM_API
from core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.settings import BotSettings

_SENT_AS_IT_IS = re.compile(r"[!-~]+")
"""In a header and in an address: no secret of either platform's holds a space, or anything beyond ASCII."""
_OF_A_BOT = re.compile(r"\d+:[A-Za-z0-9_-]+(/test)?", re.ASCII)
"""What Telegram's own server may know: "/test" after it leads to its test environment (Bot Features, "Testing
your bot")."""


class Chat(Enum):
    """Whose token it is, or is said to be."""

    SLACK = "slack"
    TELEGRAM = "telegram"


class Kind(NamedTuple):
    """How a token begins, and how the whole of it looks."""

    name: str
    beginning: re.Pattern[str]
    whole: re.Pattern[str]


# Slack: docs.slack.dev, "Tokens"; one that is rotated has "xoxe." before it. Telegram: what @BotFather gives
# is the bot's number and 35 characters, which is documented nowhere: a few more or less are let pass.
BOT = Kind(
    "a bot token of Slack's", re.compile(r"(xoxe\.)?xoxb-"), re.compile(r"(xoxe\.)?xoxb-[A-Za-z0-9-]+")
)
USER = Kind("a user token of Slack's", re.compile(r"(xoxe\.)?xoxp-"), re.compile(r".*"))
APP = Kind("an app-level token of Slack's", re.compile(r"xapp-"), re.compile(r"xapp-[A-Za-z0-9-]+"))
TELEGRAM = Kind(
    "a bot's token of Telegram's",
    re.compile(r"\d+:[A-Za-z0-9_-]{30}"),
    re.compile(r"\d+:[A-Za-z0-9_-]{30,64}"),
)
KINDS = (BOT, USER, APP, TELEGRAM)


class Place(NamedTuple):
    """A setting, what belongs there (None: nothing that can be told by its shape), and where one finds it."""

    setting: str
    chat: Chat
    wants: Kind | None
    mend: str


PLACES = (
    Place(
        "slack_bot_token",
        Chat.SLACK,
        BOT,
        "set it to the Bot User OAuth Token under OAuth & Permissions, which begins with xoxb-",
    ),
    Place(
        "slack_signing_secret",
        Chat.SLACK,
        None,
        "set it to the Signing Secret under Basic Information, App Credentials",
    ),
    Place(
        "slack_app_token",
        Chat.SLACK,
        APP,
        "set it to a token under Basic Information, App-Level Tokens, which begins with xapp-",
    ),
    Place(
        "telegram_bot_token",
        Chat.TELEGRAM,
        TELEGRAM,
        "set it to what @BotFather says under /token: a number, a colon and 35 more characters",
    ),
)


def malformed(settings: BotSettings) -> Iterator[tuple[Chat, Finding]]:
    """Each setting that holds another token than it should, or one that is not whole."""
    for place, token in _tokens(settings):
        text = _trouble(token, place, settings) or _unlike(token, place.wants)
        if text is not None:
            yield (
                place.chat,
                Finding(check=place.setting.upper(), is_well=False, text=text, mend=place.mend),
            )


def check(settings: BotSettings) -> None:
    """Raise `SettingsError` where a setting holds another's token, which would be sent to whom it is a secret
    from, or what can be nobody's. One that is of no known kind may be right all the same."""
    for place, token in _tokens(settings):
        if (trouble := _trouble(token, place, settings)) is not None:
            raise SettingsError(f"{place.setting.upper()} {trouble}: {place.mend}.")


def _tokens(settings: BotSettings) -> Iterator[tuple[Place, str]]:
    """Those that are set."""
    for place in PLACES:
        if (secret := getattr(settings, place.setting)) is not None:
            yield place, secret.get_secret_value()


def _trouble(token: str, place: Place, settings: BotSettings) -> str | None:
    """What is certainly wrong, in words that hold nothing of it."""
    kind = _kind(token)
    if kind is not None and kind is not place.wants:
        return f"holds {kind.name}"
    if not _SENT_AS_IT_IS.fullmatch(token):
        return "holds a space, or what is no plain letter, digit or sign"
    if place.wants is TELEGRAM and settings.telegram_api_url == TELEGRAM_API:
        return None if _OF_A_BOT.fullmatch(token) else f"is not {TELEGRAM.name}"
    return f"is not the whole of {kind.name}" if kind and kind.beginning.fullmatch(token) else None


def _kind(token: str) -> Kind | None:
    return next((kind for kind in KINDS if kind.beginning.match(token)), None)


def _unlike(token: str, wants: Kind | None) -> str | None:
    """What may be right all the same, in such words."""
    if wants is None or wants.whole.fullmatch(token):
        return None
    if _kind(token) is None:
        return f"is not {wants.name}"
    return f"is not the whole of {wants.name}, or has more in it"
