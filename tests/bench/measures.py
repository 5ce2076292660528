"""The measurements. Each starts what it needs, and stops it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure, KiB, MiB
from tests.bench.scale import beside, flood, million, replicas
from tests.bench.server import CONFIGURATION, many, posted, serving, session, trip, until_all_wait
from tests.bench.wire import wires

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Coroutine

    from tests.bench.server import Server
    from tests.bench.wire import Wires

BATCHES = 5
"""Of round trips: the machine is shared, and one batch may have it less to itself than another."""


async def _batch(http: Wires, server: Server, trips: int) -> tuple[float, float]:
    """The server's CPU seconds per round trip, and round trips a second."""
    cpu, began = server.process.cpu(), time.perf_counter()
    await many(trips, 32, lambda: trip(http, server))
    return (server.process.cpu() - cpu) / trips, trips / (time.perf_counter() - began)


async def round_trips(options: Namespace) -> list[Figure]:
    """Submit, reject, approve, completed on SSE: 32 clients, then one."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        async with serving(Path(folder)) as server, wires() as http:
            await many(300, 32, lambda: trip(http, server))
            batches = [await _batch(http, server, options.trips // BATCHES) for _ in range(BATCHES)]
            alone = [await trip(http, server) for _ in range(500)]
    return [
        Figure(
            name="cpu_per_trip",
            what=f"CPU of the server per round trip, 32 clients, median of {BATCHES} batches",
            value=median(cpu for cpu, _ in batches) * 1000,
            unit="ms",
            bar="2 ms (goal 1.5)",
        ),
        Figure(
            name="trips_per_second",
            what="round trips a second, 32 clients",
            value=median(rate for _, rate in batches),
            unit="/s",
        ),
        Figure(
            name="approve_to_completed_p50",
            what="approve to completed on SSE, one client, p50",
            value=median(alone) * 1000,
            unit="ms",
            bar="2 ms",
        ),
        Figure(
            name="approve_to_completed_p99",
            what="approve to completed on SSE, one client, p99",
            value=quantiles(alone, n=100)[98] * 1000,
            unit="ms",
            bar="5 ms",
        ),
    ]


async def waiting(options: Namespace) -> list[Figure]:
    """Many waiting tasks: memory, idle CPU, restart."""
    count = options.waiting
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        async with serving(folder) as server, session() as http:
            sam = server.headers("sam")

            async def submit() -> None:
                await posted(http, f"{server.url}/submit", {"data": "a text to be reviewed"}, sam)

            await many(2_000, 64, submit)
            await until_all_wait(http, server)
            before = server.process.memory()
            await many(count, 64, submit)
            await until_all_wait(http, server)
            added = server.process.memory() - before
            idle = await idle_cpu(server)
        async with serving(folder) as again:
            fresh = again.process.memory()
        ready = await restart_to_ready(folder)
    thousands = f"{count:,} waiting tasks"
    return [
        Figure(
            name="waiting_memory",
            what=f"memory added by {thousands}",
            value=added / MiB,
            unit="MiB",
            bar="32 MiB",
        ),
        Figure(
            name="waiting_memory_after_restart",
            what=f"whole process after a restart with {thousands}",
            value=fresh / MiB,
            unit="MiB",
        ),
        Figure(
            name="waiting_idle_cpu",
            what=f"idle CPU with {thousands}",
            value=idle * 100,
            unit="%",
            bar="0.5 %",
        ),
        Figure(
            name="waiting_restart",
            what=f"restart to ready with {thousands}",
            value=ready,
            unit="s",
            bar="1 s",
        ),
    ]


async def idle_cpu(server: Any, seconds: float = 20.0) -> float:
    """The share of one core that an idle server takes."""
    await asyncio.sleep(2.0)
    cpu = server.process.cpu()
    await asyncio.sleep(seconds)
    return float(server.process.cpu() - cpu) / seconds


async def restart_to_ready(folder: Path) -> float:
    """Seconds from starting the process to `/readyz`, the best of three."""
    return min([await _start_once(folder) for _ in range(3)])


async def _start_once(folder: Path, config: str = CONFIGURATION) -> float:
    async with serving(folder, config=config) as server:
        return server.ready_after


async def streams(_options: Namespace) -> list[Figure]:
    """Memory of an open status stream."""
    count = 2_000
    with tempfile.TemporaryDirectory(dir=".") as folder:
        async with serving(Path(folder)) as server, session(limit=0) as http:
            sam, ana = server.headers("sam"), server.headers("ana")
            task = (await posted(http, f"{server.url}/submit", {"data": "a text"}, sam))["task_id"]

            async def opened() -> Any:
                stream = await http.get(f"{server.url}/stream/{task}", headers=ana)
                await stream.content.readuntil(b"waiting_for_review")
                return stream

            warm = await many(200, 20, opened)
            before = server.process.memory()
            held = await many(count, 20, opened)
            each = (server.process.memory() - before) / count
            for stream in (*warm, *held):
                stream.close()
    return [
        Figure(
            name="stream_memory",
            what=f"memory of an open status stream, {count:,} open",
            value=each / KiB,
            unit="KiB",
            bar="16 KiB",
        )
    ]


async def start(_options: Namespace) -> list[Figure]:
    """From the start of the process to the first accepted submission, both bots on."""
    from tests.bench.chats import both_bots

    with tempfile.TemporaryDirectory(dir=".") as name:
        async with both_bots() as (config, env), session() as http:
            took = min([await _first_submission(Path(name), http, config, env) for _ in range(5)])
    return [
        Figure(
            name="start",
            what="start to first accepted submission, both bots on, best of five",
            value=took,
            unit="s",
            bar="1 s",
        )
    ]


async def _first_submission(folder: Path, http: Any, config: str, env: dict[str, str]) -> float:
    async with serving(folder, config=config, **env) as server:
        await posted(http, f"{server.url}/submit", {"data": "first"}, server.headers("sam"))
        return time.perf_counter() - server.started_at


async def flows(_options: Namespace) -> list[Figure]:
    """What the runner adds to PocketFlow."""
    from tests.bench.flows import FLOWS, ITEM_SECONDS, ITEMS, batch, core, cpu_per_node

    took: list[float] = []
    async with core(took) as world:
        bare_node, added = await cpu_per_node(world, FLOWS)
        _, alone = await cpu_per_node(world, 1)
        of = await batch(world, took)
    items = f"a parallel batch of {ITEMS} items of {ITEM_SECONDS * 1000:g} ms"
    return [
        Figure(
            name="cpu_per_node",
            what=f"CPU of a flow's node over PocketFlow's {bare_node * 1000:.3f} ms, checkpoint stored, "
            f"{FLOWS} flows at once",
            value=added * 1000,
            unit="ms",
            bar="0.3 ms",
        ),
        Figure(
            name="cpu_per_node_alone",
            what="the same with one flow alone, whose every checkpoint is a commit of its own",
            value=alone * 1000,
            unit="ms",
        ),
        Figure(
            name="parallel_batch",
            what=f"{items}, from prep to post, over PocketFlow's {of.bare_node * 1000:.1f} ms",
            value=(of.node / of.bare_node - 1) * 100,
            unit="%",
            bar="10 %",
        ),
        Figure(
            name="parallel_batch_task",
            what=f"{items}, as a task from submission to end, over PocketFlow's {of.bare * 1000:.1f} ms "
            "for the flow: three commits",
            value=(of.task / of.bare - 1) * 100,
            unit="%",
            bar="10 %",
        ),
    ]


async def policies(options: Namespace) -> list[Figure]:
    """What groups and timers cost."""
    from tests.bench.policies import TIMED, decisions, multiply

    count = options.waiting
    with tempfile.TemporaryDirectory(dir=".") as name:
        alone, grouped = await decisions(Path(name), 300)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        async with serving(folder, config=TIMED) as server, session() as http:
            await posted(http, f"{server.url}/submit", {"data": "a text"}, server.headers("sam"))
            await until_all_wait(http, server)
        bare = min([await _start_once(folder, TIMED) for _ in range(3)])
        multiply(folder / "countersign.db", count)
        async with serving(folder, config=TIMED) as server:
            idle = await idle_cpu(server)
        ready = min([await _start_once(folder, TIMED) for _ in range(3)])
    return [
        Figure(
            name="decide_three_groups",
            what=f"CPU of a decision that closes under three groups, over {alone * 1000:.2f} ms under one",
            value=(grouped - alone) * 1000,
            unit="ms",
            bar="0.3 ms",
        ),
        Figure(
            name="timers_idle_cpu",
            what=f"idle CPU with {count:,} pending timers",
            value=idle * 100,
            unit="%",
            bar="0.5 %",
        ),
        Figure(
            name="timers_restart",
            what=f"restart to ready with {count:,} pending timers; with one, {bare:.2f} s",
            value=ready,
            unit="s",
            bar="1.5 s",
        ),
    ]


async def presses(options: Namespace) -> list[Figure]:
    """Approve in Slack and in Telegram, answered once the decision is stored."""
    from tests.bench.presses import IN_FLIGHT, presses

    with tempfile.TemporaryDirectory(dir=".") as name:
        in_slack, in_telegram = await presses(Path(name), options.presses)
    figures: list[Figure] = []
    for chat, found, bar in (("Slack", in_slack, "1,000"), ("Telegram", in_telegram, "1,500")):
        key = chat.lower()
        figures += [
            Figure(
                name=f"press_p99_{key}",
                what=f"press to answered in {chat}, {IN_FLIGHT} in flight, p99, the client beside it",
                value=found.p99 * 1000,
                unit="ms",
                bar="50 ms",
            ),
            Figure(
                name=f"press_late_{key}",
                what=f"presses in {chat} answered after more than 3 s, "
                f"of {len(found.seconds):,}; the slowest after {max(found.seconds) * 1000:.0f} ms",
                value=sum(took > TOO_LATE for took in found.seconds),
                unit="",
                bar="0",
            ),
            Figure(
                name=f"presses_per_core_{key}",
                what=f"decisions by press in {chat} a second of the server's CPU, the flow's end included",
                value=1 / found.cpu,
                unit="/s",
                bar=f"{bar} /s or more",
            ),
        ]
    return figures


TOO_LATE = 3.0
"""Seconds after which Slack tells whoever pressed that it did not work."""
LONG = frozenset({"million"})
"""Parts that take minutes: only where they are named with `--only`."""
ALL: dict[str, Callable[[Namespace], Coroutine[Any, Any, list[Figure]]]] = {
    "trips": round_trips,
    "streams": streams,
    "start": start,
    "flows": flows,
    "policies": policies,
    "presses": presses,
    "waiting": waiting,
    "beside": beside,
    "replicas": replicas,
    "flood": flood,
    "million": million,
}
