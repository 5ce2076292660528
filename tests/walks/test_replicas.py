"""Real processes on one PostgreSQL database: served together, killed, replaced, configured otherwise."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from core.store.database import database
from core.store.schema import HEAD, migrate
from countersign.alike import either, mend
from tests.bench.server import CONFIGURATION, Server, environment, free_port, serving
from tests.bot.telegram_house import simulated
from tests.contracts.conftest import on
from tests.walks.runs import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from core.store.database import Database

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
        task = (await call(stopped, "/v1/tasks", {"input": "x"}))["task_id"]
        await until(other, task, "running", 10)
        again = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "countersign", "migrate"],
            cwd=other.folder,
            env=environment(free_port(), COUNTERSIGN_DATABASE_URL=url),
            capture_output=True,
            check=False,
        )
        assert (again.returncode, again.stdout) == (0, f"database at revision {HEAD}\n".encode())
        assert (await call(other, f"/v1/tasks/{task}"))["status"] == "running", "beside those that serve"
        stopped.popen.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(stopped.popen.wait, 15) == 0
        assert await until(other, task, "waiting_for_review", 10) < 5
        assert await call(other, "/readyz") == {"status": "ready"}
    (told,) = [line for line in logged(other) if line["event"] == "replica_configured_otherwise"]
    assert told["other"].endswith(f":{stopped.popen.pid}")
    said = f"Set otherwise on {told['other']} than here ({told['replica']})"
    assert ready["warnings"] == [
        f"{said}: {either(section)}. {mend(section)}" for section in ("policies", "web")
    ]
    assert {line.get("replica") for line in logged(stopped)} == {told["other"]}
    assert {line.get("replica") for line in logged(other)} == {told["replica"]} != {told["other"]}


def logged(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


async def test_a_worker_takes_over_without_a_web_server_and_stops_in_time(
    tmp_path: Path, empty_postgres: Callable[[], str]
) -> None:
    url = empty_postgres()
    target = database(url)
    migrate(target)
    async with replica(tmp_path / "a", url, seconds=60) as stopped:
        task = (await call(stopped, "/v1/tasks", {"input": "x"}))["task_id"]
        await until(stopped, task, "running", 10)
        folder = tmp_path / "w"
        (folder / "countersign.toml").write_text(configured(folder))
        env = environment(free_port(), COUNTERSIGN_DATABASE_URL=url)
        with worker(folder, env) as popen:
            await eventually(lambda: asyncio.to_thread(replicas, target, 2))
            stopped.popen.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(stopped.popen.wait, 15) == 0
            await eventually(lambda: asyncio.to_thread(stands, target, task, "waiting_for_review"))
            began = time.monotonic()
            popen.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(popen.wait, 15) == 0
            assert time.monotonic() - began < 10
        await eventually(lambda: asyncio.to_thread(replicas, target, 0))


def replicas(target: Database, count: int) -> bool:
    return bool(on(target, "SELECT count(*) FROM replica") == [(count,)])


def stands(target: Database, task: str, status: str) -> bool:
    return bool(on(target, f"SELECT status FROM task WHERE id = '{task}'") == [(status,)])  # noqa: S608 - ours


@contextmanager
def worker(folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "worker.log").open("wb") as log:
        popen = subprocess.Popen(
            [sys.executable, "-m", "countersign", "worker"], cwd=folder, env=env, stdout=log, stderr=log
        )
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait()


async def test_a_worker_neither_sets_the_webhook_nor_polls(
    tmp_path: Path, empty_postgres: Callable[[], str]
) -> None:
    url = empty_postgres()
    migrate(database(url))
    folder = tmp_path / "w"
    (folder / "countersign.toml").write_text(configured(folder))
    async with simulated() as telegram:
        env = environment(
            free_port(),
            COUNTERSIGN_DATABASE_URL=url,
            TELEGRAM_BOT_TOKEN=telegram.token,
            COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET="a-secret",
            COUNTERSIGN_TELEGRAM_API_URL=telegram.api_url,
            COUNTERSIGN_TELEGRAM_FILE_URL=telegram.file_url,
        )
        with worker(folder, env) as popen:
            # The last that it asks of Telegram when it begins.
            await telegram.until(lambda: telegram.calls_of("getMyCommands"))
            popen.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(popen.wait, 15) == 0
        called = {call.method for call in telegram.calls}
        assert not called & {"setWebhook", "deleteWebhook", "getUpdates"}


def test_a_worker_of_a_sqlite_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "countersign", "worker"],
        cwd=tmp_path,
        env=environment(8080),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("countersign: COUNTERSIGN_DATABASE_URL: a worker shares a PostgreSQL")
    assert list(tmp_path.iterdir()) == []


def test_a_server_on_a_database_that_is_not_migrated_is_refused(
    tmp_path: Path, empty_postgres: Callable[[], str]
) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "countersign", "serve"],
        cwd=tmp_path,
        env=environment(free_port(), COUNTERSIGN_DATABASE_URL=empty_postgres()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.rstrip().endswith("run: countersign migrate.")
