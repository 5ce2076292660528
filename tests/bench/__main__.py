"""`make bench`: the figures of docs/benchmark.md, measured now and printed as a table and as JSON lines."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import measures
from tests.bench.machine import described

if TYPE_CHECKING:
    from tests.bench.figures import Figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(measures.ALL), help="one part instead of all")
    parser.add_argument("--waiting", type=int, default=100_000, help="how many tasks wait")
    parser.add_argument("--trips", type=int, default=4_000, help="round trips at 32 clients")
    parser.add_argument("--presses", type=int, default=2_000, help="presses in each chat")
    parser.add_argument(
        "--million", type=int, default=1_000_000, help="how many tasks --only million has wait"
    )
    parser.add_argument("--drain", type=int, help="how many of them it decides, instead of all")
    parser.add_argument(
        "--drain-seconds", type=float, default=600.0, help="for how long it decides, on each database"
    )
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    parts = [options.only] if options.only else [part for part in measures.ALL if part not in measures.LONG]
    figures = [figure for part in parts for figure in asyncio.run(measures.ALL[part](options))]
    for figure in figures:
        print(json.dumps(figure.as_json()), flush=True)
    text = table(figures)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    sys.exit(0)


def table(figures: list[Figure]) -> str:
    """Markdown: what, measured, bar."""
    rows = "\n".join(f"| {f.what} | {f.shown} | {f.bar} |" for f in figures)
    return f"{described()}\n\n| what | measured | at most |\n|---|---|---|\n{rows}\n"


if __name__ == "__main__":
    main()
