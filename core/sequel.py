"""What follows from a decision or a submission with nobody else's code in between: stored with it, at once.

A task that has only our own nodes before its next wait or its end needs no engine to take it up, and no
transaction of its own. What is stored is what a segment stores, made by the segment itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from core.defects import defect
from core.events import TaskFailed
from core.graph import ROOT
from core.segment import NotOurs, Segment
from core.states import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.flow import FlowDefinition
    from core.model import Json, Position, Step
    from core.ports import Clock, Sequel


log = structlog.get_logger()


class _First(BaseException):
    """The first that a segment would store. Not an `Exception`, which it takes for its node's failure."""

    def __init__(self, step: Step) -> None:
        super().__init__("the first step is known")
        self.step = step


class _Nothing:
    """A store that keeps nothing: a segment ends where it comes to it."""

    async def step(self, step: Step) -> int:
        raise _First(step)

    async def last_approved(self, task_id: str) -> Json:  # noqa: ARG002 - the port's
        raise NotOurs


class AtOnce:
    """Called inside a unit of work, in any thread. It has no effect, so that the unit may be run again."""

    def __init__(self, flows: Mapping[str, FlowDefinition], clock: Clock) -> None:
        self._flows = flows
        self._clock = clock

    def __call__(self, position: Position) -> Step | None:
        """The step to the next wait or the end; None where an engine is needed for it."""
        try:
            return self._step(position)
        except Exception as error:  # noqa: BLE001 - whatever a flow of ours does wrong, the decision stands: an engine meets it again, and fails the task
            log.error("sequel_broke", task_id=position.task.id, **defect(error))
            return None

    def _step(self, position: Position) -> Step | None:
        flow = self._flows.get(position.task.flow)
        if flow is None or position.schema > SCHEMA or _leads_elsewhere(flow, position):
            return None
        return _first_step(Segment(_Nothing(), flow, position, self._clock, only_ours=True))


def _leads_elsewhere(flow: FlowDefinition, position: Position) -> bool:
    """Whether it is plain before anything is tried that somebody else's node is next."""
    graph, following = flow.graph, None
    if position.node is not None:
        verdict = None if position.review is None else position.review.outcome.value
        following = graph.successor(position.node, verdict) if position.node in graph.places else None
    elif graph.places[ROOT].is_entered:
        following = graph.start(ROOT)
    return following is not None and not (graph.places[following].is_entered or following in flow.ours)


def _first_step(segment: Segment) -> Step | None:
    """The first, unless more is to come or the task fails: that is an engine's to do, and to tell of."""
    running = segment.run()
    try:
        running.send(None)
    except _First as first:
        step = first.step
        rests = not step.begun and step.due_at is None and not isinstance(step.events[-1], TaskFailed)
        return step if rests else None
    except (NotOurs, StopIteration):
        return None
    finally:
        running.close()
    return None


if TYPE_CHECKING:
    # The checker's word that it is one.
    _: type[Sequel] = AtOnce
