"""Whole stories: submitted on the web, rejected in one chat, approved in the other, seen to the end."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from core.model import TaskId
from tests.walks.rooms import TelegramRoom
from tests.walks.town import TELEGRAM, town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.model import StoredEvent
    from core.store.database import Database
    from tests.walks.browsers import Browser, Message
    from tests.walks.town import Platforms, Town

TEXT = "Announce the new opening hours"
REASON = "Name the *holiday* <too>"
BUTTONS = ("Approve", "Reject…")
"""The first two of every open card."""
CHATS = ("slack", "telegram")
OTHER = {"slack": "telegram", "telegram": "slack"}


@pytest.mark.parametrize("first", CHATS)
@pytest.mark.parametrize("telegram", ["polling", "webhook"])
@pytest.mark.parametrize("slack", ["socket-mode", "http"])
async def test_a_text_is_rejected_in_one_chat_and_its_second_attempt_approved_in_the_other(
    chats: Platforms, sqlite_database: Database, slack: str, telegram: str, first: str
) -> None:
    async with town(
        chats, sqlite_database, slack_http=slack == "http", telegram_webhook=telegram == "webhook"
    ) as there:
        sam = await there.browser("sam")
        task = await sam.submit(TEXT)
        live = asyncio.create_task(sam.read(f"/stream/{task}"))
        rooms = [there.room(first), there.room(OTHER[first])]
        old = [await room.card(TEXT, "attempt 1 ·") for room in rooms]
        assert [room.now(card).labels[:2] for room, card in zip(rooms, old, strict=True)] == [BUTTONS] * 2

        await rooms[0].reject(old[0], "ana", REASON)
        new = [await room.card(TEXT, "attempt 2 ·", REASON) for room in rooms]
        for room, before, after in zip(rooms, old, new, strict=True):
            assert room.is_in_thread_of(after, before)
            await room.until_it_says(before, "superseded by attempt 2", "Rejected by Ana Ruiz")

        await rooms[1].approve(new[1], "ben")
        assert (await sam.ended(task)).data["outcome"] == "approved"
        minute = await approved_at(sam, task)
        for room, card in zip(rooms, new, strict=True):
            await room.until_it_says(card, f"Approved by Ben Okri, {minute} UTC")
            assert len(room.cards(TEXT)) == 2
        await seen_on_the_page(sam, task)
        await seen_in_the_interface(sam, task)
        await replayed_from_everywhere(sam, task, await live)


async def approved_at(browser: Browser, task: str) -> str:
    """The minute of the approval, as cards show it."""
    decisions = [m.data for m in await browser.history(task) if m.name == "decision_recorded"]
    assert [(d["verdict"], d["reviewer"], d["comment"]) for d in decisions] == [
        ("reject", "ana", REASON),
        ("approve", "ben", None),
    ]
    return str(decisions[-1]["at"])[:16].replace("T", " ")


async def seen_on_the_page(browser: Browser, task: str) -> None:
    page = await browser.page(f"/tasks/{task}")
    approved = "<strong>Approved</strong> by <bdi>Ben Okri</bdi>"
    for words in ("Final result", approved, "superseded by attempt 2"):
        assert words in page
    assert "Name the *holiday* &lt;too&gt;" in page
    assert 'class="decide"' not in page


async def seen_in_the_interface(browser: Browser, task: str) -> None:
    found = await browser.task(task)
    assert (found["status"], found["outcome"], found["attempt"]) == ("completed", "approved", 2)
    assert found["final_result"] == found["draft"]
    assert found["final_result"].startswith(TEXT)
    assert REASON in found["final_result"]


async def replayed_from_everywhere(browser: Browser, task: str, live: list[Message]) -> None:
    """Three readers at once from every possible place read what the first reader read from there on."""
    assert [(m.data["status"], m.data.get("attempt")) for m in live] == [
        ("pending", None),
        ("running", 1),
        ("waiting_for_review", 1),
        ("running", 2),
        ("waiting_for_review", 2),
        ("completed", None),
    ]
    assert live[2].data["output_to_review"] != live[4].data["output_to_review"]
    named = await browser.history(task)
    assert [m.id for m in named] == list(range(1, live[-1].id + 1))
    for path, whole in ((f"/stream/{task}", live), (f"/v1/tasks/{task}/events", named)):
        for after in range(live[-1].id + 2):
            readers = await asyncio.gather(*(browser.read(path, after) for _ in range(3)))
            assert readers == [[m for m in whole if m.id > after]] * 3


async def test_a_page_where_one_decides_says_what_its_cards_say(there: Town) -> None:
    """Who rejected the attempt before, in their words, and each line that has changed since."""
    sam, ana = await there.browser("sam"), await there.browser("ana")
    task = await sam.submit(TEXT)
    await there.slack.reject(await there.slack.card(TEXT), "ana", REASON)
    said = ["Before this, rejected by Ana Ruiz", REASON, "Changed since attempt 1"]
    for room in there.rooms:
        await room.card(TEXT, "attempt 2 ·", *said)
    for path in (f"/tasks/{task}", "/inbox"):
        page = await ana.page(path)
        begin = page.index("Before this, rejected by")
        deciding = page[begin : page.index('class="decide"', begin)]
        lines = re.findall(r"<(?:ins|del)><span[^>]+>\w+: </span>(.*?)</(?:ins|del)>", deciding)
        assert lines
        text = " ".join(unescape(re.sub("<[^>]+>", "", deciding)).split())
        assert all(words in text for words in said)
        for room in there.rooms:
            assert room.cards("attempt 2 ·", *map(unescape, lines))
    await ana.decide(task, "approved")


async def test_a_decision_on_the_web_closes_the_cards_in_both_chats(there: Town) -> None:
    sam, ana = await there.browser("sam"), await there.browser("ana")
    task = await sam.submit(TEXT)
    cards = [await room.card(TEXT) for room in there.rooms]
    await ana.decide(task, "rejected", REASON)
    for room, card in zip(there.rooms, cards, strict=True):
        second = await room.card(TEXT, "attempt 2 ·", REASON)
        assert room.is_in_thread_of(second, card)
        await room.until_it_says(card, "superseded by attempt 2")
    await ana.decide(task, "approved")
    for room in there.rooms:
        await room.until_it_says(room.cards("attempt 2 ·")[0], "Approved by Ana Ruiz")


@pytest.mark.parametrize("chat", CHATS)
async def test_a_decision_in_a_chat_is_told_to_every_open_page(there: Town, chat: str) -> None:
    room = there.room(chat)
    sam, ana = await there.browser("sam"), await there.browser("ana")
    task = await sam.submit(TEXT)
    card = await room.card(TEXT)
    async with sam.stream(f"/stream/{task}") as first, ana.stream(f"/stream/{task}") as second:
        readers = [asyncio.create_task(until_attempt(messages, 2)) for messages in (first, second)]
        await room.reject(card, "ben", "shorter")
        for draft in await asyncio.gather(*readers):
            assert "shorter" in draft


async def until_attempt(messages: AsyncIterator[Message], attempt: int) -> str:
    """The draft of that attempt."""
    async for message in messages:
        if message.data["status"] == "waiting_for_review" and message.data["attempt"] == attempt:
            return str(message.data["output_to_review"])
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("chat", CHATS)
async def test_strangers_and_submitters_change_nothing_and_are_told_why_in_private(
    there: Town, chat: str
) -> None:
    room, other = there.room(chat), there.room(OTHER[chat])
    sam = await there.browser("sam")
    task = await sam.submit(TEXT)
    card = await room.card(TEXT)
    before = await stored(there, task)
    for label in BUTTONS:
        assert "nobody is listed under yours" in await room.refusal(card, label, "eve")
        assert "You submitted this task" in await room.refusal(card, label, "sam")
    assert await stored(there, task) == before
    assert room.now(card).labels[:2] == BUTTONS
    assert len(room.cards()) == len(other.cards()) == 1


@pytest.mark.parametrize("chat", CHATS)
async def test_stale_and_late_presses_change_nothing_and_are_told_why_in_private(
    there: Town, chat: str
) -> None:
    room = there.room(chat)
    sam, ana = await there.browser("sam"), await there.browser("ana")
    task = await sam.submit(TEXT)
    first = await room.card(TEXT)
    await ana.decide(task, "rejected", "once more")
    second = await room.card(TEXT, "attempt 2 ·")
    before = await stored(there, task)
    for label in BUTTONS:
        assert "attempt 2 has replaced it" in await room.refusal(first, label, "ben")
    assert await stored(there, task) == before
    assert room.now(second).labels[:2] == BUTTONS

    await ana.decide(task, "approved")
    await sam.ended(task)
    before = await stored(there, task)
    for label in BUTTONS:
        assert "Already approved by Ana Ruiz" in await room.refusal(second, label, "ben")
        assert "Already approved by Ana Ruiz" in await room.refusal(second, label, "ana")
    assert await stored(there, task) == before
    await room.until_it_says(second, "Approved by Ana Ruiz")


@pytest.mark.parametrize("first", CHATS)
async def test_two_approvals_are_those_of_two_people_whatever_chats_they_use(there: Town, first: str) -> None:
    one, other = there.room(first), there.room(OTHER[first])
    sam = await there.browser("sam")
    task = (await sam.post("/v1/tasks", {"input": TEXT, "flow": "two"})).json["task_id"]
    cards = {room.name: await room.card(TEXT, "0 of 2 approvals") for room in (one, other)}
    await one.approve(cards[one.name], "ana")
    for room in (one, other):
        assert (await room.card(TEXT, "1 of 2 approvals")).labels[:2] == BUTTONS
    again = await other.refusal(cards[other.name], "Approve", "ana")
    assert again == "You have already decided; the review waits for others."
    assert (await sam.task(task))["status"] == "waiting_for_review"
    await other.approve(cards[other.name], "ben")
    assert (await sam.ended(task)).data["outcome"] == "approved"
    for room in (one, other):
        await room.until_it_says(cards[room.name], "Approved by Ana Ruiz", "Approved by Ben Okri")


async def test_only_who_pressed_reject_in_telegram_can_answer_the_question(there: Town) -> None:
    room = there.telegram
    sam = await there.browser("sam")
    task = await sam.submit(TEXT)
    card = await room.card(TEXT)
    before = await stored(there, task)
    prompt = await room.ask_why(card, "ana")
    for label in prompt.labels:
        said = await room.telegram.press(prompt, label, user=TELEGRAM["ben"])
        assert (said.text, said.show_alert) == ("Only Ana Ruiz can answer this question.", True)
    await room.telegram.press(prompt, "Give a reason", user=TELEGRAM["ana"])
    question = await room.question()
    for person, words in (("ben", "Only Ana Ruiz can answer this question."), ("eve", "Only Ana Ruiz")):
        await room.telegram.say(room.chat, "not mine to say", user=TELEGRAM[person], reply_to=question)
        private = TelegramRoom(room.telegram, TELEGRAM[person], TELEGRAM)
        assert words in (await private.card(words)).text
    assert await stored(there, task) == before
    await room.telegram.say(room.chat, "mine to say", user=TELEGRAM["ana"], reply_to=question)
    assert (await sam.waits(task, attempt=2)).data["output_to_review"].endswith("“mine to say”")
    await room.telegram.until(lambda: not room.questions())


@pytest.mark.parametrize("chat", CHATS)
async def test_no_reason_is_an_answer_too(there: Town, chat: str) -> None:
    room = there.room(chat)
    sam = await there.browser("sam")
    task = await sam.submit(TEXT)
    await room.reject(await room.card(TEXT), "ana", None)
    assert "no reason was given" in (await sam.waits(task, attempt=2)).data["output_to_review"]
    decision = (await sam.until_named(task, "decision_recorded"))[-1].data
    assert (decision["verdict"], decision["comment"], decision["via"]) == ("reject", None, chat)


async def stored(there: Town, task: str) -> list[StoredEvent]:
    """The whole history."""
    return list(await there.house.store.events(TaskId(task), 0))
