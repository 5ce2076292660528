"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

IMPORTED = ("aiohttp.web", "sqlalchemy", "pydantic_settings", "slack_bolt.async_app", "telegram.ext")


def described() -> str:
    """One paragraph: processor, cores, system, Python, and how long the disk takes for one fsync."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; one fsync of a 4 KiB write takes "
        f"{fsync_ms():.2f} ms (median of 200), and importing what every such service imports "
        f"({', '.join(IMPORTED)}) {import_seconds():.2f} s (best of five)."
    )


def import_seconds() -> float:
    """The price of the libraries alone, beside which the start has to be read."""
    command = [sys.executable, "-c", f"import {', '.join(IMPORTED)}"]
    return min(_seconds(command) for _ in range(5))


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def fsync_ms() -> float:
    """The machine's own price of a durable write, beside which every figure of ours has to be read."""
    with tempfile.NamedTemporaryFile(dir=".") as file:
        return median(_one_fsync(file.fileno()) for _ in range(200)) * 1000


def _one_fsync(file: int) -> float:
    os.pwrite(file, os.urandom(4096), 0)
    began = time.perf_counter()
    os.fsync(file)
    return time.perf_counter() - began


class Process:
    """CPU and memory of one process, from /proc."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._tick = os.sysconf("SC_CLK_TCK")

    def cpu(self, *, ended: bool = False) -> float:
        """Seconds of CPU so far, user and system; with those of its children that have `ended`."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11 : 15 if ended else 13])) / self._tick

    def memory(self) -> int:
        """Resident bytes."""
        line = next(x for x in (self._folder / "status").read_text().splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) * 1024
