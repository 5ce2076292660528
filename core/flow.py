"""Steps a task's graph from where it stands, and holds nothing between two stretches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import structlog

from core.defects import Broke
from core.errors import FlowError, StaleRun, Unavailable, UnknownFlow
from core.nodes import is_ours
from core.routes import Routes
from core.segment import Segment
from core.states import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from core.graph import Graph
    from core.model import FlowSettings, Policy, Position, TaskId
    from core.ports import Clock, FlowStore, Others

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class FlowDefinition:
    """A checked graph and what its configuration says."""

    graph: Graph
    settings: FlowSettings
    policies: Mapping[str, Policy]

    @property
    def interrupts_before(self) -> tuple[str, ...]:
        return self.settings.interrupt_before

    @property
    def interrupts_after(self) -> tuple[str, ...]:
        return self.settings.interrupt_after

    @cached_property
    def ours(self) -> frozenset[str]:
        """The paths of the nodes that run nobody else's code and wait for nothing."""
        return frozenset(path for path, place in self.graph.places.items() if is_ours(place.node))

    @cached_property
    def routes(self) -> Routes:
        return Routes(self)

    def policy(self, name: str | None) -> Policy:
        """The policy of that name, None being the flow's; raises `FlowError`."""
        wanted = name or self.settings.policy
        if wanted not in self.policies:
            raise FlowError(f"There is no policy {wanted!r}; there are: {', '.join(sorted(self.policies))}.")
        return self.policies[wanted]

    @property
    def policies_asked_for(self) -> set[str]:
        """Names of the policies that its reviews may open under."""
        named = {node.policy for _, node in self.graph.reviews() if node.policy is not None}
        return named | {self.settings.policy, *self.settings.policies}


class FlowRunner:
    """Runs one segment of a task at a time."""

    def __init__(
        self,
        store: FlowStore,
        flows: Mapping[str, FlowDefinition],
        clock: Clock,
        others: Others | None = None,
    ) -> None:
        """`others` are asked for what this process cannot run."""
        self._others = others
        self._store = store
        self._flows = flows
        self._clock = clock

    async def run(self, task_id: TaskId, at: datetime | None = None) -> datetime | None:
        """Go on until the task waits or ends; when to come back, where it is to be tried again later.

        What was due `at` a time that was waited for is due, also where the clock has been set back since.
        Safe to run twice: whatever is stored is compared with what was read, and the slower run is dropped.
        Raises `Broke` where a segment raised what no rule knows.
        """
        position = await self._store.position(task_id)
        if position is None:
            return None
        now = self._clock.now()
        if position.due_at is not None and position.due_at > (now if at is None else max(at, now)):
            return position.due_at
        try:
            return await self._go_on(position)
        except StaleRun:
            log.info("segment_overtaken", task_id=task_id)
            return None

    async def _go_on(self, position: Position) -> datetime | None:
        if position.schema > SCHEMA:
            await self._cannot(position, "Its state was stored by a newer release.", "NewerRelease")
            return None
        flow = self._flows.get(position.task.flow)
        if flow is None:
            sentence = f"The flow {position.task.flow!r} is not configured any more."
            await self._cannot(position, sentence, UnknownFlow.__name__)
            return None
        return await self._run_segment(flow, position)

    async def _run_segment(self, flow: FlowDefinition, position: Position) -> datetime | None:
        version = position.version
        try:
            segment = Segment(self._store, flow, position, self._clock)
            try:
                return await segment.run()
            finally:
                version = segment.version
        except (Broke, StaleRun, Unavailable):
            raise
        except Exception as error:
            raise Broke(version) from error

    async def _cannot(self, position: Position, sentence: str, error: str) -> None:
        """Fail the task, unless another process may know how to run it."""
        task_id = position.task.id
        if self._others is not None and await self._others.leave(task_id):
            log.info("task_left_to_others", task_id=task_id, error=error)
            return
        await self._store.fail(task_id, sentence, version=position.version)
        log.warning("task_failed", task_id=task_id, node=position.node, error=error)
