"""The shapes that parts of `countersign.toml` have in common."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from core.durations import duration
from core.model import ChannelName, Recipient

LONGEST = timedelta(days=366)


def _duration(value: object) -> object:
    """`"60s"`; a bare number would leave its unit to guessing."""
    if isinstance(value, timedelta):
        return value
    wait = duration(value) if isinstance(value, str) else None
    if wait is None:
        raise ValueError('must be a duration such as "500ms", "60s", "5m", "2h" or "3d"')
    if wait > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days}d")
    if not wait:
        raise ValueError("must be longer than nothing")
    return wait


Whole = Annotated[int, Field(strict=True)]
Truth = Annotated[bool, Field(strict=True)]
"""A TOML number and a TOML boolean, and no text or number that Python would take for one."""
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


def _matching(pattern: str, example: str) -> AfterValidator:
    """For ids that people take for names: says what one looks like instead of a pattern."""
    shape = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not shape.fullmatch(value):
            raise ValueError(f"must be an id such as {example}, not a name")
        return value

    return AfterValidator(check)


def _telegram_place(value: object) -> object:
    """A chat's id, `"CHAT/TOPIC"` for a topic of a forum, or a public channel's `"@name"`."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(_TELEGRAM_PLACES)  # noqa: TRY004 - pydantic wants it
    found = _TELEGRAM_PLACE.fullmatch(str(value))
    if found is None:
        raise ValueError(_TELEGRAM_PLACES)
    if found["topic"] == "1":
        raise ValueError("names the general topic, which has no number: the chat's id alone means it")
    return str(value)


_TELEGRAM_PLACES = 'must be an id such as -1001234567890, "-1001234567890/45" for its topic 45, or "@channel"'
_TELEGRAM_PLACE = re.compile(
    r"-?[1-9]\d{0,15}|-[1-9]\d{0,15}/(?P<topic>[1-9]\d{0,9})|@[A-Za-z][A-Za-z0-9_]{3,31}", re.ASCII
)
"""Ids have at most 52 significant bits (Bot API, Chat)."""
TelegramPlace = Annotated[str, BeforeValidator(_telegram_place)]


def _telegram_chat(value: object) -> object:
    """By its id alone: who has a public chat's name may give it away, and with it who may decide."""
    if type(value) is not int or not -(2**52) < value < 0:
        raise ValueError("must be the id of a group or channel, such as -1001234567890, without quotes")
    return value


TelegramChat = Annotated[int, BeforeValidator(_telegram_chat)]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone of the IANA database, such as Europe/Madrid") from None
    return value


_LANGUAGE = re.compile(
    r"[a-z]{2,3}(-[a-z]{3}){0,3}(-[a-z]{4})?(-([a-z]{2}|\d{3}))?"  # language, script, region
    r"(-([a-z\d]{5,8}|\d[a-z\d]{3}))*(-[a-wyz\d](-[a-z\d]{2,8})+)*(-x(-[a-z\d]{1,8})+)?",
    re.ASCII | re.IGNORECASE,
)
"""The `langtag` of RFC 5646, section 2.1, with the languages that are registered: of two or three letters."""


def _language(value: str) -> str:
    if not _LANGUAGE.fullmatch(value):
        raise ValueError("must be a language tag (BCP 47), such as es or pt-BR")
    return value


Zone = Annotated[str, AfterValidator(_zone)]
Language = Annotated[str, AfterValidator(_language)]


def _line(value: str) -> str:
    """What databases do not store, and what would turn the words around it, stands in nobody's name."""
    if any(unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} or one in TURNING for one in value):
        raise ValueError("must be one line of text, without control characters")
    return value


TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Direction of all that follows (Unicode TR 9, explicit formatting characters)."""
Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_line)]
SlackPerson = Annotated[str, _matching(r"([TE][A-Z0-9]+/)?[UW][A-Z0-9]+", "U01ALICE")]
SlackList = Annotated[str, _matching(r"[SCG][A-Z0-9]+", "S0123ABCD or C0123ABCD")]
"""Of a user group, or of a channel."""
SlackPlace = Annotated[str, _matching(r"[CGDUW][A-Z0-9]+", "C01GEN")]


class Section(BaseModel):
    """A part of the file: a key that is not known is refused, for a typo must not go unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PlacesSection(Section):
    """Places in the chats."""

    slack: tuple[SlackPlace, ...] = ()
    telegram: tuple[TelegramPlace, ...] = ()

    def recipients(self) -> tuple[Recipient, ...]:
        slack = [Recipient(channel=ChannelName("slack"), address=place) for place in self.slack]
        telegram = [Recipient(channel=ChannelName("telegram"), address=place) for place in self.telegram]
        return (*slack, *telegram)


class RecipientsSection(PlacesSection):
    """`[recipients]`: where cards go."""

    fallback: PlacesSection | None = None
    """Where a card goes that one of the others cannot be shown."""
