"""The simulated conversations.members, called by the real slack_sdk, and who hears of its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.method import BOT_SCOPES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RELEASE = "C01RELEASE"


@pytest.fixture
async def slack() -> AsyncIterator[SlackSimulator]:
    async with SlackSimulator(now=lambda: 1_700_000_000.0, events=()) as simulator:
        for user, name in (("U01ANA", "Ana"), ("U02BEN", "Ben"), ("U03CY", "Cy")):
            simulator.add_user(user, name)
        simulator.add_channel(RELEASE, "release", members=["U02BEN", "U01ANA"])
        yield simulator


@pytest.fixture
def client(slack: SlackSimulator) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


async def refusal(call: Any) -> SlackApiError:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value


async def test_members_come_in_pages_and_the_bot_is_one(client: AsyncWebClient) -> None:
    first = await client.conversations_members(channel=RELEASE, limit=2)
    assert first["members"] == ["U01ANA", "U02BEN"]
    cursor = first["response_metadata"]["next_cursor"]
    rest = await client.conversations_members(channel=RELEASE, limit=2, cursor=cursor)
    assert (rest["members"], rest["response_metadata"]) == (["U0BOT"], {"next_cursor": ""})


async def test_what_is_refused(slack: SlackSimulator, client: AsyncWebClient) -> None:
    slack.add_channel("C02SECRET", "secret", is_private=True, with_bot=False)
    for channel in ("C0NONE", "C02SECRET"):
        unseen = await refusal(client.conversations_members(channel=channel))
        assert unseen.response["error"] == "channel_not_found"
    lost = await refusal(client.conversations_members(channel=RELEASE, cursor="nonsense"))
    assert lost.response["error"] == "invalid_cursor"


async def test_a_private_channel_takes_another_scope_than_a_public_one() -> None:
    async with SlackSimulator(bot_scopes=BOT_SCOPES - {"groups:read"}) as slack:
        slack.add_channel(RELEASE, "release")
        slack.add_channel("C02BOARD", "board", is_private=True)
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        assert (await client.conversations_members(channel=RELEASE))["members"] == ["U0BOT"]
        refused = await refusal(client.conversations_members(channel="C02BOARD"))
    assert (refused.response["error"], refused.response["needed"]) == ("missing_scope", "groups:read")


async def test_who_comes_and_goes_is_seen(slack: SlackSimulator, client: AsyncWebClient) -> None:
    await slack.join_channel(RELEASE, user="U03CY")
    await slack.leave_channel(RELEASE, user="U02BEN")
    found = await client.conversations_members(channel=RELEASE)
    assert found["members"] == ["U01ANA", "U03CY", "U0BOT"]


async def test_the_pace_is_tier_4(slack: SlackSimulator, client: AsyncWebClient) -> None:
    slack.enforce_rate_limits = True
    for _ in range(100):
        await client.conversations_members(channel=RELEASE)
    limited = await refusal(client.conversations_members(channel=RELEASE))
    assert limited.response["error"] == "ratelimited"
