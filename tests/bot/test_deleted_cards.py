"""The card of an open review that somebody deleted in the chat: at its next change it is posted anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.simulator.faults import Fault
from core.model import DeliveryState, Verdict
from tests.bot import slack_fixtures, telegram_fixtures
from tests.bot.slack_house import GENERAL, text_of
from tests.bot.telegram_house import ANA_ID, GROUP
from tests.world import ANA, BEN

if TYPE_CHECKING:
    from bot.simulator.slack import Message
    from core.model import Delivery, Task
    from tests.bot.house import House
    from tests.bot.slack_house import SlackHouse
    from tests.bot.telegram_house import TelegramHouse

clock, over_socket = slack_fixtures.clock, slack_fixtures.over_socket
polling = telegram_fixtures.polling


async def delete(there: SlackHouse, message: Message) -> None:
    client = AsyncWebClient(token=there.slack.bot_token, base_url=there.slack.api_url)
    await client.chat_delete(channel=GENERAL, ts=message.ts)


async def look(house: House, task: Task, attempt: int = 1) -> None:
    """A change of the card that decides nothing."""
    review = await house.review(task, attempt)
    await house.service.looking.claim(review.id, ANA.id, via="web")
    await settled(house)


async def settled(house: House) -> None:
    """All that is due was shown; in a group it may have to wait a little."""
    await house.quiet()
    house.clock.advance(minutes=2)
    await house.quiet()


async def card(house: House, task: Task, attempt: int = 1) -> Delivery:
    """The only one of that attempt."""
    review = await house.review(task, attempt)
    (found,) = [one for one in await house.service.deliveries(task.id) if one.review == review.id]
    return found


# Slack


async def test_in_slack_a_deleted_card_is_posted_anew_at_its_next_change(over_socket: SlackHouse) -> None:
    there, house = over_socket, over_socket.house
    task = await house.submit()
    await delete(there, await there.card())
    await settled(house)
    assert there.slack.messages(GENERAL) == (), "nobody tells us"
    await look(house, task)
    (anew,) = there.slack.messages(GENERAL)
    assert "Ana Ruiz is looking" in text_of(anew)
    await there.slack.press(anew, "Approve", user="U01ANA")
    assert (await there.card_with("Approved by Ana Ruiz")).ts == anew.ts
    await settled(house)
    assert len(there.slack.messages(GENERAL)) == 1
    assert (await card(house, task)).state is DeliveryState.SENT


async def test_in_slack_each_deletion_is_met_by_one_new_card(over_socket: SlackHouse) -> None:
    there, house = over_socket, over_socket.house
    task = await house.submit(flow="lenient")
    for _ in range(3):
        await settled(house)
        (shown,) = there.slack.messages(GENERAL)
        await delete(there, shown)
        await look(house, task)
    assert len(there.slack.messages(GENERAL, deleted=True)) == 4
    await delete(there, there.slack.messages(GENERAL)[0])
    await house.service.decide((await house.review(task)).id, ANA.id, Verdict.APPROVE, via="web")
    await settled(house)
    assert "1 of 2" in text_of(await there.card())


async def test_in_slack_the_next_attempts_card_is_posted_anew_in_its_thread(over_socket: SlackHouse) -> None:
    there, house = over_socket, over_socket.house
    task = await house.submit()
    first = await there.card()
    await house.service.decide((await house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    await delete(there, await there.card_with("attempt 2 · submitted"))
    await look(house, task, 2)
    assert (await there.card_with("attempt 2 · submitted")).thread_ts == first.ts


async def test_in_slack_nothing_is_posted_of_a_review_that_is_closed(over_socket: SlackHouse) -> None:
    there, house = over_socket, over_socket.house
    task = await house.submit()
    await delete(there, await there.card())
    await house.service.decide((await house.review(task)).id, ANA.id, Verdict.APPROVE, via="web")
    await settled(house)
    assert there.slack.messages(GENERAL) == ()
    assert (await card(house, task)).state is DeliveryState.GIVEN_UP


async def test_in_slack_a_place_that_takes_nothing_more_gets_no_new_card(over_socket: SlackHouse) -> None:
    there, house = over_socket, over_socket.house
    task = await house.submit()
    await delete(there, await there.card())
    archived = {"ok": False, "error": "is_archived"}
    there.slack.faults.add(Fault(method="chat.postMessage", body=archived, times=None))
    await look(house, task)
    given_up = await card(house, task)
    assert (given_up.state, "is_archived" in (given_up.error or "")) == (DeliveryState.GIVEN_UP, True)


@pytest.mark.parametrize("error", ["cant_update_message", "edit_window_closed"])
async def test_in_slack_a_card_that_stands_but_cannot_be_changed_is_not_posted_anew(
    over_socket: SlackHouse, error: str
) -> None:
    there, house = over_socket, over_socket.house
    task = await house.submit()
    await there.card()
    there.slack.faults.add(Fault(method="chat.update", body={"ok": False, "error": error}, times=None))
    await look(house, task)
    assert len(there.slack.messages(GENERAL)) == 1
    assert (await card(house, task)).state is DeliveryState.GIVEN_UP


async def test_in_slack_a_new_card_whose_answer_was_lost_is_found_and_posted_no_second_time(
    over_socket: SlackHouse,
) -> None:
    there, house = over_socket, over_socket.house
    task = await house.submit()
    await delete(there, await there.card())
    there.slack.faults.add(Fault(method="chat.postMessage", after_acting=True, cut=True))
    await look(house, task)
    (anew,) = there.slack.messages(GENERAL)
    assert (await card(house, task)).message == f"{GENERAL}/{anew.ts}"


# Telegram


async def test_in_telegram_a_deleted_card_is_posted_anew_at_its_next_change(polling: TelegramHouse) -> None:
    there, house = polling, polling.house
    task = await house.submit()
    there.telegram.delete(await there.card())
    await settled(house)
    assert there.ours() == [], "nobody tells us"
    await look(house, task)
    (anew,) = there.ours()
    assert "Ana Ruiz is looking" in anew.text
    await there.telegram.press(anew, "Approve", user=ANA_ID)
    assert (await there.card_with("Approved by Ana Ruiz")).id == anew.id
    await settled(house)
    assert len(there.ours()) == 1
    assert (await card(house, task)).state is DeliveryState.SENT


async def test_in_telegram_each_deletion_is_met_by_one_new_card(polling: TelegramHouse) -> None:
    there, house = polling, polling.house
    task = await house.submit(flow="lenient")
    for _ in range(3):
        await settled(house)
        (shown,) = there.ours()
        there.telegram.delete(shown)
        await look(house, task)
    assert len(there.telegram.messages(GROUP, deleted=True)) == 4
    there.telegram.delete(there.ours()[0])
    await house.service.decide((await house.review(task)).id, ANA.id, Verdict.APPROVE, via="web")
    await settled(house)
    assert "1 of 2" in (await there.card()).text


async def test_in_telegram_the_next_attempts_card_is_posted_anew_below_the_first(
    polling: TelegramHouse,
) -> None:
    there, house = polling, polling.house
    task = await house.submit()
    first = await there.card()
    await house.service.decide((await house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    await settled(house)
    there.telegram.delete(await there.card_with("attempt 2 · submitted"))
    await look(house, task, 2)
    assert (await there.card_with("attempt 2 · submitted")).reply_to == first.id


async def test_in_telegram_nothing_is_posted_of_a_review_that_is_closed(polling: TelegramHouse) -> None:
    there, house = polling, polling.house
    task = await house.submit()
    there.telegram.delete(await there.card())
    await house.service.decide((await house.review(task)).id, ANA.id, Verdict.APPROVE, via="web")
    await settled(house)
    assert there.ours() == []
    assert (await card(house, task)).state is DeliveryState.GIVEN_UP


async def test_in_telegram_a_place_that_takes_nothing_more_gets_no_new_card(polling: TelegramHouse) -> None:
    there, house = polling, polling.house
    task = await house.submit()
    there.telegram.delete(await there.card())
    kicked = {"ok": False, "error_code": 403, "description": "Forbidden: bot was kicked from the group chat"}
    there.telegram.faults.add(Fault(method="sendMessage", status=403, body=kicked, times=None))
    await look(house, task)
    given_up = await card(house, task)
    assert (given_up.state, "kicked" in (given_up.error or "")) == (DeliveryState.GIVEN_UP, True)


async def test_in_telegram_a_card_that_stands_but_cannot_be_changed_is_not_posted_anew(
    polling: TelegramHouse,
) -> None:
    there, house = polling, polling.house
    task = await house.submit()
    await there.card()
    refused = {"ok": False, "error_code": 400, "description": "Bad Request: message can't be edited"}
    there.telegram.faults.add(Fault(method="editMessageText", status=400, body=refused, times=None))
    await look(house, task)
    assert len(there.ours()) == 1
    assert (await card(house, task)).state is DeliveryState.GIVEN_UP
