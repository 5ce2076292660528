"""Lines to the platforms that break, and what comes twice, late, or while the process dies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args

import aiohttp
import pytest

from bot.simulator.faults import Fault
from bot.simulator.slack.socket import Reason
from tests.walks.browsers import Browser
from tests.walks.processes import serving
from tests.walks.rooms import TelegramRoom, label_of_input
from tests.walks.runs import eventually
from tests.walks.town import CONFIGURATION, GROUP, SLACK, TELEGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from bot.simulator.faults import Call, Faults
    from tests.walks.town import Platforms, Town

TEXT = "Announce the new opening hours"


@pytest.mark.parametrize("reason", [*get_args(Reason), None])
async def test_presses_are_heard_again_after_slack_ended_the_connection(
    by_socket: Town, reason: Reason | None
) -> None:
    there = by_socket
    slack = there.chats.slack
    sam = await there.browser("sam")
    await slack.connected()
    opened = len(connections_asked_for(there))
    if reason is None:
        slack.cut_connections()
    else:
        await slack.disconnect(reason)
    await slack.until(lambda: len(connections_asked_for(there)) > opened)
    await slack.connected()
    task = await sam.submit(TEXT)
    card = await there.slack.card(TEXT)
    await there.slack.approve(card, "ana")
    assert (await sam.ended(task)).data["outcome"] == "approved"
    await there.slack.until_it_says(card, "Approved by Ana Ruiz")


def connections_asked_for(there: Town) -> list[Call]:
    return [call for call in there.chats.slack.calls if call.method == "apps.connections.open"]


async def test_a_press_whose_connection_is_cut_before_its_answer_is_heard(by_socket: Town) -> None:
    there = by_socket
    slack = there.chats.slack
    sam = await there.browser("sam")
    task = await sam.submit(TEXT)
    card = await there.slack.card(TEXT)
    slack.faults.add(Fault(method="views.open", delay=1.0))
    press = asyncio.create_task(slack.press(card, "Reject…", user=SLACK["ana"]))
    await eventually(lambda: is_taken(slack.faults))
    slack.cut_connections()
    await slack.until(lambda: slack.open_views(SLACK["ana"]))
    (dialog,) = slack.open_views(SLACK["ana"])
    await slack.connected()
    values = {label_of_input(dialog.blocks): "too long"}
    assert (await slack.submit(dialog, values, user=SLACK["ana"])).ok
    assert "too long" in (await sam.waits(task, attempt=2)).data["output_to_review"]
    await press
    await there.slack.until_it_says(card, "superseded by attempt 2")


async def is_taken(faults: Faults) -> bool:
    """Whether the faulty call has come in."""
    return not faults.waiting


async def test_a_press_whose_answer_is_lost_counts_once(there: Town) -> None:
    slack = there.chats.slack
    sam = await there.browser("sam")
    task = await sam.submit(TEXT)
    card = await there.slack.card(TEXT)
    slack.deliveries.drop_ack = 1
    assert (await slack.press(card, "Approve", user=SLACK["ana"])).timed_out
    assert (await sam.ended(task)).data["outcome"] == "approved"
    assert "Already approved by Ana Ruiz" in await there.slack.refusal(card, "Approve", "ana")
    assert [m.name for m in await sam.history(task)].count("decision_recorded") == 1
    await there.slack.until_it_says(card, "Approved by Ana Ruiz")


@pytest.mark.parametrize("by_webhook", [False, True], ids=["polling", "webhook"])
async def test_a_press_that_telegram_considers_delivered_survives_a_kill(
    chats: Platforms, tmp_path: Path, by_webhook: bool
) -> None:
    telegram = chats.telegram
    room = TelegramRoom(telegram, GROUP, TELEGRAM)
    async with (
        serving(
            tmp_path, chats, configuration=CONFIGURATION, people=["sam"], telegram_webhook=by_webhook
        ) as served,
        aiohttp.ClientSession(trust_env=False) as http,
    ):
        sam = Browser(http, served.url, served.tokens["sam"], is_script=True)
        task = (await sam.post("/submit", {"data": TEXT})).json["task_id"]
        card = await room.card(TEXT)
        telegram.faults.add(Fault(method="sendMessage", contains="why do you reject", delay=60))
        tap = telegram.tap(card, "Reject…", user=TELEGRAM["ana"])
        await eventually(lambda: is_taken(telegram.faults))
        await telegram.until(lambda: not telegram.updates.pending)
        await served.kill()
        assert not tap.answered
        await served.start()
        await tap.wait(60)
        assert tap.answered
        prompt = next(message for message in room.questions() if message.reply_to == card.id)
        await telegram.press(prompt, "No reason", user=TELEGRAM["ana"])
        assert "no reason was given" in (await sam.waits(task, attempt=2)).data["output_to_review"]


async def test_updates_that_come_twice_or_in_the_wrong_order_are_decided_once(there: Town) -> None:
    sam = await there.browser("sam")
    task = await sam.submit(TEXT)
    card, in_slack = await there.telegram.card(TEXT), await there.slack.card(TEXT)
    telegram, slack = there.chats.telegram, there.chats.slack
    telegram.updates.duplicate = 10
    slack.deliveries.duplicate = 10
    telegram.updates.hold()
    slack.deliveries.hold()
    taps = [telegram.tap(card, "Approve", user=TELEGRAM[person]) for person in ("ana", "ben", "sam", "eve")]
    presses = [
        asyncio.create_task(slack.press(in_slack, "Approve", user=SLACK[person]))
        for person in ("ana", "ben", "sam", "eve")
    ]
    await slack.until(lambda: slack.deliveries.held == 4)
    telegram.updates.release(reverse=True)
    slack.deliveries.release(reverse=True)
    for tap in taps:
        await tap.wait(60)
        assert tap.answered
    for answer in await asyncio.gather(*presses):
        assert answer.ok
        assert all(each.ok for each in answer.duplicates)
    telegram.updates.repeat()
    await sam.ended(task)
    kinds = [message.name for message in await sam.history(task)]
    assert kinds[4:] == ["decision_recorded", "review_approved", "task_completed"]
    await there.telegram.until_it_says(card, "Approved by ")
    await there.slack.until_it_says(in_slack, "Approved by ")
