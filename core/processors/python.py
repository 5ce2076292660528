"""`python:module:function`: called with the task's input, and by name with what else it asks for.

It may ask for whatever stands in `OFFERED`. So the smallest is `def draft(text): ...`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError
from core.imports import reason
from core.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
