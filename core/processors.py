"""What a ProcessNode calls to turn a task into a draft.

A function named in the configuration is called with the task's input, and by name with whatever else it
asks for among `OFFERED`. So the smallest is `def draft(text): ...`.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError
from core.model import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from core.model import Json
    from core.ports import Processor

OFFERED = {
    "feedback": "feedback",
    "feedback_comment": "feedback_comment",
    "comment": "feedback_comment",
    "attempt": "attempt",
    "previous": "processed_output",
    "task_id": "task_id",
    "shared": None,
}
"""Parameter name to the key of `shared` that it receives; `shared` itself comes as a copy."""


async def offline(shared: Mapping[str, Json]) -> Json:
    """The default: a tidied copy of the input which, after a rejection, says what it answers to.

    Deterministic, and needs no network; it shows the loop without a model behind it.
    """
    text = _tidied(text_of(shared["task_input"]))
    if shared.get("feedback") != "rejected":
        return text
    comment = shared.get("feedback_comment")
    reason = f"“{_tidied(str(comment))}”" if comment else "no reason was given"
    return f"{text}\n\n— Attempt {shared['attempt']}, revised after the review: {reason}"


def _tidied(text: str) -> str:
    """Lines without trailing space, no blank lines at the ends."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def processor(spec: str | None, *, beside: Path | None = None) -> Processor:
    """The processor that a flow's `processor = "…"` names; raises `SettingsError`.

    Modules are looked up in the folder `beside` (that of the configuration file) first.
    """
    if spec is None:
        return offline
    scheme, _, name = spec.partition(":")
    if scheme != "python":
        raise SettingsError(f"processor {spec!r}: only python:module:function is known.")
    module, _, function = name.partition(":")
    if not module or not function:
        raise SettingsError(f"processor {spec!r} must read python:module:function.")
    return from_function(_imported(spec, module, function, beside), spec)


def _imported(spec: str, module: str, function: str, beside: Path | None) -> Callable[..., Any]:
    if beside is not None and str(beside) not in sys.path:
        sys.path.insert(0, str(beside))
    try:
        found = getattr(importlib.import_module(module), function)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's module may raise anything while it is imported
        raise SettingsError(f"processor {spec!r} cannot be imported: {_reason(error)}.") from error
    if not callable(found):
        raise SettingsError(f"processor {spec!r} is not a function.")
    checked: Callable[..., Any] = found
    return checked


def _reason(error: BaseException) -> str:
    """The error's class and, where it has one, the first line of what it says."""
    try:
        lines = str(error).strip().rstrip(".").splitlines()
    except Exception:  # noqa: BLE001 - an exception of somebody else's may not even be able to say so
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def from_function(function: Callable[..., Any], spec: str) -> Processor:
    """Call an async function on the event loop, any other one in a thread of its own."""
    wanted = _wanted(function, spec)
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async counts too
    )

    async def call(shared: Mapping[str, Json]) -> Json:
        named = {name: dict(shared) if key is None else shared.get(key) for name, key in wanted.items()}
        draft: Json
        if is_async:
            draft = await function(shared["task_input"], **named)
        else:
            draft = await in_thread(lambda: function(shared["task_input"], **named))
        return draft

    return call


def _wanted(function: Callable[..., Any], spec: str) -> dict[str, str | None]:
    """Which of `OFFERED` the function asks for by name, besides its first parameter, the input."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:  # as of some that are written in C
        raise SettingsError(f"processor {spec!r} does not say what it asks for: {_reason(error)}.") from error
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    ):
        raise SettingsError(f"processor {spec!r} must take the task's input as its first argument.")
    named = [p for p in parameters[1:] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [p.name for p in named if p.name not in OFFERED and p.default is p.empty]
    if unknown or any(p.kind is p.POSITIONAL_ONLY for p in named):
        raise SettingsError(
            f"processor {spec!r} asks for {', '.join(unknown) or 'a second positional argument'}; "
            f"it may ask by name for: {', '.join(OFFERED)}."
        )
    return {p.name: OFFERED[p.name] for p in named if p.name in OFFERED}


async def in_thread(call: Callable[[], Any]) -> Any:
    """What a blocking `call` returns, run in a daemon thread of its own.

    A pool would wait at exit for calls that never return, and a few of those would fill it for everybody.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def run() -> None:
        result: Any = None
        error: Exception | None = None
        try:
            result = call()
        except StopIteration as stop:
            # A future refuses StopIteration, which would end the coroutine that awaits it.
            error = RuntimeError(f"the function raised StopIteration({stop})")
        except Exception as raised:  # noqa: BLE001 - handed to whoever waits
            error = raised
        except BaseException as raised:  # noqa: BLE001 - sys.exit() in a function must not end the service
            error = RuntimeError(f"the function raised {type(raised).__name__}({raised})")
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="processor", daemon=True).start()
    return await answer
