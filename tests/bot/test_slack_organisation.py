"""What Slack sends where an app is installed for a whole organisation: it may name the user's only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from core.model import Verdict
from tests.bot import slack_fixtures
from tests.bot.house import decided, decisions

if TYPE_CHECKING:
    from tests.bot.slack_house import SlackHouse

clock, there = slack_fixtures.clock, slack_fixtures.there


def for_the_organisation(payload: dict[str, Any], **user: str) -> dict[str, Any]:
    """The payload without a workspace (bolt-python, `extract_team_id`); `user` says theirs."""
    known = {name: value for name, value in payload["user"].items() if name != "team_id"}
    enterprise = {"id": "E0ORG", "name": "organisation"}
    return {
        **payload,
        "team": None,
        "enterprise": enterprise,
        "is_enterprise_install": True,
        "user": known | user,
    }


async def test_a_press_counts_by_the_users_own_workspace(there: SlackHouse) -> None:
    task = await there.house.submit()
    pressed = there.slack.action_payload(await there.card(), "Approve", user="U01ANA")
    assert (await there.slack.deliver(for_the_organisation(pressed, team_id=pressed["team"]["id"]))).ok
    assert (await decided(there, task)).verdict is Verdict.APPROVE


@pytest.mark.parametrize("team", ["T0ELSEWHERE", "E0ORG", None])
async def test_and_by_no_other_and_by_none(there: SlackHouse, team: str | None) -> None:
    task = await there.house.submit()
    pressed = there.slack.action_payload(await there.card(), "Approve", user="U01ANA")
    known = {} if team is None else {"team_id": team}
    assert (await there.slack.deliver(for_the_organisation(pressed, **known))).ok
    assert "Nothing was changed" in await there.told("U01ANA")
    assert await decisions(there, task) == ()
