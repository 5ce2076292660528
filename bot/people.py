"""Who a chat user is to us, by the platform's immutable ids; names and e-mail addresses never count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import PersonId

Identity = TypeVar("Identity")

Member = tuple[str | None, str]
"""A Slack workspace and a user; None is the bot's own workspace, whose id only Slack can tell."""


def is_user_group(address: str) -> bool:
    """Whether this id of Slack's is a user group's; a channel's begins with C or G."""
    return address.startswith("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Chat identities and their people; whoever is not in it is nobody."""

    slack: Mapping[Member, PersonId] = field(default_factory=dict)
    telegram: Mapping[int, PersonId] = field(default_factory=dict)

    @classmethod
    def of(cls, *, slack: Mapping[PersonId, str], telegram: Mapping[PersonId, int]) -> Directory:
        """From the configuration: `"U01ALICE"`, or `"T0TEAM/U01ALICE"` for somebody of another workspace.

        Raises `SettingsError` where two people claim one identity: decisions of distinct people count.
        """
        members = [(_member(claim), person) for person, claim in slack.items()]
        users = [(user, person) for person, user in telegram.items()]
        return cls(slack=_each_once("slack", members), telegram=_each_once("telegram", users))

    def slack_person(self, *, user: str, team: str, own_team: str) -> PersonId | None:
        """`team` is the user's own workspace as Slack signed it, not the one where the press happened.

        Where Slack tells of none, neither the user's nor ours, nobody is of our own.
        """
        person = self.slack.get((team, user))
        is_of_ours = team != "" and team == own_team
        return self.slack.get((None, user)) if person is None and is_of_ours else person

    def slack_mentioned(self, user: str, *, own_team: str) -> PersonId | None:
        """Whom somebody mentions: Slack gives no workspace, so one's own goes first."""
        here = self.slack_person(user=user, team=own_team, own_team=own_team)
        elsewhere = {person for (_, known), person in self.slack.items() if known == user}
        return here or (elsewhere.pop() if len(elsewhere) == 1 else None)

    def slack_users(self) -> dict[PersonId, str]:
        """Each person's Slack user, by which a message calls them."""
        return {person: user for (_, user), person in self.slack.items()}

    def telegram_users(self) -> dict[PersonId, int]:
        """Each person's Telegram user, likewise."""
        return {person: user for user, person in self.telegram.items()}

    def telegram_person(self, user: int) -> PersonId | None:
        return self.telegram.get(user)


def _member(claim: str) -> Member:
    team, _, user = claim.rpartition("/")
    return team or None, user


def _each_once(setting: str, claims: list[tuple[Identity, PersonId]]) -> dict[Identity, PersonId]:
    taken: dict[Identity, PersonId] = {}
    for identity, person in claims:
        if identity in taken:
            raise SettingsError(f"{person} and {taken[identity]} have the same {setting} id.")
        taken[identity] = person
    return taken
