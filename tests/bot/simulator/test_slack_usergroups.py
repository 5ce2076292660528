"""The simulated usergroups.*, called by the real slack_sdk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.method import BOT_SCOPES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LEGAL = "S01LEGAL"


@pytest.fixture
async def slack() -> AsyncIterator[SlackSimulator]:
    async with SlackSimulator(now=lambda: 1_700_000_000.0, events=()) as simulator:
        simulator.add_usergroup(LEGAL, "legal", users=["U01ANA", "U02BEN"])
        yield simulator


@pytest.fixture
def client(slack: SlackSimulator) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


async def refusal(call: Any) -> SlackApiError:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value


async def test_who_is_in_a_user_group_comes_all_at_once(client: AsyncWebClient) -> None:
    answer = await client.usergroups_users_list(usergroup=LEGAL)
    assert answer.data == {"ok": True, "users": ["U01ANA", "U02BEN"]}
    assert answer.headers["x-accepted-oauth-scopes"] == "usergroups:read"


async def test_a_disabled_user_group_is_there_on_demand_only(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    await slack.change_usergroup(LEGAL, is_disabled=True)
    gone = await refusal(client.usergroups_users_list(usergroup=LEGAL))
    assert gone.response["error"] == "no_such_subteam"
    found = await client.usergroups_users_list(usergroup=LEGAL, include_disabled=True)
    assert found["users"] == ["U01ANA", "U02BEN"]
    assert (await client.usergroups_list())["usergroups"] == []
    (listed,) = (await client.usergroups_list(include_disabled=True))["usergroups"]
    assert (listed["id"], listed["date_delete"]) == (LEGAL, 1_700_000_000)


async def test_the_list_tells_users_and_their_number_on_demand(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    (plain,) = (await client.usergroups_list())["usergroups"]
    assert (plain["handle"], plain["team_id"]) == ("legal", slack.team_id)
    assert "users" not in plain
    assert "user_count" not in plain
    (full,) = (await client.usergroups_list(include_users=True, include_count=True))["usergroups"]
    assert (full["users"], full["user_count"]) == (["U01ANA", "U02BEN"], 2)


async def test_what_is_refused(client: AsyncWebClient) -> None:
    unknown = await refusal(client.usergroups_users_list(usergroup="S0NONE"))
    assert unknown.response["error"] == "no_such_subteam"
    nameless = await refusal(client.api_call("usergroups.users.list"))
    assert nameless.response["error"] == "invalid_arguments"


async def test_a_token_without_the_scope_is_told_which() -> None:
    scopes = BOT_SCOPES - {"usergroups:read"}
    async with SlackSimulator(bot_scopes=scopes) as slack:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        refused = await refusal(client.usergroups_users_list(usergroup=LEGAL))
    assert refused.response["error"] == "missing_scope"
    assert refused.response["needed"] == "usergroups:read"
    assert "chat:write" in refused.response["provided"]


async def test_the_pace_is_tier_2(slack: SlackSimulator, client: AsyncWebClient) -> None:
    slack.enforce_rate_limits = True
    for _ in range(20):
        await client.usergroups_users_list(usergroup=LEGAL)
    limited = await refusal(client.usergroups_users_list(usergroup=LEGAL))
    assert (limited.response["error"], limited.response.headers["Retry-After"]) == ("ratelimited", "3")
