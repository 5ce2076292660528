"""What a ProcessNode calls."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import SettingsError
from core.processors import from_function, offline, processor
from core.threads import in_thread
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST: dict[str, Any] = {
    "task_id": "t",
    "task_input": "  buy milk  \nand bread\n\n",
    "processed_output": None,
    "feedback": None,
    "feedback_comment": None,
    "attempt": 1,
}
REJECTED = {
    **FIRST,
    "feedback": "rejected",
    "feedback_comment": "say how much",
    "attempt": 2,
    "processed_output": "d1",
}


async def test_the_default_uses_the_input_and_is_deterministic() -> None:
    assert await offline(FIRST) == await offline(FIRST) == "  buy milk\nand bread".strip()
    assert await offline({**FIRST, "task_input": {"a": 1}}) == '{\n  "a": 1\n}'


async def test_the_defaults_second_attempt_differs_and_quotes_the_reason() -> None:
    second = str(await offline(REJECTED))
    assert second.startswith("buy milk\nand bread")
    assert "“say how much”" in second
    assert "Attempt 2" in second
    assert second != await offline(FIRST)
    assert "no reason" in str(await offline({**REJECTED, "feedback_comment": None}))
    assert await offline({**REJECTED, "attempt": 3}) != second


def plain(text: str) -> str:
    return text.upper()


async def asynchronous(text: str) -> str:
    await asyncio.sleep(0)
    return text.upper()


class Shouting:
    async def __call__(self, text: str) -> str:
        return text.upper()


@pytest.mark.parametrize("function", [plain, asynchronous, Shouting(), lambda text, *more: text.upper()])
async def test_a_function_of_one_argument_is_enough(function: Callable[..., Any]) -> None:
    assert await from_function(function, "x")({**FIRST, "task_input": "milk"}) == "MILK"


async def test_a_function_is_given_what_it_asks_for_by_name() -> None:
    def all_of_it(
        text: str,
        *,
        feedback: str,
        feedback_comment: str,
        comment: str,
        attempt: int,
        previous: str,
        task_id: str,
        shared: dict[str, Any],
        mine: int = 7,
    ) -> list[Any]:
        shared["attempt"] = "changed in a copy"
        return [text, feedback, feedback_comment, comment, attempt, previous, task_id, mine]

    given = {**REJECTED, "task_input": "milk"}
    answer = await from_function(all_of_it, "x")(given)
    assert answer == ["milk", "rejected", "say how much", "say how much", 2, "d1", "t", 7]
    assert given["attempt"] == 2


def test_a_function_that_asks_for_more_is_refused_with_what_there_is() -> None:
    def wants(text: str, temperature: float) -> None: ...

    with pytest.raises(SettingsError, match=r"temperature.*feedback_comment"):
        from_function(wants, "python:m:wants")


@pytest.mark.parametrize("function", [lambda: 1, lambda *, text: text, lambda **all_: all_])
def test_a_function_that_takes_no_input_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(SettingsError, match="first argument"):
        from_function(function, "python:m:f")


async def test_a_blocking_function_leaves_the_event_loop_free() -> None:
    release, threads = threading.Event(), []

    def blocks(text: str) -> str:
        threads.append(threading.current_thread())
        release.wait(PATIENCE)
        return text

    calls = [asyncio.ensure_future(from_function(blocks, "x")(FIRST)) for _ in range(20)]
    await asyncio.sleep(0)
    release.set()
    assert len(await asyncio.gather(*calls)) == 20
    assert len(set(threads)) == 20
    assert threading.main_thread() not in threads


async def test_an_error_of_a_function_reaches_its_caller() -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    with pytest.raises(LookupError, match="milk"):
        await from_function(broken, "x")({**FIRST, "task_input": "milk"})


@pytest.mark.parametrize("raised", [StopIteration("x"), SystemExit(2), KeyboardInterrupt(), GeneratorExit()])
async def test_what_would_end_a_loop_comes_out_as_an_error(raised: BaseException) -> None:
    def broken() -> None:
        raise raised

    with pytest.raises(RuntimeError, match=type(raised).__name__):
        await in_thread(broken)


async def test_a_call_that_nobody_waits_for_any_more_ends_quietly() -> None:
    release, ended = threading.Event(), threading.Event()

    def blocks() -> None:
        release.wait(PATIENCE)
        ended.set()

    call = asyncio.ensure_future(in_thread(blocks))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    await asyncio.to_thread(ended.wait, PATIENCE)


def test_a_call_that_outlives_its_loop_ends_quietly() -> None:
    release, begun, threads = threading.Event(), threading.Event(), []

    def blocks() -> None:
        threads.append(threading.current_thread())
        begun.set()
        release.wait(PATIENCE)

    async def leave() -> None:
        call = asyncio.ensure_future(in_thread(blocks))
        await asyncio.to_thread(begun.wait, PATIENCE)
        call.cancel()

    asyncio.run(leave())
    release.set()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()


async def test_a_module_beside_the_configuration_is_found_first(tmp_path: Path) -> None:
    (tmp_path / "beside_me.py").write_text("def draft(text): return f'beside: {text}'\nnumber = 3\n")
    try:
        found = processor("python:beside_me:draft", beside=tmp_path)
        assert await found({**FIRST, "task_input": "x"}) == "beside: x"
        with pytest.raises(SettingsError, match="not a function"):
            processor("python:beside_me:number", beside=tmp_path)
        with pytest.raises(SettingsError, match="cannot be imported"):
            processor("python:beside_me:missing", beside=tmp_path)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("beside_me", None)


def test_what_does_not_tell_its_parameters_is_refused_with_a_sentence() -> None:
    with pytest.raises(SettingsError, match=r"'python:builtins:str' does not say what it asks for"):
        processor("python:builtins:str")


def test_an_interrupt_while_a_module_is_imported_still_interrupts(tmp_path: Path) -> None:
    (tmp_path / "interrupted_module.py").write_text("raise KeyboardInterrupt")
    try:
        with pytest.raises(KeyboardInterrupt):
            processor("python:interrupted_module:draft", beside=tmp_path)
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("import os\n\n1 / 0", "ZeroDivisionError: division by zero (broken_module.py, line 3)."),
        ("from broken_part import x", "KeyError: 'x' (broken_part.py, line 2)."),
        (
            "import no_such_module",
            "ModuleNotFoundError: No module named 'no_such_module' (broken_module.py, line 1).",
        ),
        ("def draft(:", "SyntaxError: invalid syntax (broken_module.py, line 1)."),
        ("x = 1", "AttributeError: module 'broken_module' has no attribute 'draft'."),
    ],
)
def test_where_a_module_cannot_be_imported_is_told(tmp_path: Path, body: str, told: str) -> None:
    (tmp_path / "broken_module.py").write_text(body)
    (tmp_path / "broken_part.py").write_text("def look():\n    return {}['x']\n\nlook()\n")
    try:
        with pytest.raises(SettingsError) as refused:
            processor("python:broken_module:draft", beside=tmp_path)
        assert str(refused.value).endswith(f"cannot be imported: {told}")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("broken_module", None)


def test_a_module_that_breaks_in_a_library_is_told_by_its_own_line(tmp_path: Path) -> None:
    library = tmp_path / ".venv" / "lib" / "site-packages"
    (tmp_path / "broken_folder").mkdir()
    library.mkdir(parents=True)
    (library / "their_library.py").write_text("\n1 / 0\n")
    (tmp_path / "broken_folder" / "__init__.py").write_text("\n\nimport their_library\n")
    sys.path.append(str(library))
    try:
        with pytest.raises(SettingsError, match=r"by zero \(broken_folder/__init__\.py, line 3\)\.$"):
            processor("python:broken_folder:draft", beside=tmp_path)
    finally:
        for added in (library, tmp_path):
            sys.path.remove(str(added))


@pytest.mark.parametrize(
    "body",
    [
        "def draft(:",
        "raise ValueError('at import')",
        "import not_installed_anywhere",
        "1/0",
        "import sys; sys.exit(3)",
        "raise SystemExit",
        "class Mute(Exception):\n def __str__(self): raise ValueError\nraise Mute",
        "raise GeneratorExit('x\\ny')",
    ],
)
def test_a_module_that_cannot_be_imported_is_refused_with_a_sentence(tmp_path: Path, body: str) -> None:
    (tmp_path / "broken_module.py").write_text(body)
    try:
        with pytest.raises(SettingsError, match=r"'python:broken_module:draft' cannot be imported"):
            processor("python:broken_module:draft", beside=tmp_path)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("broken_module", None)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "draft",
        "python:",
        "python:m",
        "python:m:",
        "python::f",
        "model:gpt",
        "ftp://x/y",
        "http://",
        "https:///path",
        "http://x:port/",
        "http://x/with space",
        "http://x/#part",
        "http://" + "a" * 64 + ".example/",
        "exec:",
        "exec: 'open",
        "python:no_such_module_here:f",
    ],
)
def test_a_wrong_specification_is_refused_with_a_sentence(spec: str) -> None:
    with pytest.raises(SettingsError, match="processor"):
        processor(spec)


def test_what_a_url_may_hide_is_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        processor("https://user:secret@x:port/?key=secret")
    assert "secret" not in str(refused.value)


def test_a_prompt_is_for_models() -> None:
    with pytest.raises(SettingsError, match="prompt"):
        processor(None, prompt="Be kind.")


async def test_without_a_specification_it_is_the_default() -> None:
    assert processor(None) is offline
