"""Steps a PocketFlow graph one node at a time, parks at a review, and goes on from what is stored."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from pocketflow import AsyncNode, Flow

from core.errors import FlowError, StaleRun, Unavailable, UnknownFlow
from core.events import (
    AttemptStarted,
    ReviewRequested,
    StepRetried,
    TaskCompleted,
    TaskFailed,
    TaskResumed,
)
from core.ids import new_id
from core.jsontext import to_json
from core.lifecycle import after
from core.model import Checkpoint, NewReview, Outcome, ReviewId, Status, Step
from core.nodes import ProcessNode, ResultNode, ReviewNode
from core.processors import in_thread, processor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from pathlib import Path

    from pocketflow import BaseNode

    from core.events import Event
    from core.model import FlowSettings, Policy, Position, TaskId
    from core.nodes import Shared
    from core.ports import Clock, FlowStore

log = structlog.get_logger()

MAX_STATE = 8 * 2**20
"""Characters of JSON that a task's state may take: room for a draft of the largest body many times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDefinition:
    """A graph with its nodes by name, and what its configuration says."""

    graph: Flow
    nodes: Mapping[str, BaseNode]
    settings: FlowSettings
    policies: Mapping[str, Policy]

    def policy(self, node: ReviewNode) -> Policy:
        return self.policies[node.policy or self.settings.policy]


def draft_flow(settings: FlowSettings, policies: Mapping[str, Policy], beside: Path | None) -> FlowDefinition:
    """Process → Review → approved → Result; rejected → Process. Raises `SettingsError`."""
    process = ProcessNode(processor=processor(settings.processor, beside=beside))
    review = ReviewNode()
    process >> review
    review - "approved" >> ResultNode()
    review - "rejected" >> process
    graph = Flow(start=process)
    return FlowDefinition(graph=graph, nodes=named(graph), settings=settings, policies=policies)


def named(graph: Flow) -> dict[str, BaseNode]:
    """Every node that can be reached, by its name; raises `FlowError` where two have one name."""
    found: dict[str, BaseNode] = {}
    waiting = [graph.start_node]
    while waiting:
        node = waiting.pop()
        name = name_of(node)
        if found.setdefault(name, node) is not node:
            raise FlowError(f"Two nodes of the flow are named {name!r}.")
        waiting += [after for after in node.successors.values() if found.get(name_of(after)) is not after]
    return found


def name_of(node: BaseNode) -> str:
    """The node's `name`, or its class's where it has none."""
    return str(getattr(node, "name", type(node).__name__))


class TookTooLong(Exception):
    """A node did not end within the flow's timeout; its text is the whole sentence."""


class FlowRunner:
    """Runs one segment of a task at a time; holds nothing between segments."""

    def __init__(self, store: FlowStore, flows: Mapping[str, FlowDefinition], clock: Clock) -> None:
        self._store = store
        self._flows = flows
        self._clock = clock

    async def run(self, task_id: TaskId) -> datetime | None:
        """Go on until the task waits or ends; when to come back, where it is to be tried again later.

        Safe to run twice: whatever is stored is compared with what was read, and the slower run is dropped.
        """
        position = await self._store.position(task_id)
        if position is None:
            return None
        if position.due_at is not None and position.due_at > self._clock.now():
            return position.due_at
        flow = self._flows.get(position.task.flow)
        if flow is None:
            await self._store.fail(task_id, f"The flow {position.task.flow!r} is not configured any more.")
            log.warning("task_failed", task_id=task_id, node=position.node, error=UnknownFlow.__name__)
            return None
        try:
            return await Segment(self._store, flow, position, self._clock).run()
        except StaleRun:
            log.info("segment_overtaken", task_id=task_id)
            return None


class Segment:
    """The stretch from where a task stands to its next wait or its end."""

    def __init__(self, store: FlowStore, flow: FlowDefinition, position: Position, clock: Clock) -> None:
        self._store = store
        self._flow = flow
        self._clock = clock
        self._task = position.task
        self._position = position
        self._version, self._seq, self._status = position.version, position.seq, position.task.status
        self._shared: Shared = {**_initial(position), **(position.state or {})}
        self._attempt = max(position.task.attempt, 1)
        self._checkpoints: list[Checkpoint] = []
        self._stored_checkpoints = position.checkpoints
        self._events: list[Event] = []
        if position.task.status is Status.PENDING:
            self._events.append(AttemptStarted(attempt=1))
        self._verdict = position.review
        """The closed review that is still to be applied."""
        self._tries, self._starts = position.tries, position.starts
        self._runs_visibly = position.review is None
        """Whether the last status that followers saw is running."""

    async def run(self) -> datetime | None:
        """When to come back, where a node is to be tried again later."""
        node: BaseNode | None = self._start()
        if node is None:
            sentence = f"Node {self._position.node!r} is not in the flow {self._task.flow!r} any more."
            await self._fail(sentence, self._position.node, FlowError.__name__)
        while node is not None:
            if isinstance(node, ReviewNode) and self._verdict is None:
                await self._park(node)
                return None
            try:
                action = await self._run_node(node)
                self._checkpoint(node, action)
                following = self._following(node, action)
            except (StaleRun, Unavailable):
                raise
            except Exception as error:  # noqa: BLE001 - a node is somebody else's code; it may raise anything
                return await self._retry_or_fail(node, error)
            node = await self._next(node, action, following)
        return None

    def _start(self) -> BaseNode | None:
        if self._position.node is None:
            return self._flow.graph.start_node
        return self._flow.nodes.get(self._position.node)

    async def _run_node(self, node: BaseNode) -> str | None:
        """The node's action. Nodes that do work are noted as begun before they run."""
        if isinstance(node, ReviewNode):
            return self._apply_verdict(node)
        # As PocketFlow does: a fresh copy for each run, with the flow's parameters.
        node = copy.copy(node)
        node.set_params(dict(self._flow.graph.params))
        action: str | None
        if isinstance(node, ResultNode):
            action = node._run(self._shared)
        else:
            await self._begin(node)
            action = await self._run_in_time(node)
        return action

    async def _run_in_time(self, node: BaseNode) -> str | None:
        """Whatever the node does, an ordinary exception comes out of it, unless this segment is stopped."""
        limit = self._flow.settings.timeout
        try:
            async with asyncio.timeout(limit.total_seconds()) as deadline:
                return await _run(node, self._shared)
        except TimeoutError:
            if deadline.expired():
                raise TookTooLong(
                    f"Node {name_of(node)!r} took longer than {limit.total_seconds():g} s."
                ) from None
            raise
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            raise RuntimeError("it cancelled itself") from error
        except (SystemExit, GeneratorExit) as error:
            # Left alone, they would end the event loop and with it the service.
            raise RuntimeError(f"it raised {type(error).__name__}({error})") from error

    def _apply_verdict(self, node: ReviewNode) -> str:
        review, self._verdict = self._verdict, None
        if review is None or review.is_open:
            raise FlowError(f"Node {node.name!r} has no closed review.")
        return node.post(self._shared, review.draft, review)

    async def _begin(self, node: BaseNode) -> None:
        if not self._runs_visibly and not self._events:
            self._events.append(TaskResumed(attempt=self._attempt))
        self._runs_visibly = True
        await self._store_step(node=name_of(node), begun=True, starts=self._starts, tries=self._tries)

    def _checkpoint(self, node: BaseNode, action: str | None) -> None:
        """Take what the node left in `shared`; raises `FlowError` where that cannot be stored."""
        try:
            text = to_json(self._shared)
            text.encode()  # half a surrogate pair is no text that a database takes
        except (TypeError, ValueError, RecursionError) as error:
            raise FlowError(f"Node {name_of(node)!r} left in shared what is not JSON: {error}.") from error
        if len(text) > MAX_STATE:
            raise FlowError(f"Node {name_of(node)!r} left {len(text)} characters of state, over {MAX_STATE}.")
        self._checkpoints.append(
            Checkpoint(node=name_of(node), action=action, attempt=self._attempt, state=text)
        )
        self._tries = self._starts = 0

    def _following(self, node: BaseNode, action: str | None) -> BaseNode | None:
        """The node that the action leads to; None where the flow ends.

        PocketFlow would end a flow at an action that leads nowhere with no more than a warning; here only a
        review may, whose rejection is an end like any other.
        """
        if (action or "default") in node.successors:
            following: BaseNode = self._flow.graph.get_next_node(node, action)
            return following
        if node.successors and not isinstance(node, ReviewNode):
            raise FlowError(
                f"Node {name_of(node)!r} returned the action {action or 'default'!r}, which leads nowhere; "
                f"it has: {', '.join(sorted(node.successors))}."
            )
        return None

    async def _next(self, node: BaseNode, action: str | None, following: BaseNode | None) -> BaseNode | None:
        """The node to go on with; None once the task has ended."""
        if following is None:
            await self._finish()
        elif isinstance(node, ReviewNode) and action == "rejected":
            return await self._next_attempt(node, following)
        return following

    async def _next_attempt(self, node: BaseNode, following: BaseNode) -> BaseNode | None:
        limit = self._flow.settings.max_attempts
        if self._attempt >= limit:
            sentence = f"Rejected {self._attempt} times, which is the most that max_attempts allows."
            await self._fail(sentence, name_of(node), "MaxAttempts")
            return None
        self._attempt += 1
        self._events.append(AttemptStarted(attempt=self._attempt))
        return following

    async def _park(self, node: ReviewNode) -> None:
        draft = node.prep(self._shared)
        review = NewReview(id=ReviewId(new_id()), policy=self._flow.policy(node))
        self._events.append(ReviewRequested(review=review.id, attempt=self._attempt, draft=draft))
        await self._store_step(node=name_of(node), review=review)

    async def _finish(self) -> None:
        outcome = self._task.outcome
        result = None if outcome is Outcome.REJECTED else self._shared.get("final_result")
        self._events.append(
            TaskCompleted(final_result=result, outcome=None if outcome is None else outcome.value)
        )
        await self._store_step(node=None)
        log.info("task_completed", task_id=self._task.id, outcome=outcome)

    async def _fail(self, sentence: str, node: str | None, error: str) -> None:
        """End the task. The log has the `error`'s class only: the sentence may hold what a draft says."""
        self._events.append(TaskFailed(error=sentence))
        await self._store_step(node=None)
        log.warning("task_failed", task_id=self._task.id, node=node, error=error)

    async def _retry_or_fail(self, node: BaseNode, error: Exception) -> datetime | None:
        """A failed step is tried again later, as often as the flow's settings say; then the task fails."""
        settings = self._flow.settings
        tries = self._tries + 1
        sentence = _sentence(node, error)
        # A review's verdict is applied by our own code, which fails every time if it fails once.
        if isinstance(error, FlowError) or isinstance(node, ReviewNode) or tries > settings.retries:
            await self._fail(sentence, name_of(node), type(error).__name__)
            return None
        wait: timedelta = min(settings.backoff * 2 ** (tries - 1), settings.backoff_limit)
        due_at = self._clock.now() + wait
        self._events.append(StepRetried(node=name_of(node), retry=tries, error=sentence))
        await self._store_step(node=name_of(node), tries=tries, due_at=due_at)
        log.warning(
            "step_retried",
            task_id=self._task.id,
            node=name_of(node),
            retry=tries,
            error=type(error).__name__,
        )
        return due_at

    async def _store_step(
        self,
        *,
        node: str | None,
        begun: bool = False,
        starts: int = 0,
        tries: int = 0,
        due_at: datetime | None = None,
        review: NewReview | None = None,
    ) -> None:
        """Store what has gathered since the last step, in one transaction."""
        step = Step(
            task=self._task.id,
            version=self._version,
            seq=self._seq,
            status=after(self._status, *self._events),
            callback_url=self._task.callback_url,
            checkpoints=tuple(self._checkpoints),
            first_checkpoint=self._stored_checkpoints + 1,
            events=tuple(self._events),
            attempt=self._attempt,
            node=node,
            begun=begun,
            starts=starts,
            tries=tries,
            due_at=due_at,
            review=review,
        )
        self._version = await self._store.step(step)
        self._seq += len(step.events)
        self._status = step.status
        self._stored_checkpoints += len(self._checkpoints)
        self._checkpoints.clear()
        self._events.clear()


def _initial(position: Position) -> Shared:
    """The seed's keys, before the first node."""
    return {
        "task_id": position.task.id,
        "task_input": position.task.input,
        "processed_output": None,
        "feedback": None,
        "feedback_comment": None,
        "final_result": None,
        "current_attempt": 0,
    }


async def _run(node: BaseNode, shared: Shared) -> str | None:
    """Run a node as PocketFlow's own AsyncFlow would, but a synchronous one off the event loop."""
    action: Any
    if isinstance(node, AsyncNode):
        action = await node._run_async(shared)
    else:
        action = await in_thread(lambda: node._run(shared))
    return None if action is None else str(action)


def _is_being_cancelled() -> bool:
    """Whether somebody asked this very task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _sentence(node: BaseNode, error: Exception) -> str:
    """What went wrong, as text that every database takes."""
    if isinstance(error, (FlowError, TookTooLong)):
        sentence = str(error)
    else:
        sentence = f"Node {name_of(node)!r} failed: {type(error).__name__}: {_text(error)}"
    return sentence[:2000].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of somebody else's may not even be able to say so
        return "(it cannot say why)"
