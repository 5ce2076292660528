"""A real `countersign serve` that can be killed and started again, talking to simulators in this process."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from core.clock import SystemClock
from core.model import PersonId
from core.store.database import database as database_at
from core.store.schema import migrate
from core.store.sql import SqlStore
from tests.bench.server import environment, free_port
from tests.walks.town import TELEGRAM_SECRET, WEBHOOK_SECRET
from web.auth import new_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from tests.walks.town import Platforms

START_SECONDS = 60.0
STOP_SECONDS = 15.0


class Served:
    """One folder, one port, one process at a time."""

    command: tuple[str, ...] = ("-m", "countersign", "serve")
    """What Python is to run."""

    def __init__(self, folder: Path, port: int, env: dict[str, str], tokens: dict[str, str]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.tokens = tokens
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    async def start(self) -> None:
        """Returns when it is ready for work."""
        self._process = self._begun()
        end = time.monotonic() + START_SECONDS
        async with aiohttp.ClientSession(trust_env=False) as http:
            while not await self._is_ready(http):
                assert self._process.poll() is None, self.log.read_text()[-3000:]
                assert time.monotonic() < end, self.log.read_text()[-3000:]
                await asyncio.sleep(0.01)  # nobody tells when another process has begun to listen

    def _begun(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *self.command],
                cwd=self.folder,
                env=self._env,
                stdout=log,
                stderr=log,
            )

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"{self.url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    @property
    def has_begun(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL: nothing is said, saved or closed."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        return await asyncio.to_thread(process.wait, STOP_SECONDS)

    def headers(self, person: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[person]}"}

    def complaints(self) -> list[dict[str, Any]]:
        """Everything that was logged as an error."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        said: list[dict[str, Any]] = []
        for line in lines:
            try:
                said.append(json.loads(line))
            except ValueError:
                continue  # cut off by a kill
        return [fact for fact in said if fact["level"] in {"error", "critical"}]


@asynccontextmanager
async def serving(
    folder: Path,
    chats: Platforms,
    *,
    configuration: str,
    people: Iterable[str],
    slack_http: bool = False,
    telegram_webhook: bool = False,
) -> AsyncIterator[Served]:
    """Started on entry, gone on exit, whatever happened in between; `people` hold tokens."""
    (folder / "countersign.toml").write_text(configuration)
    tokens = await _tokens(folder, people)
    port = free_port()
    env = _environment(port, chats, slack_http=slack_http, telegram_webhook=telegram_webhook)
    chats.slack.request_url = f"http://127.0.0.1:{port}/slack/events" if slack_http else None
    served = Served(folder, port, env, tokens)
    try:
        await served.start()
        yield served
    finally:
        if served._process is not None:
            await served.kill()


async def _tokens(folder: Path, people: Iterable[str]) -> dict[str, str]:
    """As `countersign link` makes them, without a process for each."""
    database = database_at(f"sqlite:///{folder / 'countersign.db'}")
    migrate(database)
    clock = SystemClock()
    tokens: dict[str, str] = {}
    async with SqlStore(database, clock) as store:
        for person in people:
            tokens[person], credential = new_token(PersonId(person), clock.now())
            await store.add_credential(credential)
    return tokens


def _environment(port: int, chats: Platforms, *, slack_http: bool, telegram_webhook: bool) -> dict[str, str]:
    slack, telegram = chats.slack, chats.telegram
    socket_mode = {} if slack_http else {"SLACK_APP_TOKEN": slack.app_token}
    webhook = {"COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET": TELEGRAM_SECRET} if telegram_webhook else {}
    return environment(
        port,
        SLACK_BOT_TOKEN=slack.bot_token,
        SLACK_SIGNING_SECRET=slack.signing_secret,
        COUNTERSIGN_SLACK_API_URL=slack.api_url,
        TELEGRAM_BOT_TOKEN=telegram.token,
        COUNTERSIGN_TELEGRAM_API_URL=telegram.api_url,
        COUNTERSIGN_TELEGRAM_FILE_URL=telegram.file_url,
        COUNTERSIGN_WEBHOOK_SECRET=WEBHOOK_SECRET,
        COUNTERSIGN_WEBHOOK_ALLOW="127.0.0.1",
        **socket_mode,
        **webhook,
    )
