"""Small PocketFlow graphs for tests, and nodes that do as they are told."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from pocketflow import AsyncNode, Flow, Node

from core.flow import FlowDefinition
from core.graph import Graph
from core.nodes import ProcessNode, ResultNode, ReviewNode
from tests.world import flow_settings, policies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pocketflow import BaseNode

    from core.model import FlowSettings
    from core.ports import Processor

Shared = dict[str, Any]


class Does(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
    """An asynchronous node that runs `work` on `shared` and takes the action that it returns."""

    def __init__(self, name: str, work: Callable[[Shared], Awaitable[str | None]]) -> None:
        super().__init__()
        self.name = name
        self.work = work

    async def post_async(self, shared: Shared, prep_res: object, exec_res: object) -> str | None:
        return await self.work(shared)


class DoesInThread(Node):  # type: ignore[misc]  # PocketFlow has no types
    """A synchronous node that notes the thread that it ran in."""

    def __init__(self, name: str, work: Callable[[Shared], str | None]) -> None:
        super().__init__()
        self.name = name
        self.work = work
        self.threads: list[str] = []

    def post(self, shared: Shared, prep_res: object, exec_res: object) -> str | None:
        self.threads.append(threading.current_thread().name)
        return self.work(shared)


def drafting(processor: Processor, settings: FlowSettings | None = None) -> FlowDefinition:
    """Process, review, result and the loop back, with a processor of the test's."""
    process, review = ProcessNode(processor=processor), ReviewNode()
    process >> review
    review - "approved" >> ResultNode()
    review - "rejected" >> process
    return definition(process, settings)


def definition(start: BaseNode, settings: FlowSettings | None = None) -> FlowDefinition:
    return FlowDefinition(
        graph=Graph(Flow(start=start)), settings=settings or flow_settings(), policies=policies()
    )


def in_a_row(*nodes: BaseNode) -> FlowDefinition:
    for one, next_ in itertools.pairwise(nodes):
        one.next(next_, "approved" if isinstance(one, ReviewNode) else "default")
    return definition(nodes[0])
