"""Who is in a Slack channel: asked with the real slack_sdk, and heard of through the real bolt."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.simulator.faults import Fault
from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.method import BOT_SCOPES
from bot.slack import memberships
from bot.slack.memberships import members
from core.errors import Unavailable
from tests.bot import slack_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.settings import BotSettings
    from core.service import Service
    from tests.world import World

OPEN, CLOSED = "C01OPEN", "G01CLOSED"
METHOD = "conversations.members"


@pytest.fixture
async def slack() -> AsyncIterator[SlackSimulator]:
    async with slack_house.simulated() as running:
        running.events = ()
        running.add_channel(OPEN, "release", members=["U01ANA", "U01EVE"])
        running.add_channel(CLOSED, "board", members=["U01ANA"], is_private=True)
        yield running


def settings(slack: SlackSimulator, **changes: Any) -> BotSettings:
    return slack_house.settings_for(slack, http=False, **changes)


async def refusal(of: BotSettings, channel: str = OPEN) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await members(of, channel)
    return caught.value


async def test_members_are_told_with_the_bots_own_workspace_and_without_the_bot(
    slack: SlackSimulator,
) -> None:
    assert await members(settings(slack), OPEN) == ("T0SIMULATED/U01ANA", "T0SIMULATED/U01EVE")
    assert await members(settings(slack), CLOSED) == ("T0SIMULATED/U01ANA",)


@pytest.mark.parametrize("team", [None, "", 7])
async def test_where_slack_does_not_tell_whose_members_they_are_nobody_is_told(
    slack: SlackSimulator, monkeypatch: pytest.MonkeyPatch, team: object
) -> None:
    """Not that there are none: that would strike everybody."""

    async def introduced(_client: AsyncWebClient) -> dict[str, object]:
        return {"ok": True, "user_id": "U01BOT", "team_id": team}

    monkeypatch.setattr(AsyncWebClient, "auth_test", introduced)
    assert str(await refusal(settings(slack))) == "Slack does not say which workspace the token is for."


async def test_a_channel_where_the_bot_is_alone_has_no_members(slack: SlackSimulator) -> None:
    slack.add_channel("C01EMPTY", "empty")
    assert await members(settings(slack), "C01EMPTY") == ()


async def test_a_public_channel_is_read_though_the_bot_is_not_in_it(slack: SlackSimulator) -> None:
    slack.add_channel("C01AWAY", "away", members=["U01EVE"], with_bot=False)
    assert await members(settings(slack), "C01AWAY") == ("T0SIMULATED/U01EVE",)


async def test_pages_are_followed_to_the_last(slack: SlackSimulator) -> None:
    people = [f"U{number:05}" for number in range(2 * memberships.PAGE)]
    slack.add_channel("C01BIG", "everybody", members=people)
    found = await members(settings(slack), "C01BIG")
    assert found == tuple(f"T0SIMULATED/{person}" for person in people)
    asked = [call.params for call in slack.calls if call.method == METHOD]
    assert [page.get("limit") for page in asked] == [str(memberships.PAGE)] * 3
    assert [page.get("cursor") for page in asked] == [None, "999", "1998"]


async def test_whom_two_pages_name_is_told_once_and_the_order_is_not_slacks(slack: SlackSimulator) -> None:
    """Else each answer of another order would look like a change."""
    page = {"ok": True, "members": ["U01EVE", "U01CY"], "response_metadata": {"next_cursor": "0"}}
    slack.faults.add(Fault(method=METHOD, body=page))
    found = await members(settings(slack), OPEN)
    assert found == ("T0SIMULATED/U01ANA", "T0SIMULATED/U01CY", "T0SIMULATED/U01EVE")


async def test_a_list_without_an_end_is_no_list(slack: SlackSimulator) -> None:
    page = {"ok": True, "members": ["U01ANA"], "response_metadata": {"next_cursor": "more"}}
    slack.faults.add(Fault(method=METHOD, body=page, times=None))
    assert str(await refusal(settings(slack))) == "Slack's list of users does not end within 20 pages."


async def test_a_page_that_fails_leaves_no_half_of_a_list(slack: SlackSimulator) -> None:
    page = {"ok": True, "members": ["U01ANA"], "response_metadata": {"next_cursor": "2"}}
    slack.faults.add(Fault(method=METHOD, body=page))
    slack.faults.add(Fault(method=METHOD, body={"ok": False, "error": "invalid_cursor"}))
    assert str(await refusal(settings(slack))) == "Slack refuses it (invalid_cursor)."


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(status=503), "Slack refuses it (service_unavailable)."),
        (Fault(cut=True, times=None), "Slack could not be reached (ServerDisconnectedError)."),
        (Fault(body={"ok": True}), "Slack's answer holds no list of users."),
        (Fault(body={"ok": True, "members": [None]}), "Slack's answer holds no list of users."),
        (
            Fault(body={"ok": False, "error": "fetch_members_failed"}),
            "Slack refuses it (fetch_members_failed): Slack could not read its own list.",
        ),
        (
            Fault(body={"ok": False, "error": "not_in_channel"}),
            "Slack refuses it (not_in_channel): invite the app to the channel.",
        ),
        (
            Fault(body={"ok": False, "error": "method_not_supported_for_channel_type"}),
            "Slack refuses it (method_not_supported_for_channel_type): it is no channel, public or private.",
        ),
    ],
)
async def test_a_trouble_is_one_sentence(slack: SlackSimulator, fault: Fault, sentence: str) -> None:
    fault.method = METHOD
    slack.faults.add(fault)
    assert str(await refusal(settings(slack))) == sentence


async def test_a_pause_that_slack_asks_for_is_told(slack: SlackSimulator) -> None:
    slack.faults.add(Fault(method=METHOD, status=429, headers={"Retry-After": "77"}))
    assert (await refusal(settings(slack))).retry_after == timedelta(seconds=77)


async def test_a_channel_that_the_bot_does_not_see_is_not_an_empty_one(slack: SlackSimulator) -> None:
    sentence = (
        "Slack refuses it (channel_not_found): there is no such channel, or it is private and the app is "
        "not in it."
    )
    assert str(await refusal(settings(slack), "C0NONE")) == sentence
    slack.channel(CLOSED).members.remove(slack.bot_user.id)
    assert str(await refusal(settings(slack), CLOSED)) == sentence


@pytest.mark.parametrize(("channel", "scope"), [(OPEN, "channels:read"), (CLOSED, "groups:read")])
async def test_without_the_scope_of_its_kind_the_sentence_says_which(channel: str, scope: str) -> None:
    async with SlackSimulator(bot_scopes=BOT_SCOPES - {scope}) as slack:
        slack.add_channel(channel, "release", is_private=channel == CLOSED)
        assert str(await refusal(settings(slack), channel)) == (
            "Slack refuses it (missing_scope): the app lacks the scope channels:read, or groups:read for a "
            "private channel; add it and install the app again."
        )


@pytest.mark.parametrize("http", [False, True])
async def test_slack_tells_that_people_came_to_a_channel_and_left_it(
    slack: SlackSimulator, world: World, service: Service, http: bool
) -> None:
    slack.add_channel("C01AWAY", "away", with_bot=False)
    async with slack_house.memberships_heard(slack, world, service, http=http) as heard:
        await slack.join_channel(OPEN, user="U01SAM", inviter="U01ANA")
        assert heard == [OPEN]
        await slack.leave_channel(CLOSED, user="U01ANA")
        assert heard == [OPEN, CLOSED]
        await slack.join_channel("C01AWAY", user="U01SAM")
        assert heard == [OPEN, CLOSED], "of a channel that the app is not in, Slack tells it nothing"
