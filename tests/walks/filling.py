"""A disk that is full."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def fill(file: Path) -> None:
    """Until the disk takes not one byte more."""
    with file.open("wb", buffering=0) as rubbish, suppress(OSError):
        while rubbish.write(bytes(4096)):
            pass
