"""A platform that fails: the web and the other chat go on, and every card is right in the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bot.simulator.faults import Fault
from tests.walks.runs import eventually
from tests.walks.town import CONFIGURATION, GENERAL, GROUP, platforms, town

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.simulator.faults import Faults
    from core.store.database import Database
    from tests.walks.browsers import Browser
    from tests.walks.rooms import Room
    from tests.walks.town import Platforms, Town

CHATS = ("slack", "telegram")
OTHER = {"slack": "telegram", "telegram": "slack"}
POST = {"slack": "chat.postMessage", "telegram": "sendMessage"}
EDIT = {"slack": "chat.update", "telegram": "editMessageText"}
FAULTS = {
    "asks for a pause": Fault(status=429, times=None),
    "breaks": Fault(status=502, times=None),
    "cuts the line": Fault(cut=True, times=None),
    "is slow": Fault(delay=2.0, times=None),
    "acts and cuts the line": Fault(cut=True, after_acting=True, times=None),
    "acts and breaks": Fault(status=502, after_acting=True, times=None),
}
TEXT = "Announce the new opening hours"


@pytest.mark.parametrize("chat", CHATS)
async def test_a_chat_that_fails_holds_up_nobody_and_is_right_in_the_end(
    new_database: Callable[[], Database], chat: str
) -> None:
    """Every fault, in a town of its own; side by side, because most of it is waiting."""
    async with asyncio.TaskGroup() as stories:
        for name, fault in FAULTS.items():
            stories.create_task(a_chat_that(new_database(), chat, name, fault))


async def a_chat_that(database: Database, chat: str, name: str, fault: Fault) -> None:
    async with platforms() as chats, town(chats, database) as there:
        try:
            await with_failing_posts(there, chat, fault)
            await with_failing_edits(there, chat, fault)
        except (AssertionError, TimeoutError) as error:
            error.add_note(f"{chat} {name}")
            raise


async def with_failing_posts(there: Town, chat: str, fault: Fault) -> None:
    """Nothing can be posted there, while one task is decided in the other chat and one on the web."""
    broken, other, faults = there.room(chat), there.room(OTHER[chat]), faults_of(there, chat)
    sam, ana = await there.browser("sam"), await there.browser("ana")
    faults.add(replace(fault, method=POST[chat]))
    one, two = await sam.submit("The first text"), await sam.submit("The second text")
    await other.approve(await other.card("first"), "ana")
    assert (await sam.ended(one)).data["outcome"] == "approved"
    await sam.waits(two)
    await ana.decide(two, "rejected", "once more")
    await other.card("second", "attempt 2 ·")
    faults.clear()
    await broken.until_it_says(await broken.card("first", "Approved by Ana Ruiz"))
    await broken.card("second", "attempt 2 ·")


async def with_failing_edits(there: Town, chat: str, fault: Fault) -> None:
    """Nothing can be changed there, and a press there counts all the same."""
    broken, other, faults = there.room(chat), there.room(OTHER[chat]), faults_of(there, chat)
    sam = await there.browser("sam")
    (task,) = [
        task["task_id"] for task in (await sam.get("/v1/tasks?status=waiting_for_review")).json["tasks"]
    ]
    card = broken.cards("second", "attempt 2 ·")[0]
    faults.add(replace(fault, method=EDIT[chat]))
    await broken.approve(card, "ben")
    assert (await sam.ended(task)).data["outcome"] == "approved"
    await other.until_it_says(other.cards("second", "attempt 2 ·")[0], "Approved by Ben Okri")
    faults.clear()
    await broken.until_it_says(card, "Approved by Ben Okri")
    await no_button_is_left(broken)
    await no_button_is_left(other)


async def no_button_is_left(room: Room) -> None:
    """A copy that nobody noted, because the answer to its post was lost, is closed by a press on it."""
    for card in room.cards():
        if room.now(card).labels:
            assert await room.refusal(card, "Approve", "ben")
    for card in room.cards():
        await room.until_it_says(card)


def faults_of(there: Town, chat: str) -> Faults:
    return there.chats.slack.faults if chat == "slack" else there.chats.telegram.faults


@pytest.mark.parametrize("chat", CHATS)
async def test_a_place_that_is_closed_to_us_is_named_on_the_page_and_the_task_goes_on(
    by_socket: Town, chat: str
) -> None:
    there = by_socket
    sam, ana = await there.browser("sam"), await there.browser("ana")
    close(there, chat)
    task = await sam.submit(TEXT)
    page = await eventually(lambda: page_saying(sam, task, f"Not delivered to {chat}"))
    assert {"slack": GENERAL, "telegram": str(GROUP)}[chat] in page
    assert "It will be tried again" not in page
    await ana.decide(task, "approved")
    assert (await sam.ended(task)).data["outcome"] == "approved"
    other = there.room(OTHER[chat])
    await other.until_it_says(await other.card(TEXT), "Approved by Ana Ruiz")


@pytest.mark.parametrize("chat", CHATS)
async def test_a_card_for_a_place_that_is_closed_to_us_goes_to_the_fallback_and_is_decided_there(
    chats: Platforms, sqlite_database: Database, chat: str
) -> None:
    places = {"slack": f'slack = ["{GENERAL}"]', "telegram": f"telegram = [{GROUP}]"}
    both = f"{places['slack']}\n{places['telegram']}\n"
    with_fallback = f"{places[chat]}\nfallback = {{ {places[OTHER[chat]]} }}\n"
    assert both in CONFIGURATION
    told = CONFIGURATION.replace(both, with_fallback)
    async with town(chats, sqlite_database, configuration=told) as there:
        sam, other = await there.browser("sam"), there.room(OTHER[chat])
        first = await sam.submit("While it is open")
        await there.room(chat).approve(await there.room(chat).card("While it is open"), "ana")
        assert (await sam.ended(first)).data["outcome"] == "approved"
        assert not other.cards("While it is open")
        assert not there.room(chat).cards("in place of")
        close(there, chat)
        task = await sam.submit(TEXT)
        card = await other.card(TEXT, "in place of a card that could not be shown elsewhere")
        page = await eventually(lambda: page_saying(sam, task, f"Not delivered to {chat}"))
        assert "The card went to the fallback." in page
        await sam.waits(task)
        await other.reject(card, "ana", "too long")
        second = await other.card(TEXT, "attempt 2 ·", "in place of a card")
        assert other.is_in_thread_of(second, card)
        await other.until_it_says(card, "superseded by attempt 2")
        await other.approve(second, "ana")
        assert (await sam.ended(task)).data["outcome"] == "approved"
        await other.until_it_says(second, "Approved by Ana Ruiz")


@pytest.mark.parametrize("code", ["restricted_action", "restricted_action_read_only_channel"])
async def test_where_slack_lets_nobody_like_us_post_the_card_goes_to_the_fallback_and_the_page_says_so(
    chats: Platforms, sqlite_database: Database, code: str
) -> None:
    """The channel is open, and the app is in it: who may post there is the workspace's to say."""
    both = f'slack = ["{GENERAL}"]\ntelegram = [{GROUP}]\n'
    assert both in CONFIGURATION
    with_fallback = f'slack = ["{GENERAL}"]\nfallback = {{ telegram = [{GROUP}] }}\n'
    chats.slack.faults.add(Fault(method=POST["slack"], body={"ok": False, "error": code}, times=None))
    async with town(
        chats, sqlite_database, configuration=CONFIGURATION.replace(both, with_fallback)
    ) as there:
        sam, group = await there.browser("sam"), there.room("telegram")
        task = await sam.submit(TEXT)
        card = await group.card(TEXT)
        page = await eventually(lambda: page_saying(sam, task, "Not delivered to slack"))
        assert f"Slack refused it ({code}): the workspace does not let apps post there." in page
        assert "The card went to the fallback." in page
        await sam.waits(task)
        await group.approve(card, "ana")
        assert (await sam.ended(task)).data["outcome"] == "approved"


@pytest.mark.parametrize("chat", CHATS)
async def test_a_card_left_behind_in_a_place_that_opens_again_is_closed_by_a_press(
    by_socket: Town, chat: str
) -> None:
    there = by_socket
    room = there.room(chat)
    sam, ana = await there.browser("sam"), await there.browser("ana")
    task = await sam.submit(TEXT)
    card = await room.card(TEXT)
    close(there, chat)
    await ana.decide(task, "approved")
    await eventually(lambda: page_saying(sam, task, f"Not delivered to {chat}"))
    assert room.now(card).labels
    open_again(there, chat)
    assert "Already approved by Ana Ruiz" in await room.refusal(card, "Approve", "ben")
    await room.until_it_says(card, "Approved by Ana Ruiz")


def close(there: Town, chat: str) -> None:
    if chat == "slack":
        there.chats.slack.channel(GENERAL).is_archived = True
    else:
        there.chats.telegram.kick_bot(GROUP)


def open_again(there: Town, chat: str) -> None:
    if chat == "slack":
        there.chats.slack.channel(GENERAL).is_archived = False
    else:
        there.chats.telegram.let_bot_in(GROUP)


async def page_saying(browser: Browser, task: str, words: str) -> str:
    page = await browser.page(f"/tasks/{task}")
    return page if words in page else ""


@pytest.mark.parametrize("reason", [None, "too long"])
@pytest.mark.parametrize("chat", CHATS)
async def test_a_rejection_on_a_copy_that_nobody_noted_closes_every_copy(
    by_socket: Town, chat: str, reason: str | None
) -> None:
    room = by_socket.room(chat)
    sam = await by_socket.browser("sam")
    task, unknown = await posted_twice(by_socket, chat, sam)
    await room.reject(unknown, "ana", reason)
    await sam.waits(task, attempt=2)
    for card in room.cards("attempt 1 ·"):
        await room.until_it_says(card, "superseded by attempt 2")


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
@pytest.mark.parametrize("chat", CHATS)
async def test_a_late_press_on_a_copy_that_nobody_noted_closes_it(
    by_socket: Town, chat: str, label: str
) -> None:
    room = by_socket.room(chat)
    sam, ana = await by_socket.browser("sam"), await by_socket.browser("ana")
    task, unknown = await posted_twice(by_socket, chat, sam)
    await ana.decide(task, "approved")
    await room.card("Approved by Ana Ruiz")
    assert room.now(unknown).labels
    assert "Already approved by Ana Ruiz" in await room.refusal(unknown, label, "ben")
    await room.until_it_says(unknown, "Approved by Ana Ruiz")


async def posted_twice(there: Town, chat: str, browser: Browser) -> tuple[str, Any]:
    """A task, and the copy of its card whose post was never answered; we may not look for it."""
    room = there.room(chat)
    refusal = {"ok": False, "error": "missing_scope"}
    faults_of(there, chat).add(Fault(method="conversations.history", body=refusal, times=None))
    faults_of(there, chat).add(Fault(method=POST[chat], cut=True, after_acting=True))
    task = await browser.submit(TEXT)
    unknown = await room.card(TEXT)
    await eventually(lambda: has_cards(room, 2))
    return task, unknown


async def has_cards(room: Room, count: int) -> bool:
    return len(room.cards(TEXT)) >= count
