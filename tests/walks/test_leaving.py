"""Reviewers are a Slack user group, a Slack channel or a chat in Telegram: who leaves it is refused."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.simulator.faults import Fault
from countersign.sources import REFRESH
from tests.walks.processes import serving
from tests.walks.rooms import SlackRoom
from tests.walks.runs import eventually
from tests.walks.town import (
    CONFIGURATION,
    GENERAL,
    GROUP,
    SLACK,
    TELEGRAM,
    platforms,
    town_of_groups,
)

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

    from core.store.database import Database
    from tests.walks.processes import Served
    from tests.walks.town import Platforms
    from tests.world import StoppedClock

LEGAL = -1009876543210

FROM_SLACK = CONFIGURATION.replace(
    '[policies.default]\nreviewers = ["ana", "ben", "sam"]',
    '[groups.legal]\nslack = "S01LEGAL"\n[policies.default]\nreviewers = ["legal"]',
)


async def waiting(served: Served, http: aiohttp.ClientSession) -> str:
    """A new task, once it waits."""
    url = f"{served.url}/v1/tasks"
    headers = served.headers("sam")
    async with http.post(url, json={"input": "hello"}, headers={**headers, "Prefer": "wait=30"}) as answer:
        task: str = (await answer.json())["task_id"]

    async def waits() -> bool:
        async with http.get(f"{url}/{task}", headers=headers) as answer:
            return bool((await answer.json())["status"] == "waiting_for_review")

    await eventually(waits)
    return task


async def logged(served: Served, event: str) -> None:
    async def look() -> bool:
        return f'"{event}"' in served.log.read_text()

    await eventually(look)


async def asked(chats: Platforms, method: str) -> None:
    """On a busy machine the start does not wait for the answer: who is in the group now may come later."""

    async def look() -> bool:
        return any(call.method == method for call in chats.slack.calls)

    await eventually(look)


async def one_is_left(served: Served) -> None:
    """In force, and not only that something changed: that may be the first answer."""

    async def look() -> bool:
        text = served.log.read_text()
        lines = [json.loads(line) for line in text.splitlines() if line[:1] + line[-1:] == "{}"]
        changes = [line["groups"] for line in lines if line["event"] == "group_members_changed"]
        return changes[-1:] == [{"legal": 1}]

    await eventually(look)


async def pressed(served: Served, http: aiohttp.ClientSession, task: str, person: str) -> tuple[int, Any]:
    async with http.post(
        f"{served.url}/v1/tasks/{task}/decisions",
        json={"verdict": "approve", "attempt": 1},
        headers=served.headers(person),
    ) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("by_http", [False, True])
async def test_who_leaves_a_slack_user_group_is_refused(tmp_path: Path, by_http: bool) -> None:
    async with platforms() as chats, aiohttp.ClientSession(trust_env=False) as http:
        chats.slack.add_usergroup("S01LEGAL", "legal", users=[SLACK["ana"], SLACK["ben"]])
        people = ["ana", "ben", "sam"]
        async with serving(
            tmp_path, chats, configuration=FROM_SLACK, people=people, slack_http=by_http
        ) as served:
            task = await waiting(served, http)
            await logged(served, "serving")
            await asked(chats, "usergroups.users.list")
            await chats.slack.change_usergroup("S01LEGAL", users=[SLACK["ben"]])
            await one_is_left(served)
            status, problem = await pressed(served, http, task, "ana")
            assert status == 403
            assert "not among the reviewers of this task any more" in problem["detail"]
            assert (await pressed(served, http, task, "ben"))[0] in {200, 201}
            assert served.complaints() == []
            assert await served.stop() == 0


@pytest.mark.parametrize("by_http", [False, True])
async def test_who_leaves_a_slack_channel_is_refused(tmp_path: Path, by_http: bool) -> None:
    """A real server, and a real button: the channel's other member approves with it."""
    async with platforms() as chats, aiohttp.ClientSession(trust_env=False) as http:
        chats.slack.add_channel("C01LEGAL", "legal", members=[SLACK["ana"], SLACK["ben"]], is_private=True)
        of_channel = FROM_SLACK.replace("S01LEGAL", "C01LEGAL")
        async with serving(
            tmp_path, chats, configuration=of_channel, people=["ana", "sam"], slack_http=by_http
        ) as served:
            await waiting(served, http)
            await logged(served, "serving")
            room = SlackRoom(chats.slack, GENERAL, SLACK)
            card = await room.card("hello")
            await asked(chats, "conversations.members")
            await chats.slack.leave_channel("C01LEGAL", user=SLACK["ana"])
            await one_is_left(served)
            assert "not among the reviewers of this task any more" in await room.refusal(
                card, "Approve", "ana"
            )
            await room.approve(card, "ben")
            assert "Ben Okri" in await room.until_it_says(card, "Approved")
            assert served.complaints() == []
            assert await served.stop() == 0


FROM_TELEGRAM = CONFIGURATION.replace(
    '[policies.default]\nreviewers = ["ana", "ben", "sam"]',
    f'[groups.legal]\ntelegram = {LEGAL}\n[policies.default]\nreviewers = ["legal"]',
)


@pytest.mark.parametrize("by_webhook", [False, True])
async def test_who_leaves_a_chat_in_telegram_is_refused_after_the_next_refresh(
    sqlite_database: Database, clock: StoppedClock, by_webhook: bool
) -> None:
    async with platforms(groups=(GROUP, LEGAL)) as chats:
        chats.telegram.leave(LEGAL, TELEGRAM["sam"])
        async with town_of_groups(
            chats, sqlite_database, clock, configuration=FROM_TELEGRAM, telegram_webhook=by_webhook
        ) as there:
            sam = await there.browser("sam")
            await sam.submit("hello world")
            card = await there.telegram.card("hello world")
            chats.telegram.leave(LEGAL, TELEGRAM["ana"])
            with capture_logs() as lines:
                clock.advance(REFRESH)
                await eventually(lambda: _said(lines, "group_members_changed"))
            refusal = await there.telegram.refusal(card, "Approve", "ana")
            assert "not among the reviewers of this task any more" in refusal
            await there.telegram.approve(card, "ben")
            assert "Ben Okri" in await there.telegram.until_it_says(card, "Approved")


async def test_who_comes_to_a_chat_in_telegram_approves_after_the_next_refresh(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with platforms(groups=(GROUP, LEGAL)) as chats:
        for person in ("ana", "ben", "sam"):
            chats.telegram.leave(LEGAL, TELEGRAM[person])
        async with town_of_groups(chats, sqlite_database, clock, configuration=FROM_TELEGRAM) as there:
            sam = await there.browser("sam")
            await sam.submit("hello world")
            card = await there.telegram.card("hello world")
            assert "reviewers" in await there.telegram.refusal(card, "Approve", "ana")
            chats.telegram.join(LEGAL, TELEGRAM["ana"])
            with capture_logs() as lines:
                clock.advance(REFRESH)
                await eventually(lambda: _said(lines, "group_members_changed"))
            await there.telegram.approve(card, "ana")
            assert "Ana Ruiz" in await there.telegram.until_it_says(card, "Approved")


async def _said(lines: list[MutableMapping[str, Any]], event: str) -> bool:
    return any(line["event"] == event for line in lines)


async def test_a_source_that_hangs_holds_up_neither_the_start_nor_the_stop(tmp_path: Path) -> None:
    async with platforms() as chats, aiohttp.ClientSession(trust_env=False) as http:
        chats.slack.add_usergroup("S01LEGAL", "legal", users=[SLACK["ana"]])
        chats.slack.faults.add(Fault(method="usergroups.users.list", delay=60.0, times=None))
        began = time.monotonic()
        async with serving(tmp_path, chats, configuration=FROM_SLACK, people=["ana", "sam"]) as served:
            assert time.monotonic() - began < 50
            task = await waiting(served, http)
            status, problem = await pressed(served, http, task, "ana")
            assert status == 403
            assert "Nobody can decide on it now." in problem["detail"]
            assert served.complaints() == []
            assert await served.stop() == 0
