"""What Slack's own rules would spoil: previews, threads, deleted messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from slack_sdk.web.async_client import AsyncWebClient
from structlog.testing import capture_logs

from bot.simulator.faults import Fault
from bot.slack.patience import LONGEST
from core.model import Verdict
from tests.bot import slack_fixtures
from tests.bot.slack_house import GENERAL
from tests.world import BEN, eventually

if TYPE_CHECKING:
    import pytest

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


async def test_a_private_word_that_slack_would_take_only_later_is_not_said(over_socket: SlackHouse) -> None:
    """By then whoever pressed looks at something else, or somebody else does."""
    there = over_socket
    await there.house.submit()
    card = await there.card()
    late = {"Retry-After": str(LONGEST + 1)}
    there.slack.faults.add(Fault(method="chat.postEphemeral", status=429, headers=late))
    with capture_logs() as logs:
        await there.slack.press(card, "Approve", user="U01EVE")

        async def is_given_up() -> bool:
            await there.house.store.counts()
            return "private_answer_lost" in [line["event"] for line in logs]

        await eventually(is_given_up)
    assert there.slack.ephemerals("U01EVE") == ()


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


async def test_a_dialog_that_slack_opens_too_slowly_does_not_hold_up_the_answer_to_its_press(
    over_socket: SlackHouse,
) -> None:
    """Slack waits 3 s for that, and then says that the app does not answer."""
    await over_socket.house.submit()
    over_socket.slack.faults.add(Fault(method="views.open", delay=4.0))
    assert (await over_socket.slack.press(await over_socket.card(), "Reject…", user="U01ANA")).ok
    assert "did not open the dialog" in await over_socket.told("U01ANA")


async def test_a_press_of_nothing_of_ours_is_refused_and_not_told_to_a_log(
    there: SlackHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """bolt warns of what nobody listens for, with parts of what it brought and code to be copied."""
    await there.house.submit()
    payload = there.slack.action_payload(await there.card(), "Approve", user="U01ANA")
    payload["actions"][0]["action_id"] = "of_another_release"
    with caplog.at_level(logging.INFO):
        assert not (await there.slack.deliver(payload)).ok
    assert "of_another_release" not in caplog.text
