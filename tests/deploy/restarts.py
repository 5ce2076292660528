"""Answers that callers miss while replicas behind a proxy are restarted in turn.

`python -m tests.deploy.restarts --drain 2s`: steady submissions and readings through the real nginx and Caddy
with our files, over kept-alive connections; prints what was not answered as usual, by its kind. Two replicas
stand on a PostgreSQL of their own, one alone on a SQLite file.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tests.bench.postgres import postgres
from tests.bench.server import CONFIGURATION, Server, environment, free_port, started, token, until_ready
from tests.deploy.proxies import NAME, PROXIES, PUBLIC, in_front_of, until_it_answers

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from tests.bench.postgres import Postgres

CLIENTS = 16
PAUSE = 0.04
"""Seconds between an answer and the same client's next request."""
BETWEEN = 3.0
"""Seconds between one restart's end and the next: longer than nginx leaves a replica alone that failed."""


class Replica:
    """One that can be restarted at its port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.env = environment(self.port, COUNTERSIGN_PUBLIC_URL=f"https://{NAME}", **settings)
        self._popen: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._popen = started(self.folder, self.env)
        await until_ready(Server(self.folder, self.port, {}, self._popen))

    async def stop(self) -> float:
        """Seconds from SIGTERM to its end."""
        assert self._popen is not None
        began = time.monotonic()
        self._popen.terminate()
        assert await asyncio.to_thread(self._popen.wait, 30) == 0
        return time.monotonic() - began


class Callers:
    """Submit a text, then read its page, over and over."""

    def __init__(self, url: str, bearer: str, *, pause: float = PAUSE) -> None:
        self._url = url
        self._pause = pause
        self._headers = PUBLIC | {"Authorization": f"Bearer {bearer}"}
        self.answers: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self.slowest = 0.0

    async def call(self, http: aiohttp.ClientSession) -> None:
        task = "none"
        while True:
            said = await self._asked(http, "POST", "/submit", {"data": "a text"})
            if said is not None:
                task = said["task_id"]
                self.acknowledged.append(task)
            await asyncio.sleep(self._pause)
            if task != "none":
                await self._asked(http, "GET", f"/tasks/{task}")
            await asyncio.sleep(self._pause)

    async def _asked(
        self, http: aiohttp.ClientSession, method: str, path: str, body: object = None
    ) -> dict[str, str] | None:
        began = time.monotonic()
        try:
            async with http.request(method, self._url + path, json=body, headers=self._headers) as answer:
                self.answers[f"{method} {answer.status}"] += 1
                await answer.read()
                return await answer.json() if answer.status == 202 else None
        except aiohttp.ClientError as error:
            self.answers[f"{method} {type(error).__name__}"] += 1
            return None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)

    async def lost(self, url: str) -> int:
        """How many acknowledged tasks are not there."""
        missing = 0
        async with aiohttp.ClientSession() as http:
            for task in self.acknowledged:
                async with http.get(f"{url}/v1/tasks/{task}", headers=self._headers) as answer:
                    missing += answer.status != 200
        return missing


async def measured(proxy: str, replicas: Sequence[Replica], restarts: int, folder: Path) -> str:
    """One line: what was asked, what was answered otherwise, how long a stop took."""
    for replica in replicas:
        await replica.start()
    try:
        bearer = token(replicas[0].folder, replicas[0].env, "sam")
        stops = []
        with in_front_of([replica.url for replica in replicas], proxy, folder) as url:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as http:
                await until_it_answers(http, url, folder)
                callers = Callers(url, bearer)
                tasks = [asyncio.create_task(callers.call(http)) for _ in range(CLIENTS)]
                for number in range(restarts):
                    await asyncio.sleep(BETWEEN)
                    replica = replicas[number % len(replicas)]
                    stops.append(await replica.stop())
                    await replica.start()
                await asyncio.sleep(BETWEEN)
                for task in tasks:
                    task.cancel()
                for ended in await asyncio.gather(*tasks, return_exceptions=True):
                    assert isinstance(ended, asyncio.CancelledError), ended
        lost = await callers.lost(replicas[0].url)
        usual = {"POST 202", "GET 200"}
        otherwise = {kind: n for kind, n in sorted(callers.answers.items()) if kind not in usual}
        return (
            f"{proxy}, {len(replicas)} replica(s), {restarts} restarts: {callers.answers.total()} asked, "
            f"otherwise {otherwise}, acknowledged {len(callers.acknowledged)}, lost {lost}, "
            f"slowest answer {callers.slowest:.1f} s, stops took {min(stops):.1f} to {max(stops):.1f} s"
        )
    finally:
        for replica in replicas:
            await replica.stop()


def configured(home: Path, name: str, count: int, database: Postgres, drain: str) -> list[Replica]:
    """So many replicas that are not started yet; one alone has a SQLite file."""
    settings = {"COUNTERSIGN_DRAIN": drain}
    if count > 1:
        settings["COUNTERSIGN_DATABASE_URL"] = database.migrated(name)
    made = []
    for number in range(count):
        place = home / f"{name}_{number}"
        place.mkdir()
        (place / "countersign.toml").write_text(CONFIGURATION)
        made.append(Replica(place, **settings))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drain", default="", help="COUNTERSIGN_DRAIN of the replicas")
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--proxy", choices=sorted(PROXIES), help="one instead of both")
    parser.add_argument("--replicas", type=int, choices=(1, 2), help="one number instead of both")
    options = parser.parse_args()
    with postgres() as database, tempfile.TemporaryDirectory(prefix="countersign-restarts-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # nginx gives its own rights up
        for proxy in [options.proxy] if options.proxy else sorted(PROXIES):
            for count in [options.replicas] if options.replicas else (2, 1):
                name = f"{proxy}{count}"
                replicas = configured(home, name, count, database, options.drain)
                line = asyncio.run(measured(proxy, replicas, options.restarts, home / name))
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
