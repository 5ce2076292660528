"""One rule for every command: 2 where only other words or settings help, 1 where it may pass."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from countersign.cli import UNWRITABLE, run
from tests.bench.server import environment
from tests.countersign.commands import CONFIG
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

TALKING = (["submit", "text"], ["watch", "0" * 32], ["tasks"], ["export"], ["backup", "b.db"])


class Refusing(HTTPServer):
    """Answers everything with one status, and keeps the paths that it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = 200
        self.paths: list[str] = []
        self.asked, self.answers = Event(), Event()


class _Answer(BaseHTTPRequestHandler):
    server: Refusing

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.asked.set()
        self.server.answers.wait(PATIENCE)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass

    do_POST = do_GET  # noqa: N815 - http.server's word


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusing]:
    monkeypatch.chdir(tmp_path)
    with Refusing() as server:
        server.answers.set()
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("COUNTERSIGN_PUBLIC_URL", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


@pytest.mark.parametrize("status", [308, 400, 401, 403, 404, 413, 421, 422, 501])
def test_what_the_same_words_would_be_told_again_is_2(refusing: Refusing, status: int) -> None:
    refusing.status = status
    assert [run(words) for words in TALKING] == [2] * len(TALKING)


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503])
def test_what_may_pass_is_1(refusing: Refusing, status: int) -> None:
    refusing.status = status
    assert [run(words) for words in TALKING] == [1] * len(TALKING)


def test_a_task_is_one_word_of_a_path_whatever_it_holds(refusing: Refusing) -> None:
    refusing.status = 404
    assert run(["watch", "../../healthz?x#y"]) == 2
    assert refusing.paths == ["/v1/tasks/..%2F..%2Fhealthz%3Fx%23y/events"]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    refusing: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own loopback is another one."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    refusing.status = 404
    assert run(["tasks"]) == 2
    assert refusing.paths


def test_an_interrupted_command_has_not_done_what_it_was_asked_for(
    refusing: Refusing, tmp_path: Path
) -> None:
    refusing.answers.clear()
    url = f"http://127.0.0.1:{refusing.server_port}"
    with subprocess.Popen(
        [sys.executable, "-m", "countersign", "submit", "x", "--wait"],
        cwd=tmp_path,
        env=environment(8080, COUNTERSIGN_PUBLIC_URL=url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        refusing.asked.wait(PATIENCE)
        command.send_signal(signal.SIGINT)
        said, complaint = command.communicate(timeout=PATIENCE)
    refusing.answers.set()
    assert (command.returncode, said) == (1, "")
    assert "Traceback" not in complaint


def test_a_link_is_for_somebody_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["link", "zoe"]) == 2
    assert capsys.readouterr().err == (
        "countersign: There is no countersign.toml, so nobody to make a link for: copy "
        "countersign.example.toml to countersign.toml and name people in it.\n"
    )
    Path("people.toml").write_text(CONFIG)
    monkeypatch.setenv("COUNTERSIGN_CONFIG", "people.toml")
    assert run(["link", "zoe\n"]) == 2
    assert capsys.readouterr().err == "countersign: people.toml has nobody 'zoe\\n'; it has: ana, sam.\n"


def test_who_has_left_the_file_loses_what_they_have_and_a_slip_of_the_pen_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("countersign.toml").write_text(CONFIG)
    assert run(["link", "ana", "--revoke"]) == 2
    assert capsys.readouterr().err == (
        "countersign: Nothing was revoked: COUNTERSIGN_DATABASE_URL names a database that is empty.\n"
    )
    assert not list(Path().glob("*.db*")), "none is made for that"
    assert [run(["link", "ana"]), run(["link", "sam", "--revoke"])] == [0, 0], "nothing to revoke is no fault"
    Path("countersign.toml").write_text(CONFIG.replace("ana", "ben"))
    capsys.readouterr()
    assert run(["link", "anna", "--revoke"]) == 2
    assert capsys.readouterr().err == (
        "countersign: Nothing was revoked: countersign.toml has nobody 'anna', and no link or token of that "
        "name works.\n"
    )
    assert run(["link", "ana", "--revoke"]) == 0
    assert capsys.readouterr().out.startswith("revoked 1 of ana;")


def test_a_file_that_cannot_be_read_is_named_by_whoever_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, setting in (
        (["policy", "check", "new.toml"], "FILE"),
        (["policy", "check"], "COUNTERSIGN_CONFIG"),
    ):
        monkeypatch.setenv("COUNTERSIGN_CONFIG", "new.toml")
        assert run(words) == 2
        assert capsys.readouterr().err.startswith(f"countersign: {setting}: new.toml cannot be read: ")


def test_standard_input_that_is_closed_is_wrong_words(tmp_path: Path) -> None:
    refused = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m countersign submit - <&-"],
        cwd=tmp_path,
        env=environment(8080),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr
    assert "standard input is closed" in refused.stderr


@pytest.mark.parametrize("number", sorted(UNWRITABLE))
def test_whatever_keeps_a_file_from_being_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """A full quota, a disk that fails: /dev/full is one of them alone."""

    class Full(StringIO):
        def write(self, _text: str) -> int:
            raise OSError(number, os.strerror(number))

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as within:
        within.setattr(sys, "stdout", Full())
        assert run(["policy", "check"]) == 1
    assert capsys.readouterr().err == f"countersign: it cannot be written: {os.strerror(number)}.\n"


def test_a_full_disk_under_what_is_printed_is_one_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(
            [sys.executable, "-m", "countersign", "flow"],
            cwd=tmp_path,
            env=environment(8080),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert failed.returncode == 1
    assert failed.stderr == "countersign: it cannot be written: No space left on device.\n"
