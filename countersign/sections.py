"""The shapes that parts of `countersign.toml` have in common."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

from core.model import ChannelName, Recipient

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=366)


def _duration(value: object) -> object:
    """`"60s"`; a bare number would leave its unit to guessing."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a duration such as "500ms", "60s", "5m", "2h" or "3d"')
    try:
        wait = timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError:
        wait = timedelta.max
    if wait > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days}d")
    if not wait:
        raise ValueError("must be longer than nothing")
    return wait


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
SlackPerson = Annotated[str, _matching(r"([TE][A-Z0-9]+/)?[UW][A-Z0-9]+", "U01ALICE")]
SlackGroup = Annotated[str, _matching(r"S[A-Z0-9]+", "S0123ABCD")]
SlackPlace = Annotated[str, _matching(r"[CGDUW][A-Z0-9]+", "C01GEN")]


class Section(BaseModel):
    """A part of the file: a key that is not known is refused, for a typo must not go unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RecipientsSection(Section):
    """`[recipients]`: where cards go."""

    slack: tuple[SlackPlace, ...] = ()
    telegram: tuple[int, ...] = ()

    def recipients(self) -> tuple[Recipient, ...]:
        slack = [Recipient(channel=ChannelName("slack"), address=place) for place in self.slack]
        telegram = [Recipient(channel=ChannelName("telegram"), address=str(chat)) for chat in self.telegram]
        return (*slack, *telegram)
