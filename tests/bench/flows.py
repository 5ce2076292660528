"""What the runner adds to PocketFlow: CPU for each node, and time for a batch whose items run at once."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import structlog
from pocketflow import AsyncFlow, AsyncNode, AsyncParallelBatchNode, Flow

from core.clock import SystemClock
from core.flow import FlowDefinition
from core.graph import Graph
from core.store.database import database
from core.store.schema import migrate
from tests.world import flow_settings, policies, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.world import World

VISITS = 100
"""Of the one node in a flow."""
FLOWS = 20
"""At once: their commits are shared, as in a service that is at work."""
ITEMS = 100
ITEM_SECONDS = 0.05
"""An item waits, as for an endpoint that is quick."""
ROUNDS = 9


class Counts(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
    """As little as a node can do that has a state."""

    async def post_async(self, shared: dict[str, Any], prep_res: object, exec_res: object) -> str:
        shared["visits"] = shared.get("visits", 0) + 1
        return "again" if shared["visits"] < VISITS else "enough"


class Calls(AsyncParallelBatchNode):  # type: ignore[misc]  # PocketFlow has no types
    """Notes how long it took from its prep to its post."""

    def __init__(self, took: list[float]) -> None:
        super().__init__()
        self.took = took

    async def prep_async(self, shared: dict[str, Any]) -> range:
        self.began = time.perf_counter()
        return range(ITEMS)

    async def exec_async(self, prep_res: int) -> int:
        await asyncio.sleep(ITEM_SECONDS)
        return prep_res

    async def post_async(self, shared: dict[str, Any], prep_res: object, exec_res: list[int]) -> None:
        self.took.append(time.perf_counter() - self.began)
        shared["sum"] = sum(exec_res)


def counting() -> Flow:
    node = Counts()
    node - "again" >> node
    node - "enough" >> AsyncNode()
    return AsyncFlow(start=node)


def calling(took: list[float]) -> Flow:
    return AsyncFlow(start=Calls(took))


@asynccontextmanager
async def core(took: list[float]) -> AsyncIterator[World]:
    """The whole core over a SQLite file beside us, with both flows; `took` is noted by its batches."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    made = {"counting": counting(), "calling": calling(took)}
    flows = {
        name: FlowDefinition(graph=Graph(flow), settings=flow_settings(name), policies=policies())
        for name, flow in made.items()
    }
    with tempfile.TemporaryDirectory(dir=".") as folder:
        base = database(f"sqlite:///{folder}/bench.db")
        migrate(base)
        async with whole_core(base, SystemClock(), flows=flows) as world:
            yield world


async def cpu_per_node(world: World, at_once: int) -> tuple[float, float]:
    """Seconds of CPU for a visit of a node: by PocketFlow alone, and what our runner adds to it.

    All threads count, and submitting and ending the tasks too.
    """
    bare, ours = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        await asyncio.gather(*(counting().run_async({}) for _ in range(at_once)))
        bare.append((time.process_time() - began) / (at_once * VISITS))
        began = time.process_time()
        await asyncio.gather(*(ended(world, "counting") for _ in range(at_once)))
        ours.append((time.process_time() - began) / (at_once * VISITS))
    return median(bare), median(ours) - median(bare)


@dataclass(frozen=True)
class Batch:
    """Seconds that a parallel batch takes, medians."""

    bare: float
    """The flow of one node, run by PocketFlow."""
    bare_node: float
    """That node alone, from its prep to its post."""
    node: float
    """The same node, run by us."""
    task: float
    """From the submission to the end that a follower sees: three commits, each on disk."""


async def batch(world: World, took: list[float]) -> Batch:
    bare, tasks = [], []
    bare_node: list[float] = []
    for _ in range(2 * ROUNDS):
        began = time.perf_counter()
        await calling(bare_node).run_async({})
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        await ended(world, "calling")
        tasks.append(time.perf_counter() - began)
    return Batch(median(bare), median(bare_node), median(took), median(tasks))


async def ended(world: World, flow: str) -> None:
    task = await world.submit("x", flow=flow)
    async for _ in world.service.follow(task.id):
        pass
