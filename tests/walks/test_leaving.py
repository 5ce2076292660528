"""A real `countersign serve` whose reviewers are a Slack user group: who leaves it is refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bot.simulator.faults import Fault
from tests.walks.processes import serving
from tests.walks.runs import eventually
from tests.walks.town import CONFIGURATION, SLACK, platforms

if TYPE_CHECKING:
    from pathlib import Path

    from tests.walks.processes import Served

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
            await chats.slack.change_usergroup("S01LEGAL", users=[SLACK["ben"]])
            await logged(served, "group_members_changed")
            status, problem = await pressed(served, http, task, "ana")
            assert status == 403
            assert "not among the reviewers of this task any more" in problem["detail"]
            assert (await pressed(served, http, task, "ben"))[0] in {200, 201}
            assert served.complaints() == []
            assert await served.stop() == 0


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
            assert "Nobody can now." in problem["detail"]
            assert served.complaints() == []
            assert await served.stop() == 0
