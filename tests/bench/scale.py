"""The measurements past one machine: on PostgreSQL, beside LangGraph, in a flood, with a million tasks."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from core.imports import extra
from tests.bench.comparison import compared, is_installed
from tests.bench.figures import Figure, MiB
from tests.bench.flood import FLOOD, flooded
from tests.bench.million import drained
from tests.bench.postgres import postgres
from tests.bench.replicas import middle, one_and_two

if TYPE_CHECKING:
    from argparse import Namespace

    from tests.bench.comparison import Compared, Service
    from tests.bench.million import Drained
    from tests.bench.replicas import Replicas

BATCHES = 5


async def beside(options: Namespace) -> list[Figure]:
    """The round trip beside a LangGraph service of the same job, on both databases, in turns."""
    if not is_installed():
        print(
            f"LangGraph is not installed, so nothing is compared with it, which needs {extra('langgraph')}."
        )
    trips = options.trips // BATCHES
    with tempfile.TemporaryDirectory(dir=".") as name:
        figures = _beside("SQLite", await compared(Path(name), trips, BATCHES), ALLOWED["SQLite"])
    with tempfile.TemporaryDirectory(dir=".") as name, postgres() as server:
        found = await compared(Path(name), trips, BATCHES, server)
    return [*figures, *_beside("PostgreSQL", found, ALLOWED["PostgreSQL"])]


@dataclass(frozen=True, slots=True)
class Bars:
    """What a database's figures may be at most; the rate, at least."""

    cpu: str
    rate: str
    decision: str


ALLOWED = {
    "SQLite": Bars("1/6 (0.17)", "6 or more", "25 ms"),
    "PostgreSQL": Bars("1/3 (0.33)", "4 or more", "100 ms"),
}


def _beside(database: str, found: Compared, bars: Bars) -> list[Figure]:
    key = database.lower()
    ours = _service(key, f"Countersign on {database}", found.ours, bars.decision)
    if found.theirs is None:
        return ours
    included = ", the database's included" if found.ours.database_cpu else ""
    return [
        *ours,
        *_service(f"{key}_langgraph", f"LangGraph on {database}", found.theirs, ""),
        Figure(
            name=f"{key}_cpu_ratio",
            what=f"CPU per round trip on {database}{included}: Countersign to LangGraph",
            value=found.ours.cpu_in_all / found.theirs.cpu_in_all,
            unit="",
            bar=bars.cpu,
        ),
        Figure(
            name=f"{key}_rate_ratio",
            what=f"round trips a second on {database}, 32 clients: Countersign to LangGraph",
            value=found.ours.rate / found.theirs.rate,
            unit="",
            bar=bars.rate,
        ),
    ]


def _service(key: str, who: str, found: Service, decision: str) -> list[Figure]:
    figures = [
        Figure(
            name=f"{key}_cpu",
            what=f"{who}: CPU of the service per round trip, 32 clients",
            value=found.cpu * 1000,
            unit="ms",
        ),
        Figure(
            name=f"{key}_rate",
            what=f"{who}: round trips a second, 32 clients",
            value=found.rate,
            unit="/s",
        ),
    ]
    if found.database_cpu:
        figures.append(
            Figure(
                name=f"{key}_database_cpu",
                what=f"{who}: CPU of the database's processes per round trip",
                value=found.database_cpu * 1000,
                unit="ms",
            )
        )
    for clients, times, bar in (
        ("32 clients", found.decided, decision),
        ("one client", found.decided_alone, ""),
    ):
        count = clients.split()[0]
        figures += [
            Figure(
                name=f"{key}_decision_p{cut}_{count}",
                what=f"{who}: a decision answered, {clients}, p{cut}",
                value=quantiles(times, n=100)[cut - 1] * 1000,
                unit="ms",
                bar=bar if cut == 99 else "",
            )
            for cut in (50, 99)
        ]
    return figures


async def flood(_options: Namespace) -> list[Figure]:
    """Decisions while 10,000 submissions come in."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=".") as name, postgres() as server:
        for database, url in (("SQLite", None), ("PostgreSQL", server.migrated("flood"))):
            folder = Path(name) / database
            folder.mkdir()
            found = await flooded(folder, url)
            figures += [
                Figure(
                    name=f"flood_decision_p99_{database.lower()}",
                    what=f"a decision answered during {FLOOD:,} submissions on {database}, p99; "
                    f"at rest {found.idle * 1000:.1f} ms; {found.refused:,} told to come back",
                    value=found.flooded * 1000,
                    unit="ms",
                ),
                Figure(
                    name=f"flood_decision_ratio_{database.lower()}",
                    what=f"the same on {database}, to that at rest",
                    value=found.flooded / found.idle,
                    unit="",
                    bar="2",
                ),
            ]
    return figures


async def million(options: Namespace) -> list[Figure]:
    """A million waiting tasks on either database: opened, and decided."""
    figures: list[Figure] = []
    most, patience = options.drain, options.drain_seconds
    with tempfile.TemporaryDirectory(dir=".") as name:
        figures += _drained("SQLite", await drained(Path(name), options.million, patience, most, None))
    with tempfile.TemporaryDirectory(dir=".") as name, postgres() as server:
        found = await drained(Path(name), options.million, patience, most, server)
    return [*figures, *_drained("PostgreSQL", found)]


def _drained(database: str, found: Drained) -> list[Figure]:
    key = f"million_{database.lower()}"
    tasks = f"{found.waiting:,} waiting tasks on {database}"
    rest = f"the other {found.waiting - found.decided:,} wait still"
    if found.decided == found.waiting:
        rest = "that is all of them, and none is left"
    besides = f", {found.database_busy:.2f} of the database's" if found.database_busy else ""
    return [
        Figure(
            name=f"{key}_ready",
            what=f"start to ready with {tasks}, best of four",
            value=found.ready,
            unit="s",
            bar="2 s",
        ),
        Figure(
            name=f"{key}_memory",
            what=f"whole process with {tasks}; {found.memory_after / MiB:.0f} MiB after the decisions",
            value=found.memory / MiB,
            unit="MiB",
        ),
        Figure(
            name=f"{key}_drained",
            what=f"decided of {tasks} in {found.seconds:.0f} s, each of them completed; {rest}",
            value=found.decided,
            unit="",
        ),
        Figure(
            name=f"{key}_rate",
            what=f"decisions a second of them, {found.busy:.2f} of the service's core{besides} busy",
            value=found.rate,
            unit="/s",
        ),
    ]


async def replicas(options: Namespace) -> list[Figure]:
    """The round trip with two replicas and with one, in turns."""
    with tempfile.TemporaryDirectory(dir=".") as name, postgres() as server:
        fast, paced = await one_and_two(Path(name), server, max(options.trips // 4, 100))
    same = f"at the same rate, {middle(paced.one, lambda turn: turn.rate):.0f} a second"
    return [
        *_replicas("fast", "32 clients as fast as they are answered", fast, "1.15"),
        *_replicas("paced", same, paced, ""),
    ]


def _replicas(key: str, how: str, found: Replicas, bar: str) -> list[Figure]:
    figures: list[Figure] = []
    for number, who, turns in (("one", "one replica", found.one), ("two", "two replicas", found.two)):
        spread = ", ".join(f"{turn.cpu * 1000:.2f}" for turn in turns)
        service, database, rate = (
            middle(turns, of)
            for of in (lambda turn: turn.service, lambda turn: turn.database, lambda turn: turn.rate)
        )
        figures.append(
            Figure(
                name=f"replicas_{key}_{number}_cpu",
                what=f"CPU per round trip with {who} on PostgreSQL, {how}: median of {len(turns)} turns "
                f"({spread}), service {service * 1000:.2f} and database {database * 1000:.2f}, "
                f"{rate:.0f} a second",
                value=middle(turns, lambda turn: turn.cpu) * 1000,
                unit="ms",
            )
        )
    ratio = Figure(
        name=f"replicas_{key}_ratio",
        what=f"CPU per round trip with two replicas to that with one, {how}",
        value=found.ratio,
        unit="",
        bar=bar,
    )
    return [*figures, ratio]
