"""PocketFlow's own behaviour, class by class: our runner leaves the same `shared` as PocketFlow's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pocketflow
import pytest
from pocketflow import AsyncFlow, BaseNode, Flow, Node

from core.errors import FlowError
from core.flow import FlowDefinition
from core.graph import Graph
from core.model import Status
from core.states import initial_state
from tests.core.pocketflows import GRAPHS, nodes_of
from tests.world import flow_settings, policies, whole_core

if TYPE_CHECKING:
    from core.store.database import Database
    from tests.world import StoppedClock

TEXT = "some words are odd and lost"


async def ours(database: Database, clock: StoppedClock, flow: Flow) -> dict[str, Any]:
    """What the last checkpoint holds once a task of this flow has ended."""
    found = FlowDefinition(graph=Graph(flow), settings=flow_settings(retries=0), policies=policies())
    async with whole_core(database, clock, flows={"draft": found}) as world:
        task = await world.submit(TEXT)
        done = await world.end(task.id)
        assert (done.status, done.error) == (Status.COMPLETED, None)
        checkpoints = await world.service.checkpoints.of_task(task.id)
        return dict(checkpoints[-1].state)


async def theirs(flow: Flow, shared: dict[str, Any]) -> dict[str, Any]:
    """What PocketFlow itself leaves in `shared`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Flow ends: ", UserWarning)
        if isinstance(flow, AsyncFlow):
            await flow.run_async(shared)
        else:
            flow.run(shared)
    return shared


@pytest.mark.parametrize("name", GRAPHS)
async def test_a_graph_ends_as_pocketflow_ends_it(
    sqlite_database: Database, clock: StoppedClock, name: str
) -> None:
    left = await ours(sqlite_database, clock, GRAPHS[name]())
    assert left == await theirs(GRAPHS[name](), dict(initial_state(left["task_id"], TEXT)))


def test_every_class_of_pocketflow_is_in_the_table() -> None:
    classes = {
        found
        for found in vars(pocketflow).values()
        if isinstance(found, type) and issubclass(found, BaseNode) and found is not BaseNode
    }
    used = {base for make in GRAPHS.values() for node in nodes_of(make()) for base in type(node).__mro__}
    assert classes <= used


def test_a_flow_inside_itself_is_refused() -> None:
    first = Node()
    flow = Flow(start=first)
    first >> flow
    with pytest.raises(FlowError, match="'Flow/Flow' is inside itself"):
        Graph(Flow(start=flow))
