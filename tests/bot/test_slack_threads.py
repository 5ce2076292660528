"""What belongs in a task's thread, where Slack takes no replies to the message that began it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.simulator.faults import Fault
from core.model import DeliveryState, Verdict
from tests.bot import slack_fixtures
from tests.bot.slack_house import GENERAL, text_of, typed
from tests.world import ANA

if TYPE_CHECKING:
    from tests.bot.slack_house import SlackHouse

clock = slack_fixtures.clock
over_socket = slack_fixtures.over_socket

TAKES_NONE = (
    "cannot_reply_to_message",
    "restricted_action_thread_locked",
    "restricted_action_non_threadable_channel",
    "thread_not_found",
    "message_not_found",
)
"""Whoever deleted the first card, locked its thread, or allows no threads there."""


def no_replies(error: str, method: str = "chat.postMessage") -> Fault:
    return Fault(method=method, contains="thread_ts", body={"ok": False, "error": error}, times=None)


@pytest.mark.parametrize("error", TAKES_NONE)
async def test_the_next_attempts_card_stands_in_the_channel_where_no_thread_takes_it(
    over_socket: SlackHouse, error: str
) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    there.slack.faults.add(no_replies(error))
    first = await there.house.review(task)
    await there.house.service.decide(first.id, ANA.id, Verdict.REJECT, comment="no", via="web")
    second = await there.card_with("attempt 2 · submitted")
    assert second.thread_ts is None
    await there.slack.press(second, "Approve", user="U01ANA")
    await there.card_with("Approved by Ana Ruiz")
    assert await states(there, task.id) == {DeliveryState.SENT}


async def test_a_card_that_the_thread_refused_and_whose_answer_the_channel_lost_is_found_there(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    there.slack.faults.add(no_replies("restricted_action_thread_locked"))
    there.slack.faults.add(Fault(method="chat.postMessage", after_acting=True, cut=True))
    first = await there.house.review(task)
    await there.house.service.decide(first.id, ANA.id, Verdict.REJECT, comment="no", via="web")
    await there.house.review(task, 2)
    await there.house.quiet()
    there.house.clock.advance(minutes=1)
    assert await states(there, task.id) == {DeliveryState.SENT}
    (second,) = [seen for seen in there.slack.messages(GENERAL) if "attempt 2 · submitted" in text_of(seen)]
    assert second.thread_ts is None


async def test_a_thread_that_takes_nothing_is_asked_once(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    there.slack.faults.add(no_replies("thread_not_found"))
    for attempt in (1, 2):
        review = await there.house.review(task, attempt)
        before = there.transcript.count("chat.postMessage")
        await there.house.service.decide(review.id, ANA.id, Verdict.REJECT, comment="no", via="web")
        await there.card_with(f"attempt {attempt + 1} · submitted")
        assert there.transcript.count("chat.postMessage") == before + (2 if attempt == 1 else 1)


async def test_a_reminder_is_given_in_the_channel_where_no_thread_takes_it(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.house.submit(flow="timed")
    await there.card()
    there.slack.faults.add(no_replies("cannot_reply_to_message"))
    there.house.clock.advance(hours=1)
    assert (await there.card_with("Reminder for ")).thread_ts is None


async def test_a_channel_that_takes_nothing_is_asked_for_the_same_only_once(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    there.slack.faults.add(no_replies("is_archived"))
    before = there.transcript.count("chat.postMessage")
    first = await there.house.review(task)
    await there.house.service.decide(first.id, ANA.id, Verdict.REJECT, comment="no", via="web")
    await there.house.review(task, 2)
    await there.house.quiet()
    assert there.transcript.count("chat.postMessage") == before + 1
    assert DeliveryState.GIVEN_UP in await states(there, task.id)
    assert not [seen for seen in there.slack.messages(GENERAL) if "attempt 2" in text_of(seen)[:60]]


async def states(there: SlackHouse, task: str) -> set[DeliveryState]:
    await there.house.quiet()
    return {one.state for one in await there.house.service.deliveries(task)}


async def test_a_refusal_is_told_in_the_channel_where_no_thread_takes_it(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    first = await there.house.review(task)
    await there.house.service.decide(first.id, ANA.id, Verdict.REJECT, comment="no", via="web")
    second = await there.card_with("attempt 2 · submitted")
    there.slack.faults.add(no_replies("restricted_action_thread_locked", "chat.postEphemeral"))
    await there.slack.press(second, "Approve", user="U01SAM")
    await there.told("U01SAM")


async def test_a_mention_is_answered_in_the_channel_where_no_thread_takes_it(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.house.submit()
    card = await there.card()
    there.slack.faults.add(no_replies("restricted_action_thread_locked", "chat.postEphemeral"))
    words = f"<@{there.slack.bot_user.id}> pending"
    await there.slack.say(GENERAL, words, user="U01ANA", thread_ts=card.ts)
    assert await there.told("U01ANA") == "One review waits for you:"


async def test_the_link_to_a_card_that_stands_in_the_channel_leads_there(over_socket: SlackHouse) -> None:
    """And not to the thread in which it does not stand."""
    there = over_socket
    task = await there.house.submit()
    await there.card()
    there.slack.faults.add(no_replies("restricted_action_thread_locked"))
    first = await there.house.review(task)
    await there.house.service.decide(first.id, ANA.id, Verdict.REJECT, comment="no", via="web")
    second = await there.card_with("attempt 2 · submitted")
    listed = str((await typed(there, "pending")).blocks)
    assert f"/archives/{GENERAL}/p{second.ts.replace('.', '')}" in listed
    assert "thread_ts" not in listed
