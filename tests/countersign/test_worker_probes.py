"""What `countersign worker` answers where it is told to listen: probes and metrics, and no page."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from core.store.database import database
from core.store.schema import migrate
from tests.bench.server import environment
from tests.countersign.commands import CONFIG, countersign, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_postgres: Callable[[], str]) -> tuple[Path, str]:
    """A folder with a configuration, and a database."""
    folder, url = tmp_path_factory.mktemp("worker"), empty_postgres()
    (folder / "countersign.toml").write_text(CONFIG)
    migrate(database(url))
    return folder, url


@pytest.fixture(scope="module")
def worker(place: tuple[Path, str]) -> Iterator[httpx.Client]:
    """Asks a worker that listens at a port of its own."""
    folder, url = place
    log = folder / "worker.log"
    env = environment(1, COUNTERSIGN_DATABASE_URL=url, COUNTERSIGN_WORKER_PORT="0")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "countersign", "worker"], cwd=folder, env=env, stdout=out, stderr=out
        )
    said = "Countersign works, and answers probes at "
    try:
        until(lambda: said in log.read_text(), process)
        address = log.read_text().partition(said)[2].split()[0]
        with httpx.Client(base_url=address, trust_env=False) as http:
            yield http
    finally:
        process.terminate()
        assert process.wait(15) == 0, log.read_text()


@pytest.mark.parametrize(("path", "status"), [("/healthz", "ok"), ("/readyz", "ready")])
def test_anybody_may_ask_whether_it_is_alive_and_ready(worker: httpx.Client, path: str, status: str) -> None:
    answer = worker.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, status)


def test_its_numbers_are_for_those_with_a_token(worker: httpx.Client, place: tuple[Path, str]) -> None:
    folder, url = place
    refused = worker.get("/metrics", headers={"Accept": "text/html"})
    assert refused.status_code == 401
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    made = countersign(folder, "link", "ana", COUNTERSIGN_DATABASE_URL=url)
    (token,) = [word for word in made.stdout.split() if word.startswith("cs_")]
    told = worker.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert told.status_code == 200
    assert "countersign_engine_running 0.0" in told.text


@pytest.mark.parametrize("path", ["/", "/inbox", "/v1/tasks", "/sign-in", "/slack/events", "/static/app.css"])
def test_nothing_else_is_there(worker: httpx.Client, path: str) -> None:
    assert worker.get(path).status_code == 404


def test_another_name_is_refused(worker: httpx.Client) -> None:
    assert worker.get("/healthz", headers={"Host": "elsewhere.example"}).status_code == 421


def test_a_busy_port_is_a_wrong_setting_that_is_named(place: tuple[Path, str]) -> None:
    folder, url = place
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        ended: Any = countersign(
            folder, "worker", COUNTERSIGN_DATABASE_URL=url, COUNTERSIGN_WORKER_PORT=str(port)
        )
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]
    assert said == (
        f"countersign: COUNTERSIGN_HOST, COUNTERSIGN_WORKER_PORT: cannot listen at 127.0.0.1:{port}: "
        "Address already in use."
    )
