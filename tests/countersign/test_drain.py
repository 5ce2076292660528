"""`countersign serve` told to stop while its callers do not know yet: a real process, real signals."""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from countersign.departure import STOP
from countersign.serve import _within
from tests.countersign.test_stop import GOOD, TEXT, Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Drains for so long that nothing but a second signal ends it."""
    served = Served(tmp_path, COUNTERSIGN_DRAIN="60s")
    try:
        served.start(GOOD)
        yield served
    finally:
        served.kill()


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """Keeps its connections, where the server does."""
    with httpx.Client(base_url=served.url, trust_env=False, timeout=20) as client:
        yield client


def begin_to_drain(served: Served) -> None:
    served.signal(signal.SIGTERM)
    served.once(lambda: served.get("/readyz").status_code == 503)


def messages(lines: Iterator[str]) -> Iterator[Any]:
    return (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_on_but_is_not_ready_until_a_second_signal(
    served: Served, client: httpx.Client, number: signal.Signals
) -> None:
    assert "Connection" not in client.get("/readyz").headers
    begin_to_drain(served)
    answer = client.post("/submit", json={"data": TEXT})
    assert (answer.status_code, answer.headers["Connection"]) == (202, "close")
    assert client.get("/healthz").json() == {"status": "ok"}
    task = answer.json()["task_id"]
    with client.stream("GET", f"/stream/{task}") as stream:
        said = messages(stream.iter_lines())
        assert next(one for one in said if one["status"] == "waiting_for_review"), "it works on"
        status, seconds = served.stop(number)
        assert list(said) == [], "the stream ends in order, to be asked for elsewhere"
    assert (status, seconds < 5) == (0, True), (seconds, served.log)
    assert served.facts("stopped")


def test_what_it_acknowledged_meanwhile_outlives_a_kill(served: Served, client: httpx.Client) -> None:
    begin_to_drain(served)
    task = client.post("/submit", json={"data": TEXT}).json()["task_id"]
    served.kill()
    served.start(GOOD)
    served.once(lambda: served.task()["status"] == "waiting_for_review")
    assert served.task()["task_id"] == task


def test_the_drain_takes_nothing_of_the_time_to_stop_in() -> None:
    """Whoever overran that is killed with what it had taken up."""
    drain = timedelta(minutes=1)
    first, hurried = _within(drain)
    assert first >= drain + STOP
    assert STOP <= hurried < drain


def test_nothing_is_drained_where_nobody_asks_for_it(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        served.start(GOOD)
        with httpx.Client(base_url=served.url, trust_env=False) as kept:
            kept.get("/readyz")
            status, seconds = served.stop()
        assert (status, seconds < 3) == (0, True), (seconds, served.log)
    finally:
        served.kill()
