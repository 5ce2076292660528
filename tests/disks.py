"""Disks that fill up."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(place: Path, size: str, *, unseen: str) -> Iterator[None]:
    """That folder is a file system of this `size` (`4m`); who may not mount one is told what is `unseen`."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"This user may not mount a small disk; not seen: {unseen}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
