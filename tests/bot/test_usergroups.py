"""Who is in a Slack user group: asked with the real slack_sdk, and heard of through the real bolt."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from bot.settings import BotSettings
from bot.simulator.faults import Fault
from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.method import BOT_SCOPES
from bot.slack.memberships import members
from core.errors import Unavailable
from tests.bot import slack_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.service import Service
    from tests.world import World

LEGAL = "S01LEGAL"


@pytest.fixture
async def slack() -> AsyncIterator[SlackSimulator]:
    async with slack_house.simulated() as running:
        running.events = ()
        running.add_usergroup(LEGAL, "legal", users=["U01ANA", "U01EVE"])
        yield running


def settings(slack: SlackSimulator, **changes: Any) -> BotSettings:
    return slack_house.settings_for(slack, http=False, **changes)


async def refusal(of: BotSettings, group: str = LEGAL) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await members(of, group)
    return caught.value


async def test_members_are_told_with_the_bots_own_workspace(slack: SlackSimulator) -> None:
    assert await members(settings(slack), LEGAL) == ("T0SIMULATED/U01ANA", "T0SIMULATED/U01EVE")


async def test_a_user_group_may_be_empty(slack: SlackSimulator) -> None:
    await slack.change_usergroup(LEGAL, users=[])
    assert await members(settings(slack), LEGAL) == ()


async def test_pages_are_followed_should_slack_ever_give_some(slack: SlackSimulator) -> None:
    first = {"ok": True, "users": ["U01ANA"], "response_metadata": {"next_cursor": "more"}}
    slack.faults.add(Fault(method="usergroups.users.list", body=first))
    found = await members(settings(slack), LEGAL)
    assert found == ("T0SIMULATED/U01ANA", "T0SIMULATED/U01ANA", "T0SIMULATED/U01EVE")
    assert slack.calls[-1].params["cursor"] == "more"
    slack.faults.add(Fault(method="usergroups.users.list", body=first, times=None))
    assert str(await refusal(settings(slack))) == "Slack's list of users does not end within 20 pages."


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(status=503), "Slack refuses it (service_unavailable)."),
        (Fault(cut=True, times=None), "Slack could not be reached (ServerDisconnectedError)."),
        (Fault(body={"ok": True, "users": "U01ANA"}), "Slack's answer holds no list of users."),
        (Fault(body={"ok": True, "users": [1]}), "Slack's answer holds no list of users."),
        (
            Fault(body={"ok": False, "error": "plan_upgrade_required"}),
            "Slack refuses it (plan_upgrade_required): the workspace's plan has no user groups.",
        ),
    ],
)
async def test_a_trouble_is_one_sentence(slack: SlackSimulator, fault: Fault, sentence: str) -> None:
    fault.method = "usergroups.users.list"
    slack.faults.add(fault)
    assert str(await refusal(settings(slack))) == sentence


async def test_a_pause_that_slack_asks_for_is_told(slack: SlackSimulator) -> None:
    slack.faults.add(Fault(method="usergroups.users.list", status=429, headers={"Retry-After": "77"}))
    refused = await refusal(settings(slack))
    assert refused.retry_after == timedelta(seconds=77)


async def test_a_user_group_that_there_is_not_is_not_an_empty_one(slack: SlackSimulator) -> None:
    sentence = "Slack refuses it (no_such_subteam): there is no such user group, or it is disabled."
    assert str(await refusal(settings(slack), "S0NONE")) == sentence
    await slack.change_usergroup(LEGAL, is_disabled=True)
    assert str(await refusal(settings(slack))) == sentence


async def test_without_the_scope_the_sentence_says_which() -> None:
    async with SlackSimulator(bot_scopes=BOT_SCOPES - {"usergroups:read"}) as slack:
        assert "usergroups:read" in str(await refusal(settings(slack)))


async def test_neither_token_nor_address_is_said(slack: SlackSimulator) -> None:
    assert str(await refusal(BotSettings())) == "SLACK_BOT_TOKEN is not set."
    wrong = settings(slack, slack_bot_token=SecretStr("xoxb-canary"))
    assert str(await refusal(wrong)) == "Slack refuses it (invalid_auth)."
    nowhere = settings(slack, slack_api_url="http://127.0.0.1:9/api/")
    assert "127.0.0.1" not in str(await refusal(nowhere))


@pytest.mark.parametrize("http", [False, True])
async def test_slack_tells_that_a_user_group_changed(
    slack: SlackSimulator, world: World, service: Service, http: bool
) -> None:
    async with slack_house.memberships_heard(slack, world, service, http=http) as heard:
        await slack.change_usergroup(LEGAL, users=["U01EVE"])
        assert heard == [LEGAL, LEGAL]
        await slack.change_usergroup(LEGAL, is_disabled=True)
        assert heard == [LEGAL] * 3
