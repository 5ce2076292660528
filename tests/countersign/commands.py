"""The program, run as people run it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx

from tests.bench.server import environment

if TYPE_CHECKING:
    from pathlib import Path


CONFIG = '[people.ana]\nname = "Ana"\n[people.sam]\nname = "Sam"\n[policies.default]\nreviewers = ["ana"]\n'


def countersign(folder: Path, *words: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "countersign", *words],
        cwd=folder,
        env=environment(8080, **env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def until(condition: object, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """Ask again until the condition holds; the process must live meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if condition():  # type: ignore[operator]  # any callable
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError("it did not become true")
