"""The command line as a process: words, exit statuses, one sentence and no traceback."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from countersign.cli import run
from tests.bench.server import environment, free_port
from tests.countersign.commands import CONFIG, countersign, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "countersign.toml").write_text(CONFIG)
    return tmp_path


class Served:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "countersign", "serve"],
                cwd=folder,
                env=environment(self.port),
                stdout=log,
                stderr=log,
            )
        self.url = f"http://127.0.0.1:{self.port}"
        with httpx.Client(trust_env=False) as http:
            until(lambda: http.get(f"{self.url}/readyz").status_code == 200, self.process)

    def run(self, *words: str, token: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
        return countersign(
            self.folder, *words, stdin=stdin, COUNTERSIGN_PORT=str(self.port), COUNTERSIGN_TOKEN=token
        )

    def token(self, person: str) -> str:
        printed = self.run("link", person).stdout
        return printed.split("token: ")[1].strip()


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    running = Served(folder)
    yield running
    running.process.kill()
    running.process.wait(60)


def test_help_is_quick_and_names_every_command(folder: Path) -> None:
    printed = countersign(folder, "--help")
    assert printed.returncode == 0
    named = ("demo", "serve", "doctor", "migrate", "link", "submit", "watch", "tasks", "export", "flow")
    for command in named:
        assert f"\n  {command} " in printed.stdout
    heavy = "import sys; from countersign.cli import commands; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", heavy], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"aiohttp", "sqlalchemy", "pydantic", "telegram", "slack_bolt", "structlog"} & set(loaded)


@pytest.mark.parametrize(
    "words",
    [
        ["bogus"],
        ["submit"],
        ["watch"],
        ["serve", "--nonsense"],
        ["tasks", "--limit", "x"],
        ["tasks", "--status", "open"],
        ["export", "--status", "open"],
        ["export", "--since", "yesterday"],
        ["export", "--since", "0001-01-01T00:00+14:00"],
    ],
)
def test_wrong_words_exit_with_2(folder: Path, words: list[str]) -> None:
    refused = countersign(folder, *words)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"COUNTERSIGN_PORT": "eighty"}, "COUNTERSIGN_PORT"),
        ({"COUNTERSIGN_PORT": "70000"}, "COUNTERSIGN_PORT"),
        ({"COUNTERSIGN_AUTH": "oidc"}, "COUNTERSIGN_AUTH"),
        ({"COUNTERSIGN_AUTH": "proxy"}, "COUNTERSIGN_AUTH"),
        ({"COUNTERSIGN_AUTH": "none"}, "COUNTERSIGN_AUTH"),
        ({"COUNTERSIGN_AUTH": "open", "COUNTERSIGN_HOST": "192.0.2.1"}, "COUNTERSIGN_AUTH"),
        ({"COUNTERSIGN_HOST": "http://127.0.0.1"}, "COUNTERSIGN_HOST"),
        ({"COUNTERSIGN_PUBLIC_URL": "ftp://x"}, "COUNTERSIGN_PUBLIC_URL"),
        ({"COUNTERSIGN_DATABASE_URL": "mysql://u:hunter2secret@h/d"}, "COUNTERSIGN_DATABASE_URL"),
        ({"COUNTERSIGN_DATABASE_URL": "hunter2secret"}, "COUNTERSIGN_DATABASE_URL"),
        ({"COUNTERSIGN_DATABASE_URL": "sqlite://"}, "COUNTERSIGN_DATABASE_URL"),
        ({"COUNTERSIGN_CONFIG": "missing.toml"}, "COUNTERSIGN_CONFIG"),
        ({"COUNTERSIGN_WEBHOOK_SECRET": "hunter2secret"}, "COUNTERSIGN_WEBHOOK_SECRET"),
        ({"SLACK_BOT_TOKEN": "xoxb-hunter2secret"}, "SLACK_BOT_TOKEN"),
        (
            {"COUNTERSIGN_SLACK_API_URL": "http://example.com/api/"},
            "countersign: COUNTERSIGN_SLACK_API_URL must be",
        ),
        ({"COUNTERSIGN_TELEGRAM_API_URL": "http://example.com/bot"}, "COUNTERSIGN_TELEGRAM_API_URL"),
        ({"COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET": "hunter2secret!"}, "COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_sentence(
    folder: Path,
    env: dict[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert run(["serve"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "hunter2secret" not in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [["serve"], ["migrate"], ["tasks"], ["link", "ana"]])
def test_an_env_file_that_is_no_text_is_one_sentence(
    folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / ".env").write_bytes(b"COUNTERSIGN_TOKEN=hunter2secret\xff\n")
    assert run(words) == 2
    assert capsys.readouterr().err == "countersign: .env cannot be read: it is not UTF-8 text.\n"


@pytest.mark.parametrize(
    "slip", ["COUNTERSIGN_AUTH hunter2", 'COUNTERSIGN_AUTH="hunter2', "=hunter2", "COUNTERSIGN_AUTH"]
)
@pytest.mark.parametrize("before", ["# it listens\n\n", "\n# it listens\n", "\n\n"])
@pytest.mark.parametrize("command", ["serve", "tasks"])
def test_a_line_of_env_that_sets_nothing_is_named_and_not_passed_over(
    folder: Path,
    command: str,
    before: str,
    slip: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    (folder / ".env").write_text(f"COUNTERSIGN_PORT=8080\n{before}{slip}\nCOUNTERSIGN_HOST=\n")
    assert run([command]) == 2
    assert capsys.readouterr().err == "countersign: .env, line 4: is not NAME=VALUE, or a quote is open.\n"


def test_a_name_alone_in_env_that_is_none_of_ours_is_anothers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / ".env").write_text("REGISTRY_TOKEN\nexport OTHER\nCOUNTERSIGN_PUBLIC_URL=nowhere\n")
    assert run(["tasks"]) == 2
    assert capsys.readouterr().err.startswith("countersign: COUNTERSIGN_PUBLIC_URL")


def test_an_empty_database_setting_is_not_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", "")
    monkeypatch.setenv("COUNTERSIGN_CONFIG", "")
    assert run(["migrate"]) == 0
    assert run(["link", "ana"]) == 0
    assert (folder / "countersign.db").exists()


def test_a_wrong_setting_leaves_no_traceback(folder: Path) -> None:
    refused = countersign(folder, "serve", COUNTERSIGN_PORT="eighty")
    assert refused.returncode == 2
    assert refused.stderr.startswith("countersign: COUNTERSIGN_PORT")
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_token_that_can_be_no_bots_is_one_sentence(folder: Path) -> None:
    refused = countersign(folder, "serve", COUNTERSIGN_PORT="0", TELEGRAM_BOT_TOKEN="hunter2")
    assert refused.returncode == 2
    assert refused.stderr == (
        "countersign: TELEGRAM_BOT_TOKEN is not a bot's token of Telegram's: "
        "set it to what @BotFather says under /token: a number, a colon and 35 more characters.\n"
    )
    assert not (folder / "countersign.db").exists()


def test_a_telegram_webhook_needs_an_https_address(folder: Path) -> None:
    refused = countersign(
        folder,
        "serve",
        COUNTERSIGN_PORT="0",
        COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET="hunter2secret",
        TELEGRAM_BOT_TOKEN="123456789:AAcanary-canary-canary-canary-canar",
        COUNTERSIGN_TELEGRAM_API_URL="https://telegram.invalid/bot",
    )
    assert refused.returncode == 2
    said = refused.stderr.strip().splitlines()[-1]
    assert said.startswith("countersign: COUNTERSIGN_PUBLIC_URL must be https://")
    assert "Traceback" not in refused.stderr
    assert "hunter2secret" not in refused.stderr


def test_doctor_names_a_chat_that_is_off_and_has_recipients(folder: Path) -> None:
    (folder / "countersign.toml").write_text(CONFIG + '[recipients]\nslack = ["C01GEN"]\n')
    examined = countersign(folder, "doctor")
    assert examined.returncode == 0, "people decide in the inbox"
    assert "warn  slack: off (SLACK_BOT_TOKEN is not set); its recipients get no cards" in examined.stdout
    assert "telegram" not in examined.stdout


def test_a_second_server_on_the_same_file_is_refused(served: Served) -> None:
    refused = served.run("serve")
    assert refused.returncode == 2
    assert "another countersign is serving or copying this database" in refused.stderr


def test_a_busy_port_is_one_sentence(served: Served, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    refused = countersign(other, "serve", COUNTERSIGN_PORT=str(served.port))
    assert refused.returncode == 2
    assert "COUNTERSIGN_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_task_goes_from_submit_to_watch(served: Served) -> None:
    sam, ana = served.token("sam"), served.token("ana")
    submitted = served.run(
        "submit", "-", "--title", "A title", "--policy", "default", token=sam, stdin="ünïcode text"
    )
    task = submitted.stdout.strip()
    assert len(task) == 32
    assert submitted.stderr.strip() == f"{served.url}/tasks/{task}"
    created = json.loads(served.run("tasks", "--json", token=sam).stdout)["created_at"]
    at = f"{created[: len('2026-11-23T17:11')]}Z"
    assert f"  -         {at}  Sam: A title" in served.run("tasks", token=sam).stdout
    approval = httpx.post(
        f"{served.url}/feedback/{task}",
        json={"feedback": "approved"},
        trust_env=False,
        headers={"Authorization": f"Bearer {ana}"},
    )
    assert approval.status_code == 200, approval.text
    watched = served.run("watch", task, token=sam)
    assert watched.returncode == 0
    assert [line.split(" ")[0] for line in watched.stdout.splitlines() if not line.startswith("ü")] == [
        "pending",
        "running",
        "waiting_for_review",
        "completed",
    ]
    assert watched.stdout.rstrip().endswith("ünïcode text")
    assert watched.stderr == ""
    told = [json.loads(line) for line in served.run("watch", task, "--json", token=sam).stdout.splitlines()]
    assert [told[0]["event"], told[-1]["event"]] == ["task_submitted", "task_completed"]
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    line = f"{task}  completed           approved  {at}  Sam: A title\n"
    assert served.run("tasks", token=sam).stdout == line
    assert task in served.run("tasks", "--flow", "draft", token=sam).stdout
    assert served.run("tasks", "--flow", "approval", token=sam).stdout == ""


def test_an_input_may_be_json(served: Served) -> None:
    sam = served.token("sam")
    submitted = served.run("submit", '{"order": "1042", "amount": 250}', "--parse", "--json", token=sam)
    assert json.loads(submitted.stdout)["input"] == {"order": "1042", "amount": 250}
    for wrong in ('{"order": ', "NaN"):
        refused = served.run("submit", wrong, "--parse", token=sam)
        assert refused.returncode == 2
        assert "TEXT is not JSON" in refused.stderr


def test_whoever_watches_on_a_terminal_sees_progress_and_text_as_they_come(folder: Path) -> None:
    (folder / "letters.py").write_text(
        "from core.nodes import progress, stream_text\n"
        "def draft(text):\n"
        "    progress(0.5, 'half of the letter')\n"
        "    stream_text('Dear Ana')\n"
        "    return text\n"
    )
    (folder / "countersign.toml").write_text(CONFIG + '[flows.draft]\nprocessor = "python:letters:draft"\n')
    running = Served(folder)
    try:
        token = running.token("sam")
        task = running.run("submit", "text", token=token).stdout.strip()
        decided(running, task)
        ours, theirs = pty.openpty()
        watching = subprocess.Popen(
            [sys.executable, "-m", "countersign", "watch", task],
            cwd=folder,
            env=environment(running.port, COUNTERSIGN_TOKEN=token, COLUMNS="80"),
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        lasting, _ = watching.communicate(timeout=60)
        os.close(theirs)
        passing = os.read(ours, 100_000).decode()
        os.close(ours)
    finally:
        running.process.kill()
        running.process.wait(60)
    assert watching.returncode == 0
    assert "[############------------]  50%  process: half of the letter" in passing
    assert "Dear Ana" in passing
    assert "half of the letter" not in lasting
    assert lasting.splitlines()[:2] == ["pending", "running (attempt 1)"]


def decided(served: Served, task: str, feedback: str = "approved", comment: str = "") -> None:
    """Ana decides as soon as she may."""
    headers = {"Authorization": f"Bearer {served.token('ana')}"}
    body = {"feedback": feedback, "comment": comment}

    def once() -> bool:
        answer = httpx.post(f"{served.url}/feedback/{task}", json=body, headers=headers, trust_env=False)
        return answer.status_code == 200

    until(once, served.process)


def exported(served: Served, token: str, *words: str) -> list[dict[str, Any]]:
    printed = served.run("export", *words, token=token)
    assert printed.returncode == 0, printed.stderr
    assert printed.stderr == ""
    return [json.loads(line) for line in printed.stdout.splitlines()]


def test_an_export_is_a_record_of_what_was_handed_in_and_what_became_of_it(served: Served) -> None:
    sam = served.token("sam")
    done = served.run("submit", "finished wörk", token=sam).stdout.strip()
    decided(served, done, "rejected", "shorter")
    decided(served, done)
    open_ = served.run("submit", "unfinished", token=sam).stdout.strip()
    until(lambda: served.run("tasks", "--status", "completed", token=sam).stdout != "", served.process)
    newer, older = exported(served, sam)
    assert [newer["task_id"], older["task_id"]] == [open_, done]
    assert (older["input"], older["status"], older["outcome"]) == ("finished wörk", "completed", "approved")
    assert older["final_result"] == older["draft"] != ""
    assert older["created_at"] < older["ended_at"]
    assert newer["ended_at"] is newer["final_result"] is None
    assert "reviews" not in older
    assert [task["task_id"] for task in exported(served, sam, "--status", "completed")] == [done]
    assert exported(served, sam, "--flow", "approval") == []
    assert len(exported(served, sam, "--since", older["created_at"])) == 2
    assert len(exported(served, sam, "--since", newer["created_at"])) == 1
    assert exported(served, sam, "--since", "2999-01-01") == []
    until(
        lambda: served.run("tasks", "--status", "waiting_for_review", token=sam).stdout != "", served.process
    )
    newer, older = exported(served, sam, "--history")
    (asked,) = newer["reviews"]
    assert (asked["attempt"], asked["outcome"], asked["decisions"]) == (1, None, [])
    assert (asked["node"], asked["point"]) == ("review", "review")
    decided(served, open_, "rejected", "longer")
    newer, older = exported(served, sam, "--history")
    assert newer["reviews"][0]["outcome"] == "rejected", "also while the task goes on"
    assert [review["outcome"] for review in older["reviews"]] == ["rejected", "approved"]
    decision = older["reviews"][0]["decisions"][0]
    assert (decision["reviewer"], decision["verdict"], decision["comment"]) == ("ana", "reject", "shorter")


def test_an_export_goes_well_with_a_server_at_work_and_a_reader_who_leaves(served: Served) -> None:
    sam = served.token("sam")

    def submitted(http: httpx.Client, count: int) -> set[str]:
        answers = [http.post(f"{served.url}/v1/tasks", json={"input": f"text {at}"}) for at in range(count)]
        return {answer.json()["task_id"] for answer in answers}

    with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {sam}"}, timeout=30) as http:
        there = submitted(http, 230)
        command = [sys.executable, "-m", "countersign", "export"]
        env = environment(served.port, COUNTERSIGN_TOKEN=sam)
        with subprocess.Popen(
            command, cwd=served.folder, env=env, stdout=subprocess.PIPE, text=True
        ) as export:
            assert export.stdout is not None
            found = [json.loads(export.stdout.readline())["task_id"]]
            submitted(http, 20)
            found += [json.loads(line)["task_id"] for line in export.stdout]
        assert export.returncode == 0
    assert len(set(found)) == len(found)
    assert there <= set(found)
    left = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m countersign export | head -n 1"],
        cwd=served.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert left.stdout.count("\n") == 1
    assert left.stderr == ""


@pytest.mark.parametrize("words", [["submit", "text"], ["watch", "0" * 32], ["tasks"], ["export"]])
def test_a_server_that_is_not_there_is_one_sentence(folder: Path, words: list[str]) -> None:
    failed = countersign(folder, *words, COUNTERSIGN_PORT=str(free_port()))
    assert failed.returncode == 1
    assert "cannot be reached" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


def test_a_server_that_is_another_program_is_one_sentence(folder: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

        do_POST = do_GET  # noqa: N815 - likewise

    with HTTPServer(("127.0.0.1", 0), Page) as stranger:
        Thread(target=stranger.serve_forever, daemon=True).start()
        for words in (["submit", "text"], ["watch", "0" * 32], ["tasks"], ["export"]):
            failed = countersign(folder, *words, COUNTERSIGN_PORT=str(stranger.server_port))
            assert failed.returncode == 2
            assert failed.stderr.strip().endswith("is not Countersign.")
        stranger.shutdown()


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "\udcff"],
        ["submit", "text", "--title", "\udcff"],
        ["submit", "text", "--key", "\u00fcber"],
        ["watch", "\udcff"],
        ["tasks", "--status", "\udcff"],
        ["export", "--flow", "\udcff"],
        ["flow", "\udcff"],
    ],
)
def test_words_that_no_request_can_carry_exit_with_2(folder: Path, words: list[str]) -> None:
    refused = countersign(folder, *words)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_a_token_that_no_header_can_carry_is_not_printed(folder: Path) -> None:
    refused = countersign(folder, "tasks", COUNTERSIGN_TOKEN="cs_hunter2\nsecret")
    assert refused.returncode == 2
    assert "COUNTERSIGN_TOKEN" in refused.stderr
    assert "hunter2" not in refused.stderr


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("", "The server does not know you: set COUNTERSIGN_TOKEN; `countersign link YOU` prints one."),
        (
            "cs_wrong",
            (
                "The server does not know your COUNTERSIGN_TOKEN: it was revoked, or is another server's; "
                "`countersign link YOU` prints a new one."
            ),
        ),
    ],
)
def test_whom_the_server_does_not_know_learns_what_to_set(served: Served, token: str, sentence: str) -> None:
    for words in (["submit", "text"], ["watch", "0" * 32], ["tasks"], ["export"]):
        refused = served.run(*words, token=token)
        assert refused.returncode == 2
        assert refused.stderr == f"countersign: {sentence}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["submit", "text", "--flow", "nope"], "There is no flow 'nope'; there are: approval, draft."),
        (
            ["submit", "text", "--flow", ""],
            "There is no flow ''; there are: approval, draft. Left out, it is draft.",
        ),
        (["submit", " "], "The task is only white space; there has to be something to work on."),
        (["submit", "null", "--parse"], "The task is empty; there has to be something to work on."),
        (["watch", "nope"], "There is no such task."),
        (["watch", ""], "TASK is empty; `countersign tasks` lists them."),
    ],
)
def test_words_that_the_server_refuses_exit_with_2(served: Served, words: list[str], sentence: str) -> None:
    refused = served.run(*words, token=served.token("sam"))
    assert (refused.returncode, refused.stderr) == (2, f"countersign: {sentence}\n")


def test_a_revoked_token_is_refused_within_a_second(served: Served) -> None:
    sam = served.token("sam")
    assert served.run("tasks", token=sam).returncode == 0
    assert "revoked 1 of sam" in served.run("link", "sam", "--revoke").stdout
    until(lambda: served.run("tasks", token=sam).returncode == 2, served.process, seconds=5)


def test_a_link_is_for_somebody_in_the_file_only(folder: Path) -> None:
    refused = countersign(folder, "link", "zoe")
    assert refused.returncode == 2
    assert "zoe" in refused.stderr


def test_sigterm_drains_and_exits_with_0_also_with_a_stream_open(served: Served) -> None:
    sam = served.token("sam")
    task = served.run("submit", "text", token=sam).stdout.strip()
    headers = {"Authorization": f"Bearer {sam}"}
    with (
        httpx.Client(trust_env=False, headers=headers, timeout=30) as http,
        http.stream("GET", f"{served.url}/stream/{task}") as stream,
    ):
        lines = stream.iter_lines()
        while "waiting_for_review" not in next(lines):
            pass
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        assert time.monotonic() - began < 10


def test_logs_hold_no_draft_comment_or_token(served: Served) -> None:
    sam, ana = served.token("sam"), served.token("ana")
    task = served.run("submit", "canary-draft-7351", token=sam).stdout.strip()
    for feedback in ("rejected", "approved"):

        def decided(feedback: str = feedback) -> bool:
            answer = httpx.post(
                f"{served.url}/feedback/{task}",
                json={"feedback": feedback, "comment": "canary-comment-9912"},
                headers={"Authorization": f"Bearer {ana}"},
                trust_env=False,
            )
            return answer.status_code == 200

        until(decided, served.process)
    until(lambda: "completed" in served.run("tasks", token=sam).stdout, served.process)
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(60)
    log = served.log.read_text()
    assert task in log
    for canary in ("canary-draft-7351", "canary-comment-9912", sam, ana):
        assert canary not in log


def test_doctor_says_what_is_missing_and_changes_nothing(tmp_path: Path) -> None:
    examined = countersign(tmp_path, "doctor")
    assert examined.returncode == 1
    assert "FAIL  configuration" in examined.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        (None, "copy countersign.example.toml to countersign.toml and name people in it"),
        ('[people.ana]\nname = "Ana"\n[flows.draft]\n', "name reviewers in the policy; empty means nobody"),
    ],
)
def test_serve_says_as_doctor_does_how_to_have_somebody_review(
    tmp_path: Path, text: str | None, mend: str
) -> None:
    if text is not None:
        (tmp_path / "countersign.toml").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        ended = countersign(tmp_path, "serve", COUNTERSIGN_PORT=str(busy.getsockname()[1]))
    (line,) = [json.loads(one) for one in ended.stderr.splitlines() if "policy_without_reviewers" in one]
    assert (line["policy"], line["mend"]) == ("default", mend)
    assert mend in countersign(tmp_path, "doctor").stdout


def test_doctor_is_content_with_a_served_folder(served: Served) -> None:
    examined = served.run("doctor")
    assert examined.returncode == 0, examined.stdout
    assert "ok    database" in examined.stdout
    assert f"ok    port: a server of Countersign's listens at 127.0.0.1:{served.port}" in examined.stdout


def test_doctor_knows_that_in_open_mode_whoever_sits_there_reviews(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COUNTERSIGN_AUTH=open\n")
    examined = countersign(tmp_path, "doctor")
    assert examined.returncode == 0, examined.stdout


def test_doctor_names_the_policy_that_a_flow_asks_for_and_nobody_may_decide_under(tmp_path: Path) -> None:
    people = '[people.ana]\nname = "Ana"\n[policies.ops]\nreviewers = ["ana"]\n'
    file = tmp_path / "countersign.toml"
    file.write_text(people)
    assert "nobody may review under: default" in countersign(tmp_path, "doctor").stdout
    file.write_text(people + '[flows.draft]\npolicy = "ops"\n')
    assert countersign(tmp_path, "doctor").returncode == 0


def test_doctor_names_a_misspelt_setting(folder: Path) -> None:
    examined = countersign(folder, "doctor", COUNTERSIGN_PROT="8081")
    assert examined.returncode == 1
    assert "COUNTERSIGN_PROT" in examined.stdout


def test_migrate_makes_a_database_and_is_content_to_run_twice(folder: Path) -> None:
    assert countersign(folder, "migrate").returncode == 0
    assert countersign(folder, "migrate").returncode == 0
    with closing(sqlite3.connect(folder / "countersign.db")) as database:
        assert database.execute("SELECT count(*) FROM task").fetchone() == (0,)
