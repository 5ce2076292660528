"""`make soak`: the long fault, crash and race runs, with their figures in docs/evidence.md.

Resumable: what passed on this commit is not run again. Each run prints its seed; `--seed` repeats one.
A test tells its figures by printing a line that begins with `figures:`; at the end stands a line for each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from secrets import randbelow

STATE = Path(".soak.json")
EVIDENCE = Path("docs/evidence.md")
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=randbelow(2**31), help="the seed of this run")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORD", help="only tests whose name contains one of these"
    )
    parser.add_argument("--again", action="store_true", help="also what passed on this commit before")
    options = parser.parse_args()
    commit = _output("git", "rev-parse", "--short", "HEAD")
    passed = {} if options.again else _remembered(commit)
    names = [name for name in collected() if any(word in name for word in options.only)]
    failed = [name for name in names if name not in passed and not run(name, options.seed, commit, passed)]
    write_evidence(passed, commit)
    for name in names:
        print(line(name, passed.get(name)))
    print(f"{len(names) - len(failed)} passed, {len(failed)} failed; --seed {options.seed} repeats this run")
    sys.exit(1 if failed else 0)


def collected() -> list[str]:
    """Every test marked `soak`."""
    lines = _output(sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "soak").splitlines()
    return [line for line in lines if "::" in line]


def line(name: str, found: dict[str, str] | None) -> str:
    """What became of one test, with its figures, on one line."""
    short = name.partition("tests/")[2]
    if found is None:
        return f"FAILED  {short}"
    return f"ok      {short}  {found['took']}  {found['figures'] or 'passed'}"


def run(name: str, seed: int, commit: str, passed: dict[str, dict[str, str]]) -> bool:
    """Run one test, show what it prints, keep its figures."""
    print(f"== {name} (seed {seed})", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-m", "soak", "--timeout", "3600", name],
        env={**os.environ, "COUNTERSIGN_SOAK_SEED": str(seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr, flush=True)
    if done.returncode == 0:
        figures = re.findall(r"^\.*figures:\s*(.+)$", done.stdout, re.MULTILINE)
        took = f"{time.monotonic() - began:.0f} s"
        passed[name] = {
            "figures": "; ".join(figures),
            "seed": str(seed),
            "took": took,
            "day": f"{datetime.now(UTC):%Y-%m-%d}",
        }
        STATE.write_text(json.dumps({"commit": commit, "passed": passed}))
    print(line(name, passed.get(name)), flush=True)
    return done.returncode == 0


def write_evidence(passed: dict[str, dict[str, str]], commit: str) -> None:
    """Put a table of what passed between the two marks."""
    rows = "\n".join(
        f"| `{name}` | {run['figures'] or 'passed'} | {run['seed']} | {run['took']} | {run['day']} |"
        for name, run in sorted(passed.items())
    )
    table = f"Commit {commit}.\n\n| test | figures | seed | took | day |\n|---|---|---|---|---|\n{rows}"
    text = EVIDENCE.read_text(encoding="utf-8") if EVIDENCE.exists() else ""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    EVIDENCE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def _remembered(commit: str) -> dict[str, dict[str, str]]:
    if not STATE.exists():
        return {}
    state = json.loads(STATE.read_text())
    found: dict[str, dict[str, str]] = state["passed"] if state["commit"] == commit else {}
    return found


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
