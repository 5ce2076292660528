"""`python -m tests.faults`: the table of faults, one line for each, with what it took in seconds.

Words that follow choose lines: `python -m tests.faults 429 webhook`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TABLE = Path(__file__).parent / "bot" / "test_fault_table.py"


class Lines:
    """Prints a line for every fault as it ends."""

    def __init__(self) -> None:
        self.failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and not report.failed:
            return
        _, _, name = report.nodeid.partition("[")
        self.failed += report.failed
        print(
            f"{'FAILED' if report.failed else 'ok':6}  {name.removesuffix(']'):60}  {report.duration:5.1f} s"
        )
        if report.failed:
            print(report.longreprtext)


def main(words: list[str]) -> int:
    lines = Lines()
    chosen = " and ".join(["in_every_fault", *words])
    options = [str(TABLE), "-k", chosen, "-p", "no:terminal", "-p", "no:logging"]
    status = pytest.main(options, plugins=[lines])
    print("every line holds" if status == 0 else f"{lines.failed} lines do not hold")
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
