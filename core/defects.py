"""Defects of ours, as a log may have them: what and where, without the message.

An error's message may quote what people wrote, those of chat clients quote tokens, and so may local
variables.
"""

from __future__ import annotations

import traceback
from pathlib import Path


class Broke(Exception):
    """What no rule knows was raised while the task stood at `version`; its cause is that."""

    def __init__(self, version: int) -> None:
        super().__init__(f"at version {version}")
        self.version = version


FRAMES = 12
"""The innermost of a traceback; what leads there is the libraries' affair."""


def defect(error: BaseException) -> dict[str, str]:
    """`error`, its class; and `at`, its traceback as places alone, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = (f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return {"error": type(error).__name__, "at": " > ".join(places)}
