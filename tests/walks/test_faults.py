"""What fails outside: everybody else goes on, nothing false is said, and all is right in the end."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import aiohttp
import pytest

from bot.simulator.faults import Fault
from bot.simulator.slack_socket import Reason
from core.store.database import SQLite
from core.store.database import database as database_at
from tests.walks.browsers import Browser
from tests.walks.processes import serving
from tests.walks.rooms import TelegramRoom, label_of_input
from tests.walks.runs import eventually
from tests.walks.town import CONFIGURATION, GENERAL, GROUP, SLACK, TELEGRAM, platforms, town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from bot.simulator.faults import Call, Faults
    from bot.simulator.slack import Message as SlackMessage
    from core.store.database import Database
    from tests.walks.browsers import Reply
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


@pytest.fixture
async def by_socket(chats: Platforms, sqlite_database: Database) -> AsyncIterator[Town]:
    async with town(chats, sqlite_database) as started:
        yield started


# a chat that fails


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
    """A task, and the copy of its card whose post was never answered."""
    room = there.room(chat)
    faults_of(there, chat).add(Fault(method=POST[chat], cut=True, after_acting=True))
    task = await browser.submit(TEXT)
    unknown = await room.card(TEXT)
    await eventually(lambda: has_cards(room, 2))
    return task, unknown


async def has_cards(room: Room, count: int) -> bool:
    return len(room.cards(TEXT)) >= count


# the line to the chat


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
    await slack.until(lambda: len(connections_asked_for(there)) > opened, within=20)
    await slack.connected(within=20)
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
    await slack.until(lambda: slack.open_views(SLACK["ana"]), within=20)
    (dialog,) = slack.open_views(SLACK["ana"])
    await slack.connected(within=20)
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
        await telegram.until(lambda: not telegram.updates.pending, timeout=20)
        await served.kill()
        assert not tap.answered
        await served.start()
        await tap.wait(20)
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
        await tap.wait(20)
        assert tap.answered
    for answer in await asyncio.gather(*presses):
        assert answer.ok
        assert all(each.ok for each in answer.duplicates)
    telegram.updates.repeat()
    await sam.ended(task)
    kinds = [message.name for message in await sam.history(task)]
    assert kinds[3:] == ["decision_recorded", "review_approved", "task_completed"]
    await there.telegram.until_it_says(card, "Approved by ")
    await there.slack.until_it_says(in_slack, "Approved by ")


# the database


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Another program holds the file."""
    other = sqlite3.connect(str(database.url.database), isolation_level=None, timeout=10)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


class SmallDisk(SQLite):
    """A file that cannot grow while `fill` holds: SQLite then says that the disk is full."""

    def __init__(self, like: Database) -> None:
        super().__init__(like.url)
        self.most_pages = 0
        self._open: list[sqlite3.Connection] = []

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = super().connect(read_only=read_only)
        self._open.append(connection)
        self._limit(connection)
        return connection

    def fill(self) -> None:
        self._set(1)  # SQLite takes the present size where that is more

    def empty(self) -> None:
        self._set(4_294_967_294)

    def _set(self, pages: int) -> None:
        self.most_pages = pages
        for connection in self._open:
            try:
                self._limit(connection)
            except sqlite3.ProgrammingError:
                continue  # closed meanwhile

    def _limit(self, connection: sqlite3.Connection) -> None:
        if self.most_pages:
            connection.execute(f"PRAGMA max_page_count = {self.most_pages}")


def is_honest_refusal(reply: Reply) -> bool:
    return (
        reply.status == 503
        and int(reply.headers["Retry-After"]) >= 1
        and reply.headers["Content-Type"].startswith("application/problem+json")
        and "nothing was changed" in reply.json["detail"]
    )


async def test_a_locked_file_is_never_answered_falsely_and_comes_back_by_itself(
    there: Town, sqlite_database: Database
) -> None:
    sam, ana = await there.browser("sam"), await there.browser("ana")
    one, two = await sam.submit("The first text"), await sam.submit("The second text")
    in_slack, in_telegram = await there.slack.card("first"), await there.telegram.card("second")
    await sam.waits(one)
    slack, telegram = there.chats.slack, there.chats.telegram
    with locked(sqlite_database):
        press = asyncio.create_task(slack.press(in_slack, "Approve", user=SLACK["ana"]))
        tap = telegram.tap(in_telegram, "Approve", user=TELEGRAM["ben"])
        replies = await asyncio.gather(
            sam.post("/submit", {"data": TEXT}),
            ana.post(f"/feedback/{two}", {"feedback": "rejected"}),
            sam.get("/readyz"),
        )
        assert [is_honest_refusal(reply) for reply in replies] == [True] * 3, replies
        assert (await sam.get("/healthz")).status == 200
        assert (await sam.task(one))["status"] == "waiting_for_review"
        assert not (await press).ok
        await slack.until(lambda: slack.ephemerals(SLACK["ana"]), within=20)
        assert "This could not be recorded" in slack.ephemerals(SLACK["ana"])[0].text
        assert not tap.answered
    await eventually(lambda: is_ready(sam))
    assert (await sam.ended(two)).data[
        "outcome"
    ] == "approved"  # Telegram kept the press, and brings it again
    await there.slack.approve(in_slack, "ana")
    assert (await sam.ended(one)).data["outcome"] == "approved"
    assert len((await sam.get("/v1/tasks")).json["tasks"]) == 2
    await there.slack.until_it_says(in_slack, "Approved by Ana Ruiz")
    await there.telegram.until_it_says(in_telegram, "Approved by Ben Okri")


async def test_a_file_that_cannot_grow_is_never_answered_falsely_and_recovers_by_itself(
    chats: Platforms, sqlite_database: Database
) -> None:
    disk = SmallDisk(sqlite_database)
    async with town(chats, disk) as there:
        sam, ana = await there.browser("sam"), await there.browser("ana")
        task = await sam.submit(TEXT)
        card = await there.slack.card(TEXT)
        disk.fill()
        kept = await submitted_until_full(sam)
        comment = "no " * 900
        refused = await ana.post(f"/feedback/{task}", {"feedback": "rejected", "comment": comment})
        assert is_honest_refusal(refused), refused
        disk.empty()
        await goes_on(there, sam, task, card, kept)


async def goes_on(there: Town, browser: Browser, task: str, card: SlackMessage, kept: list[str]) -> None:
    """The card is decided, and every text that was taken is there; no other is."""
    await eventually(lambda: is_ready(browser))
    await there.slack.approve(card, "ana")
    assert (await browser.ended(task)).data["outcome"] == "approved"
    for other in kept:
        await browser.waits(other)
    assert len((await browser.get("/v1/tasks?limit=200")).json["tasks"]) == len(kept) + 1


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 4 MiB, where this user may mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("This user may not mount a small disk; the file that cannot grow is tested all the same.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_is_never_answered_falsely_and_recovers_by_itself(
    chats: Platforms, migrated_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        shutil.copy(migrated_file, disk / "countersign.db")
        async with town(chats, database_at(f"sqlite:///{disk / 'countersign.db'}")) as there:
            sam, ana = await there.browser("sam"), await there.browser("ana")
            task = await sam.submit(TEXT)
            card = await there.slack.card(TEXT)
            fill(disk / "rubbish")
            for _ in range(2):
                replies = await asyncio.gather(
                    sam.post("/submit", {"data": TEXT}),
                    ana.post(f"/feedback/{task}", {"feedback": "rejected"}),
                )
                assert [is_honest_refusal(reply) for reply in replies] == [True] * 2, replies
                assert is_honest_refusal(await sam.get("/readyz"))
            assert (await sam.get("/healthz")).status == 200
            assert (await sam.task(task))["status"] == "waiting_for_review"
            (disk / "rubbish").unlink()
            await goes_on(there, sam, task, card, [])


def fill(file: Path) -> None:
    """Until the disk takes not one byte more."""
    with file.open("wb", buffering=0) as rubbish, suppress(OSError):
        while rubbish.write(bytes(4096)):
            pass


async def submitted_until_full(browser: Browser) -> list[str]:
    """Ever shorter texts, each until it is refused; those that were taken."""
    kept: list[str] = []
    for size in (100_000, 10_000, 1_000, 100, 1):
        while (reply := await browser.post("/submit", {"data": "x" * size})).status == 202:
            kept.append(reply.json["task_id"])
        assert is_honest_refusal(reply), reply
    return kept


async def is_ready(browser: Browser) -> bool:
    return (await browser.get("/readyz")).status == 200
