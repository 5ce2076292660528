"""What a ProcessNode calls to turn a task into a draft, by what a flow's `processor = "…"` says.

    None                      offline.py
    python:module:function    python.py
    http://… https://…        http.py
    model                     model.py, with the endpoint of COUNTERSIGN_MODEL_URL
    exec: ./script argument   command.py

Each raises `FlowError` for what would go wrong the next time too, which fails the task, and
`ProcessorError` for the rest, which the flow's `retries` repeat.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.imports import imported
from core.processors.offline import offline
from core.processors.python import from_function

if TYPE_CHECKING:
    from pathlib import Path

    from core.model import ModelEndpoint
    from core.ports import Processor

__all__ = ["from_function", "offline", "processor"]

MINUTE = timedelta(minutes=1)


def processor(
    spec: str | None,
    *,
    beside: Path | None = None,
    timeout: timedelta = MINUTE,
    model: ModelEndpoint | None = None,
    prompt: str | None = None,
) -> Processor:
    """The processor that a flow's `processor = "…"` names; raises `SettingsError`.

    Modules, commands and a prompt's `@file` are looked up in the folder `beside` (that of the
    configuration file) first. `timeout` is the flow's.
    """
    if prompt is not None and spec != "model":
        raise SettingsError('`prompt` is for processor = "model".')
    if spec is None:
        return offline
    scheme, _, rest = spec.partition(":")
    match scheme:
        case "python":
            return from_function(imported(f"processor {spec!r}", rest, beside), spec)
        case "http" | "https":
            from core.processors.http import HttpProcessor  # noqa: PLC0415 - aiohttp takes its time

            return HttpProcessor(spec, within=timeout)
        case "exec":
            from core.processors.command import CommandProcessor  # noqa: PLC0415 - likewise

            return CommandProcessor(rest, beside=beside)
        case "model" if spec == "model":
            from core.processors.model import ModelProcessor, instructions  # noqa: PLC0415 - likewise

            return ModelProcessor(model, prompt=instructions(prompt, beside), within=timeout)
        case _:
            raise SettingsError(
                f"processor {spec!r} is none that is known: python:module:function, http(s)://…, "
                "model, or exec: command."
            )
