"""Groups whose members somebody else keeps: where their lists are, and whom of us they mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot.people import is_user_group
from core.addresses import is_loopback
from core.errors import SettingsError
from core.model import PersonId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bot.people import Directory
    from countersign.policies import GroupSection

REFRESH = timedelta(minutes=5)
STALE_AFTER = timedelta(minutes=15)
SHORTEST = timedelta(seconds=30)
"""Between two refreshes, and by how much `stale_after` is longer: one late answer must empty no group."""
LONGEST_REFRESH = timedelta(days=1)
LONGEST_STALE = timedelta(days=7)


class Kind(StrEnum):
    """Who keeps the list."""

    SLACK = "slack"
    TELEGRAM = "telegram"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One group's list. Two are equal where the same is asked for in the same way, however often."""

    group: str
    kind: Kind
    address: str
    """The id of the user group or channel in Slack, or of the chat in Telegram, or the list's URL."""
    token: str | None = field(default=None, repr=False)
    candidates: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """The Telegram users of [people]: Telegram lists no members, so each is asked for."""
    refresh: timedelta = field(default=REFRESH, compare=False)
    stale_after: timedelta = field(default=STALE_AFTER, compare=False)
    """How long the last answer is trusted where none comes any more."""

    @property
    def is_user_group(self) -> bool:
        """Slack's, and no channel."""
        return self.kind is Kind.SLACK and is_user_group(self.address)

    def meant(
        self, members: Iterable[str], directory: Directory, people: Collection[PersonId]
    ) -> tuple[tuple[PersonId, ...], tuple[str, ...]]:
        """Whom of `people` these mean, each once; and those of them that mean nobody.

        `members` are as the source gave them: names of `[people]`, Slack's `TEAM/USER`, Telegram's users.
        """
        found: dict[PersonId, None] = {}
        strangers: dict[str, None] = {}
        for member in members:
            person = self._person(member, directory)
            if person is not None and person in people:
                found[person] = None
            else:
                strangers[member] = None
        return tuple(found), tuple(strangers)

    def _person(self, member: str, directory: Directory) -> PersonId | None:
        if self.kind is Kind.HTTP:
            return PersonId(member)
        if self.kind is Kind.TELEGRAM:
            return directory.telegram_person(int(member))
        team, _, user = member.rpartition("/")
        return directory.slack_person(user=user, team=team, own_team=team)


KEYS = {"slack": Kind.SLACK, "telegram": Kind.TELEGRAM, "url": Kind.HTTP}
"""Of `[groups.NAME]`: who keeps the list that each names."""
ASKED_WITH = {
    Kind.SLACK: "Slack is asked with SLACK_BOT_TOKEN",
    Kind.TELEGRAM: "Telegram is asked with TELEGRAM_BOT_TOKEN",
}


def sources(
    sections: Mapping[str, GroupSection], environment: Mapping[str, str], directory: Directory
) -> dict[str, Source]:
    """By group; raises `SettingsError`. `environment` holds the tokens, `directory` who is asked for."""
    users = tuple(directory.telegram)
    found = {}
    for name, section in sections.items():
        named = [key for key in KEYS if getattr(section, key) is not None]
        if not named:
            _check_has_no_source(f"groups.{name}", section)
        elif len(named) > 1:
            raise SettingsError(
                f"groups.{name}.{named[1]}: `{named[0]}` names a list already; make a group for each of both."
            )
        else:
            found[name] = _source(name, section, KEYS[named[0]], environment, users)
    return found


def _check_has_no_source(key: str, section: GroupSection) -> None:
    for name in ("token_env", "refresh", "stale_after"):
        if getattr(section, name) is not None:
            raise SettingsError(f"{key}.{name}: the group has no `slack`, `telegram` or `url` to be asked.")


def _source(
    name: str,
    section: GroupSection,
    kind: Kind,
    environment: Mapping[str, str],
    users: tuple[int, ...],
) -> Source:
    key = f"groups.{name}"
    if kind in ASKED_WITH and section.token_env is not None:
        raise SettingsError(f"{key}.token_env: is for `url`; {ASKED_WITH[kind]}.")
    refresh = REFRESH if section.refresh is None else section.refresh
    return Source(
        group=name,
        kind=kind,
        address=_address(key, section),
        token=_token(key, section.token_env, environment),
        candidates=users if kind is Kind.TELEGRAM else (),
        refresh=_checked(f"{key}.refresh", refresh, SHORTEST, LONGEST_REFRESH),
        stale_after=_stale_after(key, section.stale_after, refresh),
    )


def _address(key: str, section: GroupSection) -> str:
    if section.telegram is not None:
        return str(section.telegram)
    return section.slack or _url(key, section.url or "")


def _stale_after(key: str, given: timedelta | None, refresh: timedelta) -> timedelta:
    """Unless somebody says otherwise, three refreshes may fail."""
    if given is None:
        return max(STALE_AFTER, 3 * refresh)
    if given < refresh + SHORTEST:
        raise SettingsError(f"{key}.stale_after: must be at least 30s longer than `refresh`.")
    return _checked(f"{key}.stale_after", given, SHORTEST, LONGEST_STALE)


def _checked(key: str, given: timedelta, least: timedelta, most: timedelta) -> timedelta:
    if not least <= given <= most:
        raise SettingsError(f"{key}: must be from {least.seconds}s to {most.days}d.")
    return given


def _url(key: str, url: str) -> str:
    """Names decide who may decide, so nobody on the way may change them; and no secret stands in a file."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for a wrong port
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise SettingsError(f"{key}.url: is not a URL.") from None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    blank = any(character.isspace() or not character.isprintable() for character in url)
    if not is_safe or not parts.hostname or blank or parts.fragment:
        raise SettingsError(f"{key}.url: must be an https:// address, or http:// on loopback.")
    if parts.username or parts.password:
        raise SettingsError(f"{key}.url: must hold no password; name a variable in `token_env`.")
    return url


def _token(key: str, name: str | None, environment: Mapping[str, str]) -> str | None:
    if name is None:
        return None
    token = environment.get(name, "")
    if not token:
        raise SettingsError(f"{key}.token_env: {name} is not set.")
    if not (token.isascii() and token.isprintable()):
        raise SettingsError(f"{key}.token_env: {name} holds what no header can carry.")
    return token
