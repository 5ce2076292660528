"""The commands of docs/deploy, run as its files say: on an empty PostgreSQL, without docker or a cluster."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from countersign.cli import commands
from tests.bench.server import free_port, posted
from tests.deploy.files import KINDS, healthcheck, manifest, pod, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STARTS_WITHIN = 60.0
WRONG_SETTINGS = 2


class Machine:
    """A place where the files' programs are installed, with a database and `countersign.toml`."""

    def __init__(self, kind: str, folder: Path, url: str) -> None:
        self.kind = kind
        self.port, self._probed_port = free_port(), free_port()
        self.work = folder / "work"
        self.log = folder / "log"
        self._programs = folder / "bin"
        self._changed = {
            "COUNTERSIGN_DATABASE_URL": url,
            "COUNTERSIGN_PORT": str(self.port),
            "COUNTERSIGN_CONFIG": str(folder / "countersign.toml"),
        }
        self._begun: list[subprocess.Popen[bytes]] = []
        self.work.mkdir()
        self._programs.mkdir()
        self._install("python", "")
        self._install("countersign", "-m countersign ")
        configuration = manifest("ConfigMap", "countersign-configuration")["data"]["countersign.toml"]
        (folder / "countersign.toml").write_text(configuration)

    def _install(self, name: str, what: str) -> None:
        program = self._programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {what}"$@"\n')
        program.chmod(0o755)

    def environment(self, program: str) -> dict[str, str]:
        """The file's own, but for where the database, the ports and the configuration are."""
        kept = {n: os.environ[n] for n in ("PYTHONPATH", "VIRTUAL_ENV", "HOME") if n in os.environ}
        path = f"{self._programs}:{os.environ['PATH']}"
        own = run(self.kind, program).environment
        probed = (
            {"COUNTERSIGN_WORKER_PORT": str(self._probed_port)} if "COUNTERSIGN_WORKER_PORT" in own else {}
        )
        return {**kept, "PATH": path, **own, **self._changed, **probed}

    def words(self, program: str) -> list[str]:
        first, *others = run(self.kind, program).words
        return [str(self._programs / first.rpartition("/")[2]), *others]

    def done(self, program: str, *others: str) -> subprocess.CompletedProcess[str]:
        """Run to its end."""
        words = [*self.words(program)[:1], *others] if others else self.words(program)
        return subprocess.run(
            words,
            cwd=self.work,
            env=self.environment(program),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def begin(self, program: str) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            begun = subprocess.Popen(
                self.words(program), cwd=self.work, env=self.environment(program), stdout=log, stderr=log
            )
        self._begun.append(begun)
        return begun

    async def until(self, process: subprocess.Popen[bytes], is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + STARTS_WITHIN
        while not await asyncio.to_thread(is_so):
            assert process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            await asyncio.sleep(0.2)  # nobody tells when another process is ready

    def is_healthy(self) -> bool:
        """By the healthcheck of the image, which is compose's too."""
        environment = self.environment("serve") | {"COUNTERSIGN_PORT": str(self.port)}
        done = subprocess.run(healthcheck(), cwd=self.work, env=environment, capture_output=True, check=False)
        return done.returncode == 0

    def is_at_work(self) -> bool:
        """It said so, which is after it began to listen to signals; warnings come before."""
        return '"event": "working"' in self.log.read_text()

    def token(self, person: str) -> str:
        printed = self.done("serve", "link", person)
        assert printed.returncode == 0, printed.stderr
        return printed.stdout.rpartition("token: ")[2].strip()

    def stopped(self, process: subprocess.Popen[bytes], program: str) -> int:
        """The exit status after SIGTERM; raises where it would have been killed."""
        process.send_signal(signal.SIGTERM)
        return process.wait(run(self.kind, program).grace)

    def end(self) -> None:
        for process in self._begun:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture(params=KINDS)
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, empty_postgres: Callable[[], str]
) -> Iterator[Machine]:
    found = Machine(request.param, tmp_path, empty_postgres())
    yield found
    found.end()


async def test_from_an_empty_database_to_a_decision(machine: Machine) -> None:
    early = machine.done("serve")
    assert (early.returncode, "countersign migrate" in early.stderr) == (WRONG_SETTINGS, True), early.stderr
    migrated = machine.done("migrate")
    assert migrated.returncode == 0, migrated.stderr
    process = machine.begin("serve")
    await machine.until(process, machine.is_healthy)
    await _probed(machine)
    ana, ben = machine.token("ana"), machine.token("ben")
    assert await _decided(machine, ana, ben) == "completed"
    assert machine.stopped(process, "serve") == 0
    assert not machine.is_healthy()
    assert list(machine.work.iterdir()) == []  # a read-only file system is enough


async def _probed(machine: Machine) -> None:
    """As a kubelet asks: by the address of the pod."""
    (container,) = pod("serve")["containers"]
    async with aiohttp.ClientSession() as http:
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[name]["httpGet"]["path"]
            async with http.get(f"http://127.0.0.1:{machine.port}{path}") as answer:
                assert answer.status == 200


async def _decided(machine: Machine, submitter: str, reviewer: str) -> str:
    """The status of a task that one hands in and the other approves, asked by the public name."""
    url = f"http://127.0.0.1:{machine.port}"
    public = {"Host": "review.example.com"} if machine.kind != "systemd" else {}
    one, other = ({**public, "Authorization": f"Bearer {token}"} for token in (submitter, reviewer))
    async with aiohttp.ClientSession() as http:
        task = (await posted(http, f"{url}/submit", {"data": "a text"}, one))["task_id"]
        await _until_status(http, f"{url}/v1/tasks/{task}", other, "waiting_for_review")
        await posted(http, f"{url}/feedback/{task}", {"feedback": "approved"}, other)
        return await _until_status(http, f"{url}/v1/tasks/{task}", other, "completed")


async def _until_status(http: aiohttp.ClientSession, url: str, headers: dict[str, str], status: str) -> str:
    async with asyncio.timeout(STARTS_WITHIN):
        while True:
            async with http.get(url, headers=headers) as answer:
                found: dict[str, Any] = await answer.json()
            if found["status"] == status:
                return status
            await asyncio.sleep(0.02)  # another process


@pytest.mark.xfail(
    "worker" not in commands.commands, reason="There is no `countersign worker` yet.", strict=True
)
async def test_a_worker_starts_beside_it_and_drains(machine: Machine) -> None:
    assert machine.done("migrate").returncode == 0
    process = machine.begin("worker")
    await machine.until(process, machine.is_at_work)
    assert machine.stopped(process, "worker") == 0
    assert list(machine.work.iterdir()) == []
