"""What a ProcessNode calls to turn a task into a draft.

A function named in the configuration is called with the task's input, and by name with whatever else it
asks for among `OFFERED`. So the smallest is `def draft(text): ...`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError
from core.imports import imported, reason
from core.model import text_of
from core.threads import in_thread

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
    return from_function(imported(f"processor {spec!r}", name, beside), spec)


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
        raise SettingsError(f"processor {spec!r} does not say what it asks for: {reason(error)}.") from error
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
