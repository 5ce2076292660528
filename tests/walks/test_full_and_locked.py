"""A database that takes nothing: nobody is told anything false, and it recovers by itself."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from typing import TYPE_CHECKING

from core.store.database import database as database_at
from core.store.sqlite import SQLite
from tests.disks import small_disk
from tests.walks.filling import fill
from tests.walks.runs import eventually
from tests.walks.town import SLACK, TELEGRAM, town
from tests.world import locked

if TYPE_CHECKING:
    from pathlib import Path

    from bot.simulator.slack import Message as SlackMessage
    from core.store.database import Database
    from tests.walks.browsers import Browser, Reply
    from tests.walks.town import Platforms, Town

TEXT = "Announce the new opening hours"


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
    with locked(sqlite_database.url.database):
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
        await press  # on a slow machine Slack is answered before the file is given up
        await slack.until(lambda: slack.ephemerals(SLACK["ana"]))
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


async def test_a_full_disk_is_never_answered_falsely_and_recovers_by_itself(
    chats: Platforms, migrated_file: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "4m", unseen="a full disk; a file that cannot grow is seen all the same."):
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
