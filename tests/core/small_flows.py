"""Small flows, what is said to their reviews, and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.events import FINAL
from core.flow import FlowDefinition
from core.graph import Graph
from core.model import Task, TaskId, Verdict
from tests.core.graphs import Does, Shared
from tests.world import ANA, World, flow_settings, policies

if TYPE_CHECKING:
    from pocketflow import BaseNode

    from core.model import Json


def sets(name: str, **values: Any) -> Does:
    async def work(shared: Shared) -> None:
        shared.update(values)

    return Does(name, work)


def flow_of(graph: BaseNode, **settings: Any) -> FlowDefinition:
    return FlowDefinition(graph=Graph(graph), settings=flow_settings(**settings), policies=policies())


async def edit(
    world: World, review_id: str, content: Json, person: Any = ANA, comment: str | None = None
) -> None:
    await world.service.decide(
        review_id, person.id, Verdict.EDIT, content=content, comment=comment, via="api"
    )


async def state_of(world: World, task: str) -> dict[str, Any]:
    """What the flow had left at its last checkpoint."""
    return dict((await world.service.checkpoints.of_task(task))[-1].state)


async def ended_twice(world: World, task: TaskId) -> Task:
    await world.diary.until(lambda: [e for e in world.diary.of(task) if isinstance(e, FINAL)][1:])
    return await world.service.task(task)
