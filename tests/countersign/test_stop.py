"""SIGTERM ends the real process in time, whatever hangs in it; the next start goes on with the task."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.bench.server import environment, free_port
from tests.world import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIGURATION = """
[policies.default]
reviewers = []
[flows.draft]
processor = "python:work:draft"
policy = "default"
"""
GOOD = """
def draft(text):
    return text
"""
TEXT = "a text that is nobody's business"
DEAF = """
import asyncio, pathlib
async def draft(text):
    pathlib.Path("begun").touch()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""
IN_A_THREAD = """
import pathlib, threading
def draft(text):
    pathlib.Path("begun").touch()
    threading.Event().wait()
"""
ON_THE_LOOP = """
import pathlib, time
async def draft(text):
    pathlib.Path("begun").touch()
    time.sleep(3600)
"""
THREAD_OF_ITS_OWN = """
import pathlib, threading
def draft(text):
    threading.Thread(target=threading.Event().wait, daemon=False).start()
    pathlib.Path("begun").touch()
    threading.Event().wait()
"""
HANGING = {
    "in a thread": IN_A_THREAD,
    "on the event loop": ON_THE_LOOP,
    "in a thread that the interpreter waits for": THREAD_OF_ITS_OWN,
}
SECONDS = 10
"""The promise."""
START_SECONDS = 60


class Served:
    """A `countersign serve` in a folder of its own, with chats off and nobody asked to sign in."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._port = free_port()
        self._settings = settings
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "countersign.toml").write_text(CONFIGURATION)

    def start(self, processor: str) -> None:
        """Returns when it is ready."""
        (self._folder / "work.py").write_text(processor)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-B", "-m", "countersign", "serve"],
                cwd=self._folder,
                env=environment(self._port, COUNTERSIGN_AUTH="open", **self._settings),
                stdout=log,
                stderr=log,
            )
        self.once(lambda: self._answers("/readyz"))

    def _answers(self, path: str) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            return self.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=5)

    def submit(self) -> None:
        """Returns when the processor has begun; where that holds up everything there is no answer."""
        with suppress(httpx.ReadTimeout):
            httpx.post(
                f"{self.url}/v1/tasks", json={"input": TEXT}, trust_env=False, timeout=2
            ).raise_for_status()
        self.once((self._folder / "begun").exists)

    def task(self) -> Any:
        """The only one."""
        (task,) = self.get("/v1/tasks").json()["tasks"]
        return task

    def once(self, holds: Any) -> None:
        end = time.monotonic() + START_SECONDS
        while not holds():
            assert time.monotonic() < end, self.log
            time.sleep(0.02)  # another process tells nobody

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """The exit status, and how many seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        self.signal(number)
        status = self._process.wait(START_SECONDS)
        return status, time.monotonic() - began

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def hang_up(self, configuration: str) -> None:
        """SIGHUP, with another configuration file."""
        (self._folder / "countersign.toml").write_text(configuration)
        self.signal(signal.SIGHUP)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def facts(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    try:
        yield served
    finally:
        served.kill()


def goes_on(served: Served) -> None:
    served.start(GOOD)
    served.once(lambda: served.task()["status"] == "waiting_for_review")
    assert served.stop()[0] == 0


@pytest.mark.parametrize("processor", HANGING.values(), ids=HANGING)
def test_whatever_a_processor_does_the_process_ends_in_time(served: Served, processor: str) -> None:
    served.start(processor)
    served.submit()
    status, seconds = served.stop()
    assert (status, seconds < SECONDS) == (0, True), (seconds, served.log)
    goes_on(served)


def test_with_the_database_held_by_another_program_too(served: Served, tmp_path: Path) -> None:
    served.start(DEAF)
    served.submit()
    with locked(tmp_path / "countersign.db"):
        status, seconds = served.stop()
    assert (status, seconds < SECONDS) == (0, True), (seconds, served.log)
    goes_on(served)


def test_what_was_left_is_named_and_what_it_says_is_not(served: Served) -> None:
    served.start(DEAF)
    served.submit()
    task = served.task()["task_id"]
    assert served.stop(signal.SIGINT)[0] == 0
    (fact,) = served.facts("stop_overran")
    assert f"segment {task}" in fact["tasks"], fact
    assert not served.facts("stopped")
    assert TEXT not in served.log


def test_an_idle_process_ends_at_once_and_overruns_nothing(served: Served) -> None:
    served.start(GOOD)
    status, seconds = served.stop()
    assert (status, seconds < 3) == (0, True), seconds
    assert served.facts("stopped")
    assert not served.facts("stop_overran")


def test_a_hangup_reads_people_and_policies_anew_and_stops_nothing(served: Served) -> None:
    served.start(GOOD)
    served.hang_up(CONFIGURATION + '[people.ana]\nname = "Ana"\n[policies.strict]\nreviewers = ["ana"]\n')
    served.once(lambda: served.facts("configuration_reloaded"))
    assert served.facts("configuration_reloaded")[0]["policies_changed"] == ["strict"]
    served.hang_up(CONFIGURATION + '[policies.strict]\nreviewers = ["zoe"]\n')
    served.once(lambda: served.facts("configuration_refused"))
    (refused,) = served.facts("configuration_refused")
    assert "line 8: policies.strict.reviewers: 'zoe'" in refused["reason"]
    assert served.get("/readyz").status_code == 200
    assert served.stop()[0] == 0
