"""Who presses: by immutable ids, and in Slack by the workspace, too."""

from __future__ import annotations

import pytest

from bot.people import Directory
from core.errors import SettingsError
from core.model import PersonId

ANA, BEN = PersonId("ana"), PersonId("ben")
PEOPLE = Directory.of(slack={ANA: "U01ALICE", BEN: "T0PARTNER/U01BEN"}, telegram={ANA: 42})


@pytest.mark.parametrize(
    ("user", "team", "person"),
    [
        ("U01ALICE", "T0OWN", ANA),
        ("U01ALICE", "T0PARTNER", None),  # the same id in a connected workspace is somebody else
        ("U01ALICE", "", None),
        ("U01BEN", "T0PARTNER", BEN),
        ("U01BEN", "T0OWN", None),
        ("u01alice", "T0OWN", None),
        ("U99", "T0OWN", None),
    ],
)
def test_a_slack_user_is_known_by_workspace_and_id(user: str, team: str, person: PersonId | None) -> None:
    assert PEOPLE.slack_person(user=user, team=team, own_team="T0OWN") == person


def test_where_slack_tells_of_no_workspace_nobody_is_known_by_the_id_alone() -> None:
    """As for an app installed for a whole organisation, of a person whose own workspace it does not say."""
    assert PEOPLE.slack_person(user="U01ALICE", team="", own_team="") is None


def test_whom_a_mention_means_is_ones_own_before_others_and_nobody_where_two_can_be_meant() -> None:
    claims = {"own": "U1", "other": "T0A/U1", "alone": "T0A/U2", "one": "T0A/U3", "two": "T0B/U3"}
    people = Directory.of(slack={PersonId(who): claim for who, claim in claims.items()}, telegram={})
    found = [people.slack_mentioned(user, own_team="T0OWN") for user in ("U1", "U2", "U3", "U4")]
    assert found == ["own", "alone", None, None]


def test_a_telegram_user_is_known_by_id() -> None:
    assert PEOPLE.telegram_person(42) == ANA
    assert PEOPLE.telegram_person(43) is None


def test_an_empty_directory_knows_nobody() -> None:
    nobody = Directory()
    assert nobody.slack_person(user="", team="", own_team="") is None
    assert nobody.telegram_person(0) is None


def test_two_people_with_one_identity_stop_the_start() -> None:
    with pytest.raises(SettingsError, match="ben and ana have the same slack id"):
        Directory.of(slack={ANA: "U1", BEN: "U1"}, telegram={})
    with pytest.raises(SettingsError, match="ben and ana have the same telegram id"):
        Directory.of(slack={}, telegram={ANA: 1, BEN: 1})
