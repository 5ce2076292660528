"""`python -m tests.faults`: the tables of faults, one line for each, with what it took in seconds.

First those of the chats, then those of replicas on one PostgreSQL, which take minutes.

Words that follow choose lines: `python -m tests.faults 429 webhook`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLES = (HERE / "bot" / "test_fault_table.py", HERE / "walks" / "test_replica_faults.py")


class Lines:
    """Prints a line for every fault as it ends."""

    def __init__(self) -> None:
        self.failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        _, _, name = report.nodeid.partition("[")
        self.failed += report.failed
        said = "FAILED" if report.failed else "ok" if report.passed else "-"
        found = re.search(r"^figures: (.+)$", report.capstdout, re.MULTILINE)
        told = f"  {found[1]}" if found else ""
        print(f"{said:6}  {name.removesuffix(']'):60}  {report.duration:5.1f} s{told}", flush=True)
        if report.skipped and isinstance(report.longrepr, tuple):
            print(report.longrepr[2])
        if report.failed:
            print(report.longreprtext)


def main(words: list[str]) -> int:
    lines = Lines()
    chosen = " and ".join(["in_every_fault", *words])
    # Those of replicas take minutes, and are marked so.
    options = [*map(str, TABLES), "-m", "", "-k", chosen, "-p", "no:terminal", "-p", "no:logging"]
    status = pytest.main(options, plugins=[lines])
    print("every line holds" if status == 0 else f"{lines.failed} lines do not hold")
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
