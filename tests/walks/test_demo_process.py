"""How `countersign demo` starts and ends as a process, and what it refuses."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from core.errors import SettingsError
from countersign.demo.machine import check_host
from tests.visitor import START_SECONDS, first_line, running_demo, started_demo, visiting
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANA = "U01ANA"

POISON = {
    "COUNTERSIGN_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
    "COUNTERSIGN_CONFIG": "no-such-file.toml",
    "COUNTERSIGN_AUTH": "oidc",
    "COUNTERSIGN_PUBLIC_URL": "https://elsewhere.example.com",
    "COUNTERSIGN_WEBHOOK_SECRET": "too short",
    "COUNTERSIGN_SLACK_API_URL": "http://127.0.0.1:9/",
    "COUNTERSIGN_TELEGRAM_API_URL": "http://127.0.0.1:9/bot",
    "COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET": "not allowed!",
    "SLACK_BOT_TOKEN": "xoxb-real",
    "SLACK_APP_TOKEN": "xapp-real",
    "SLACK_SIGNING_SECRET": "real",
    "SLACK_CLIENT_ID": "1.2",
    "SLACK_CLIENT_SECRET": "real",
    "TELEGRAM_BOT_TOKEN": "1:real",
}
PROXIES = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")


async def test_nothing_of_the_environment_or_the_folder_is_heard(tmp_path: Path) -> None:
    settings = "".join(f"{name}={value}\n" for name, value in POISON.items())
    (tmp_path / ".env").write_bytes(settings.encode() + b"\xff\xfe\n")
    (tmp_path / "countersign.toml").write_text("this is no TOML")
    before = _names(tmp_path)
    with running_demo(tmp_path, "--port", "0", environment={**POISON, **PROXIES}) as demo:
        async with visiting(demo) as visitor:
            card = visitor.slack_card("Deploy payments 4.12.0")
            assert card is not None
            await visitor.press_in_slack(card, "Approve", user=ANA)
            await visitor.once(lambda: visitor.telegram_card("Deploy payments", "Approved by Ana Ruiz"))
        demo.stop()
        assert demo.complaints() == ""
    assert _names(tmp_path) == before | {"stderr", "tmp"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_quickly_and_cleanly_with_the_page_open(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running_demo(tmp_path, "--port", "0") as demo:
        [folder] = _names(demo.temporary)
        assert "demo.db" in _names(demo.temporary / folder)
        with httpx.stream("GET", f"{demo.base}/demo/events", trust_env=False) as page:
            lines = page.iter_lines()
            assert next(lines) == "event: slack"
            status, seconds = demo.stop(number)
        assert status == 0
        assert seconds < 10
        assert _names(demo.temporary) == set()
        assert demo.complaints() == ""


async def test_a_signal_ends_it_cleanly_while_it_still_starts(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with started_demo(tmp_path, "--port", "0", environment={"TMPDIR": str(temporary)}) as process:
        await eventually(lambda: asyncio.to_thread(_names, temporary))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=START_SECONDS) == 0
    assert _names(temporary) == set()
    assert (tmp_path / "stderr").read_text() == ""


async def test_the_first_line_is_the_address_and_the_rest_says_what_to_do(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--port", "0") as demo:
        port = demo.base.rpartition(":")[2]
        assert demo.address == f"http://127.0.0.1:{port}/demo"
        demo.stop()
        assert demo.process.stdout is not None
        rest = demo.process.stdout.read().decode()
        assert f"curl -d 'data=Announce the new opening hours' {demo.base}/submit" in rest
        assert "Ctrl-C" in rest


def test_a_busy_default_port_gives_way_to_the_next(tmp_path: Path) -> None:
    with _listening(8080), running_demo(tmp_path) as demo:
        assert int(demo.base.rpartition(":")[2]) > 8080


def test_two_demos_started_at_once_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with started_demo(tmp_path / "one") as one, started_demo(tmp_path / "two") as two:
        addresses = {first_line(one, tmp_path / "one"), first_line(two, tmp_path / "two")}
        assert len(addresses) == 2


def test_a_busy_port_that_was_chosen_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with _listening(0) as port:
        for words, environment in (
            (["--port", str(port)], {}),
            ([], {"COUNTERSIGN_PORT": str(port)}),
        ):
            assert _refusal(tmp_path, *words, environment=environment) == (
                2,
                f"countersign: COUNTERSIGN_PORT: {port} is taken at 127.0.0.1; name another with --port.\n",
            )


def test_a_host_that_others_could_reach_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert _refusal(tmp_path, "--host", "0.0.0.0") == (  # noqa: S104 - refused
        2,
        "countersign: COUNTERSIGN_HOST: the demo listens on loopback only, such as 127.0.0.1.\n",
    )
    for host in ("192.0.2.1", "example.com", "::", ""):
        with pytest.raises(SettingsError):
            check_host(host)


def test_the_real_thing_knows_no_simulator() -> None:
    check = "import countersign.serve, sys; print([m for m in sys.modules if 'simulator' in m])"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True, text=True)
    assert found.stdout == "[]\n"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _refusal(folder: Path, *words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit status and what is said of it; nothing may stand on standard output."""
    with started_demo(folder, *words, environment=environment) as process:
        stdout, _ = process.communicate(timeout=START_SECONDS)
        assert stdout == b""
        return process.returncode, (folder / "stderr").read_text()


@contextmanager
def _listening(port: int) -> Iterator[int]:
    """Somebody listens at this port of 127.0.0.1 (0: any one), which is given."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else listens there: just as well
            taken.bind(("127.0.0.1", port))
            taken.listen()
        yield taken.getsockname()[1] or port
