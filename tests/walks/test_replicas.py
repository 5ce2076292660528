"""Real processes on one PostgreSQL database: served together, killed, replaced, configured otherwise."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from core.store.database import database
from core.store.schema import migrate
from tests.bench.server import CONFIGURATION, Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WITHIN = 45.0
"""Seconds after which the work of a killed replica has to have begun again."""
SLOW = """
import asyncio

async def draft(data, feedback=None, comment=None):
    await asyncio.sleep(SECONDS)
    return f"a draft of {data}"
"""


def configured(folder: Path, seconds: float = 0.0) -> str:
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW.replace("SECONDS", str(seconds)))
    return CONFIGURATION + '[flows.draft]\nprocessor = "python:slow:draft"\n'


@asynccontextmanager
async def replica(folder: Path, url: str, *, more: str = "", seconds: float = 0.0) -> AsyncIterator[Server]:
    text = configured(folder, seconds) + more
    async with serving(folder, config=text, COUNTERSIGN_DATABASE_URL=url) as server:
        yield server


async def call(server: Server, path: str, body: Any = None, *, person: str = "sam") -> Any:
    async with (
        aiohttp.ClientSession(trust_env=False) as http,
        http.request(
            "GET" if body is None else "POST",
            f"{server.url}{path}",
            json=body,
            headers=server.headers(person),
        ) as answer,
    ):
        assert answer.status < 300, (answer.status, await answer.text())
        return await answer.json()


async def until(server: Server, task: str, status: str, within: float) -> float:
    """Seconds until the task has it."""
    began = time.monotonic()
    while (await call(server, f"/v1/tasks/{task}"))["status"] != status:
        assert time.monotonic() - began < within
        await asyncio.sleep(0.05)  # another process's work, of which nobody tells this one
    return time.monotonic() - began


async def test_two_replicas_share_a_database_and_one_that_is_killed_is_replaced(
    tmp_path: Path, empty_postgres: Callable[[], str]
) -> None:
    url = empty_postgres()
    migrate(database(url))
    async with (
        replica(tmp_path / "a", url, seconds=60) as killed,
        replica(tmp_path / "b", url) as other,
    ):
        await call(other, "/v1/tasks", {"input": "elsewhere"})
        task = (await call(killed, "/v1/tasks", {"input": "x"}))["task_id"]
        await until(other, task, "running", 10)
        killed.popen.send_signal(signal.SIGKILL)
        took = await until(other, task, "waiting_for_review", WITHIN)
        assert took > 5, "nobody took it from a replica that had just lived"
        await call(other, f"/v1/tasks/{task}/decisions", {"verdict": "approve", "attempt": 1}, person="ana")
        await until(other, task, "completed", 10)


async def test_a_replica_that_stops_leaves_its_work_at_once_and_says_what_is_configured_otherwise(
    tmp_path: Path, empty_postgres: Callable[[], str]
) -> None:
    url = empty_postgres()
    migrate(database(url))
    async with (
        replica(tmp_path / "a", url, seconds=60) as stopped,
        replica(tmp_path / "b", url, more='[policies.more]\nreviewers = ["ana"]\n') as other,
    ):
        ready = await call(other, "/readyz")
        assert ready["status"] == "ready"
        assert ready["warnings"] == ["Another replica is configured otherwise: policies, web."]
        task = (await call(stopped, "/v1/tasks", {"input": "x"}))["task_id"]
        await until(other, task, "running", 10)
        stopped.popen.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(stopped.popen.wait, 15) == 0
        assert await until(other, task, "waiting_for_review", 10) < 5
        assert await call(other, "/readyz") == {"status": "ready"}
