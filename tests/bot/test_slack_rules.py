"""What Slack's own rules would spoil: previews, threads, deleted messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slack_sdk.web.async_client import AsyncWebClient

from core.model import Verdict
from tests.bot import slack_fixtures
from tests.bot.slack_house import GENERAL
from tests.world import BEN

if TYPE_CHECKING:
    from tests.bot.slack_house import SlackHouse

clock, there, over_socket = slack_fixtures.clock, slack_fixtures.there, slack_fixtures.over_socket


async def test_a_card_brings_no_preview_of_what_it_links_to(over_socket: SlackHouse) -> None:
    await over_socket.house.submit("see https://example.com/article")
    await over_socket.card()
    (call,) = [call for call in over_socket.slack.calls if call.method == "chat.postMessage"]
    assert [str(call.params[name]).lower() for name in ("unfurl_links", "unfurl_media")] == ["false"] * 2
    assert [str(call.params[name]).lower() for name in ("mrkdwn", "link_names")] == ["false"] * 2


async def test_a_refusal_stands_in_the_thread_of_the_card_that_was_pressed(there: SlackHouse) -> None:
    """The next attempt's card is a reply: at the end of the channel its readers would miss it."""
    task = await there.house.submit()
    first = await there.card()
    await there.slack.press(first, "Approve", user="U01EVE")
    await there.told("U01EVE")
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    await there.slack.press(await there.card(2), "Approve", user="U01EVE")
    await there.slack.until(lambda: len(there.slack.ephemerals("U01EVE")) == 2)
    assert [seen.thread_ts for seen in there.slack.ephemerals("U01EVE")] == [None, first.ts]


async def test_where_somebody_deleted_the_first_card_the_next_attempts_is_posted(there: SlackHouse) -> None:
    task = await there.house.submit()
    first = await there.card()
    await AsyncWebClient(token=there.slack.bot_token, base_url=there.slack.api_url).chat_delete(
        channel=GENERAL, ts=first.ts
    )
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    second = await there.card_with("attempt 2 · submitted")
    await there.slack.press(second, "Approve", user="U01ANA")
    assert (await there.card_with("Approved by Ana Ruiz")).ts == second.ts
