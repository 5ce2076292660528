"""Commands that make drafts, each a real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from core.definitions import definition
from core.errors import FlowError, SettingsError
from core.events import NodeRetried, ProgressReported
from core.model import Status
from core.processors import processor
from core.processors.command import LONGEST_REASON
from core.processors.exchange import LARGEST, ProcessorError
from tests.core.processing import FIRST, KEY, SECOND, Told, a_run
from tests.world import PATIENCE, flow_settings, policies, whole_core

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from core.model import Json
    from core.store.database import Database
    from tests.world import StoppedClock


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], None]:
    """Writes what `exec: ./script` runs."""

    def write(body: str, name: str = "script") -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    return write


async def drafted(folder: Path, shared: Mapping[str, Json] = FIRST, line: str = "./script") -> Json:
    with a_run():
        return await processor(f"exec: {line}", beside=folder)(shared)


# What it is asked, and what it answers


async def test_it_reads_the_task_and_prints_the_draft(script: Any, tmp_path: Path) -> None:
    script('cat > got.json; echo "the draft"; echo')
    assert await drafted(tmp_path, SECOND) == "the draft"
    assert json.loads((tmp_path / "got.json").read_text()) == {
        "task_id": FIRST["task_id"],
        "input": "buy milk",
        "feedback": "rejected",
        "feedback_comment": "say how much, “please”",
        "attempt": 2,
        "previous": "d1",
    }


async def test_its_words_are_not_read_by_a_shell(script: Any, tmp_path: Path) -> None:
    script('printf "%s|" "$@"')
    line = "./script 'one two' $HOME '*' ';' \"`id`\" >x"
    assert await drafted(tmp_path, line=line) == "one two|$HOME|*|;|`id`|>x|"


@pytest.mark.parametrize(
    ("printed", "draft"),
    [
        ('{"draft": {"a": [1]}}', {"a": [1]}),
        ('{"draft": "d1", "more": 1}\\n', "d1"),
        ('{"other": 1}', '{"other": 1}'),
        ("[1]", "[1]"),
        ("{", "{"),
        ("  two\\n\\nlines \\n\\n", "  two\n\nlines "),
        ("“ä”", "“ä”"),
    ],
)
async def test_what_it_prints_is_text_unless_it_is_an_object_with_a_draft(
    script: Any, tmp_path: Path, printed: str, draft: Json
) -> None:
    script(f"printf '{printed}'")
    assert await drafted(tmp_path) == draft


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("true", "empty"),
        ("echo", "empty"),
        ("printf 'a\\000b'", "NUL"),
        ("printf '\\377'", "UTF-8"),
        ("echo '{\"draft\": null}'", "JSON that is not"),
        ('echo \'{"draft": "a\\u0000"}\'', "NUL"),
        ("yes", "more than 1 MiB"),
        ("tr '\\0' x </dev/zero", "more than 1 MiB"),
    ],
)
async def test_what_is_no_draft_is_an_error_with_a_sentence(
    script: Any, tmp_path: Path, body: str, sentence: str
) -> None:
    script(body)
    with pytest.raises(ProcessorError, match=f"The command 'script' answered with.*{sentence}"):
        await drafted(tmp_path)


async def test_a_draft_may_have_a_mebibyte_and_so_may_an_input_that_is_not_read(
    script: Any, tmp_path: Path
) -> None:
    script(f"head -c {LARGEST} /dev/zero | tr '\\0' x")
    assert await drafted(tmp_path, {**FIRST, "task_input": "y" * LARGEST}) == "x" * LARGEST


async def test_a_large_input_arrives_whole(script: Any, tmp_path: Path) -> None:
    script("wc -c")
    assert int(str(await drafted(tmp_path, {**FIRST, "task_input": "y" * LARGEST}))) > LARGEST


# Its surroundings


async def test_its_environment_is_small_and_holds_no_secret(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLACK_BOT_TOKEN", "TELEGRAM_BOT_TOKEN", "COUNTERSIGN_TOKEN", "COUNTERSIGN_MODEL_API_KEY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("OWN_SECRET", "canary")
    script("env")
    seen = str(await drafted(tmp_path))
    assert "canary" not in seen
    known = dict(line.split("=", 1) for line in seen.splitlines())
    assert (known["COUNTERSIGN_RUN_KEY"], known["COUNTERSIGN_TASK_ID"]) == (KEY, FIRST["task_id"])
    assert known["PATH"] == os.environ["PATH"]
    assert [name for name in known if name.startswith("COUNTERSIGN")].__len__() == 2


async def test_it_runs_in_the_configurations_folder_in_a_session_of_its_own(
    script: Any, tmp_path: Path
) -> None:
    script(f"pwd; {sys.executable} -c 'import os; print(os.getsid(0))'; echo $$")
    folder, session, own = str(await drafted(tmp_path)).split()
    assert Path(folder) == tmp_path
    assert session == own


async def test_the_program_beside_the_configuration_comes_before_the_path(
    script: Any, tmp_path: Path
) -> None:
    script("echo ours", "date")
    assert await drafted(tmp_path, line="date") == "ours"
    assert await drafted(tmp_path, line="env NAME=value printenv NAME") == "value"


# Progress, and errors


async def test_its_progress_is_reported(script: Any, tmp_path: Path) -> None:
    script('echo "progress 0.4 reading on" >&2; echo "progress .5" >&2; printf "progress 1 x" >&2; echo done')
    with a_run() as told:
        assert await processor("exec:./script", beside=tmp_path)(FIRST) == "done"
    assert told.progress == [(0.4, "reading on"), (0.5, None), (1.0, "x")]


async def test_a_status_that_is_not_0_is_an_error_with_the_last_line(script: Any, tmp_path: Path) -> None:
    script("echo draft; echo first >&2; printf 'no \\tmilk\\033[0m left\\n\\nprogress 2 much' >&2; exit 3")
    with pytest.raises(ProcessorError) as failed:
        await drafted(tmp_path)
    assert str(failed.value) == "The command 'script' ended with status 3: progress 2 much"
    script("printf 'no \\tmilk\\033[0m left\\n\\nprogress 1 x\\n' >&2; exit 3")
    with pytest.raises(ProcessorError, match=r"status 3: no  milk \[0m left$"):
        await drafted(tmp_path)
    script("exit 4")
    with pytest.raises(ProcessorError, match=r"status 4\.$"):
        await drafted(tmp_path)
    script("kill -9 $$")
    with pytest.raises(ProcessorError, match="was ended by SIGKILL"):
        await drafted(tmp_path)


async def test_a_flood_on_standard_error_is_read_and_dropped(script: Any, tmp_path: Path) -> None:
    script(f"head -c {8 * LARGEST} /dev/zero | tr '\\0' x >&2; echo >&2; yes | head -c {LARGEST} >&2; exit 1")
    with pytest.raises(ProcessorError, match=r"status 1: y$"):
        await drafted(tmp_path)
    script(f"head -c {LARGEST} /dev/zero | tr '\\0' x >&2; printf '\\377\\n' >&2; exit 1")
    with pytest.raises(ProcessorError) as failed:
        await drafted(tmp_path)
    assert len(str(failed.value)) < LONGEST_REASON + 100


async def test_what_cannot_be_started_fails_for_good(script: Any, tmp_path: Path) -> None:
    script("echo x")
    found = processor("exec: ./script", beside=tmp_path)
    (tmp_path / "script").write_text("#!/no/such/shell\n")
    with a_run(), pytest.raises(FlowError, match="The command 'script' cannot be started: No such file"):
        await found(FIRST)
    (tmp_path / "script").unlink()
    with a_run(), pytest.raises(FlowError, match="cannot be started"):
        await found(FIRST)


# Its end


def is_alive(pid: int) -> bool:
    """Whether it runs; what is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(*pids: int) -> None:
    """Wait until none of them is alive."""
    async with asyncio.timeout(PATIENCE):
        for pid in pids:
            while is_alive(pid):  # noqa: ASYNC110 - nobody tells us of somebody else's child
                await asyncio.sleep(0.005)


def is_buried(pid: int) -> bool:
    """No zombie either."""
    return not Path(f"/proc/{pid}").exists()


LINGERS = "sleep 1000 & trap '' TERM HUP INT; echo \"progress 0 $$ $!\" >&2; wait"


def pids(told: Told) -> list[int]:
    return [int(word) for word in str(told.progress[0][1]).split()]


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_it_and_its_children_are_killed_when_it_is_stopped(
    script: Any, tmp_path: Path, how: str
) -> None:
    script(LINGERS)
    found = processor("exec: ./script", beside=tmp_path)
    call = asyncio.current_task()
    assert call is not None
    with a_run() as told:
        try:
            async with asyncio.timeout(PATIENCE) as limit:
                loop = asyncio.get_running_loop()
                told.heard = call.cancel if how == "cancelled" else partial(limit.reschedule, loop.time())
                await found(FIRST)
        except TimeoutError:
            assert how == "timed out"
        except asyncio.CancelledError:
            assert how == "cancelled"
            call.uncancel()
    leader, child = pids(told)
    assert is_buried(leader)
    await gone(child)


async def test_what_it_leaves_running_is_killed_when_it_ends(script: Any, tmp_path: Path) -> None:
    script("sleep 1000 & echo $!")
    await gone(int(str(await drafted(tmp_path))))


async def test_a_child_that_left_the_session_does_not_keep_us(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.processors.command.CLOSING", 0.03)
    script("setsid sleep 1000 & echo $!")
    child = int(str(await drafted(tmp_path)))
    os.kill(child, signal.SIGKILL)
    await gone(child)


async def test_an_endless_printer_is_killed(script: Any, tmp_path: Path) -> None:
    script('echo "progress 0 $$" >&2; yes')
    with a_run() as told, pytest.raises(ProcessorError, match="more than 1 MiB"):
        await processor("exec: ./script", beside=tmp_path)(FIRST)
    assert is_buried(pids(told)[0])


def test_it_is_the_same_on_the_loop_of_the_service(script: Any, tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")
    script('echo "progress 0.5 half" >&2; echo done')
    unread = {**FIRST, "task_input": "y" * LARGEST}

    async def run() -> tuple[Json, Told]:
        with a_run() as told:
            found = processor("exec: ./script", beside=tmp_path)
            drafts = await asyncio.gather(*[found(unread) for _ in range(10)])
            assert drafts == ["done"] * 10
            return await found(FIRST), told

    async def stop() -> list[int]:
        script(LINGERS)
        with a_run() as told:
            call = asyncio.ensure_future(processor("exec: ./script", beside=tmp_path)(FIRST))
            told.heard = call.cancel
            with pytest.raises(asyncio.CancelledError):
                await call
        await gone(*pids(told))
        return pids(told)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        draft, told = runner.run(run())
        assert (draft, told.progress) == ("done", [(0.5, "half")] * 11)
        assert len(runner.run(stop())) == 2


# At load


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("./missing", "there is no ./missing at that place"),
        ("missing-anywhere", "there is no missing-anywhere beside the configuration file or on PATH"),
        ("./plain", r"\./plain cannot be executed; see chmod \+x"),
        ("plain", "plain cannot be executed"),
        ("./folder", "cannot be executed"),
        # From Python 3.14 on a name that is too long is one that there is not.
        ("x" * 5000, "cannot be run: File name too long|there is no x+ beside"),
        ("./plain 'open", "No closing quotation"),
        ("", "must name a command"),
        ("./plain a\x00b", "must name a command"),
    ],
)
def test_a_command_that_cannot_be_is_refused(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "plain").write_text("no program")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match=sentence):
        processor(f"exec:{line}", beside=tmp_path)


def test_it_stops_the_start_with_status_2_and_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "countersign.toml").write_text('[flows.draft]\nprocessor = "exec: ./missing"\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")}
    ended = subprocess.run(
        [sys.executable, "-m", "countersign", "serve"],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "COUNTERSIGN_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )
    assert ended.returncode == 2
    assert "flows.draft: processor 'exec:': there is no ./missing at that place." in ended.stderr
    assert "Traceback" not in ended.stderr


# In a whole core


async def test_a_retry_has_the_same_key_and_progress_is_an_event(
    script: Any, tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    script(
        'echo "progress 0.5 half" >&2; echo "$COUNTERSIGN_RUN_KEY" >>keys\n'
        "test -e tried || { >tried; exit 1; }; echo d1"
    )
    flow = definition(flow_settings(processor="exec: ./script"), policies(), tmp_path)
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.event(task.id, NodeRetried)
        clock.advance(seconds=1)
        await world.approve(await world.open_review(task.id))
        done = await world.end(task.id)
        history = await world.history(task.id)
    assert (done.status, done.final_result) == (Status.COMPLETED, "d1")
    first, second = (tmp_path / "keys").read_text().split()
    assert first == second
    assert ProgressReported(node="process", fraction=0.5, text="half") in history


async def test_a_command_that_is_too_slow_fails_its_task(
    script: Any, tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    script("exec sleep 1000")
    settings = flow_settings(processor="exec: ./script", timeout=0.04, retries=0)
    flow = definition(settings, policies(), tmp_path)
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit("x")).id)
    assert (done.status, done.error) == (Status.FAILED, "Node 'process' took longer than 0.04 s.")
