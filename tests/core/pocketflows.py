"""One graph for each thing that PocketFlow's nodes and flows can do; each call makes a fresh one.

The nodes write what they do into `shared["did"]`, so that two runs can be compared to the last step.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import TYPE_CHECKING, Any

from pocketflow import (
    AsyncBatchFlow,
    AsyncBatchNode,
    AsyncFlow,
    AsyncNode,
    AsyncParallelBatchFlow,
    AsyncParallelBatchNode,
    BaseNode,
    BatchFlow,
    BatchNode,
    Flow,
    Node,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Shared = dict[str, Any]

# PocketFlow has no types, so every class that is made of its is one of Any.
# mypy: disable-error-code="misc"


def note(shared: Shared, *words: object) -> None:
    shared.setdefault("did", []).append([*words])


class Step(Node):
    """Notes its name, its parameters and what came of exec; takes the next of its `actions`."""

    def __init__(self, name: str, *actions: Any, **more: Any) -> None:
        super().__init__(**more)
        self.name = name
        self.actions = actions

    def prep(self, shared: Shared) -> int:
        visits: int = shared.setdefault("visits", {}).get(self.name, 0)
        return visits

    def exec(self, prep_res: int) -> str:
        return f"visit {prep_res}"

    def post(self, shared: Shared, prep_res: int, exec_res: str) -> Any:
        shared["visits"][self.name] = prep_res + 1
        note(shared, self.name, dict(self.params), exec_res)
        return self.actions[min(prep_res, len(self.actions) - 1)] if self.actions else None


class AsyncStep(AsyncNode):
    """As `Step`, on the event loop."""

    def __init__(self, name: str, *actions: Any, **more: Any) -> None:
        super().__init__(**more)
        self.name = name
        self.actions = actions

    async def prep_async(self, shared: Shared) -> int:
        visits: int = shared.setdefault("visits", {}).get(self.name, 0)
        return visits

    async def exec_async(self, prep_res: int) -> str:
        await asyncio.sleep(0)
        return f"visit {prep_res}"

    async def post_async(self, shared: Shared, prep_res: int, exec_res: str) -> Any:
        shared["visits"][self.name] = prep_res + 1
        note(shared, self.name, dict(self.params), exec_res)
        return self.actions[min(prep_res, len(self.actions) - 1)] if self.actions else None


def row(flow: type[Flow], *nodes: BaseNode) -> Flow:
    """One node after the other."""
    first, *others = nodes
    made = flow()
    last = made.start(first)
    for node in others:
        last = last >> node
    return made


# Nodes


class Way(str, Enum):  # noqa: UP042 - as older code has them
    """Actions by name; `str()` of one is not its text."""

    AROUND = "again"
    LEFT = "left"
    RIGHT = "right"


class Flaky(Node):
    """Fails at its first tries; falls back where all of them fail."""

    def __init__(self, failures: int, **more: Any) -> None:
        super().__init__(**more)
        self.failures = failures

    def exec(self, prep_res: object) -> str:
        if self.cur_retry < self.failures:
            raise ValueError(f"try {self.cur_retry}")
        return f"try {self.cur_retry}"

    def exec_fallback(self, prep_res: object, exc: Exception) -> str:
        return f"instead of {exc}"

    def post(self, shared: Shared, prep_res: object, exec_res: str) -> None:
        note(shared, exec_res)


class AsyncFlaky(AsyncNode):
    def __init__(self, failures: int, **more: Any) -> None:
        super().__init__(**more)
        self.failures = failures
        self.tries: list[int] = []

    async def exec_async(self, prep_res: object) -> str:
        self.tries.append(1)
        if len(self.tries) <= self.failures:
            raise ValueError(f"try {len(self.tries)}")
        return f"try {len(self.tries)}"

    async def exec_fallback_async(self, prep_res: object, exc: Exception) -> str:
        return f"instead of {exc}"

    async def post_async(self, shared: Shared, prep_res: object, exec_res: str) -> None:
        note(shared, exec_res)


class Words(BatchNode):
    """One exec for each word, the odd ones of which fail at first, or always."""

    def prep(self, shared: Shared) -> list[str] | None:
        return None if shared["task_input"] is None else str(shared["task_input"]).split()

    def exec(self, prep_res: str) -> str:
        if len(prep_res) % 2 and self.cur_retry == 0:
            raise ValueError(prep_res)
        if prep_res == "lost":
            raise ValueError(prep_res)
        return prep_res.upper()

    def exec_fallback(self, prep_res: str, exc: Exception) -> str:
        return f"no {exc}"

    def post(self, shared: Shared, prep_res: object, exec_res: list[str]) -> str:
        note(shared, *exec_res)
        return "done"


class _AsyncWords:
    async def prep_async(self, shared: Shared) -> list[str]:
        return str(shared["task_input"]).split()

    async def exec_async(self, prep_res: str) -> str:
        for _ in range(10 - len(prep_res)):  # the last of them comes first
            await asyncio.sleep(0)
        if prep_res == "lost":
            raise ValueError(prep_res)
        return prep_res.upper()

    async def exec_fallback_async(self, prep_res: str, exc: Exception) -> str:
        return f"no {exc}"

    async def post_async(self, shared: Shared, prep_res: object, exec_res: list[str]) -> str:
        note(shared, *exec_res)
        return "done"


class AsyncWords(_AsyncWords, AsyncBatchNode):
    pass


class ParallelWords(_AsyncWords, AsyncParallelBatchNode):
    pass


class NoItems(BatchNode):
    """Its prep returns None, which is no items."""

    def post(self, shared: Shared, prep_res: object, exec_res: list[object]) -> None:
        note(shared, "items", *exec_res)


class Bare(Node):
    """Does nothing at all."""


class Says(Node):
    """Returns what it is given as its action."""

    def __init__(self, action: Any) -> None:
        super().__init__()
        self.action = action

    def post(self, shared: Shared, prep_res: object, exec_res: object) -> Any:
        note(shared, "says")
        return self.action


# Flows with prep and post of their own


class Framed(Flow):
    """Keeps what it prepared for its post, which makes another action of the last node's."""

    def prep(self, shared: Shared) -> list[int]:
        note(shared, "flow prep", dict(self.params))
        return [len(shared["did"])]

    def post(self, shared: Shared, prep_res: list[int], exec_res: Any) -> Any:
        note(shared, "flow post", prep_res, exec_res)
        return "framed"


class AsyncFramed(AsyncFlow):
    async def prep_async(self, shared: Shared) -> dict[str, int]:
        note(shared, "flow prep", dict(self.params))
        return {"did": len(shared["did"])}

    async def post_async(self, shared: Shared, prep_res: dict[str, int], exec_res: Any) -> Any:
        note(shared, "flow post", prep_res, exec_res)
        return "framed"


class Falsy(Flow):
    """Its own action is one that PocketFlow takes for none."""

    def post(self, shared: Shared, prep_res: object, exec_res: object) -> bool:
        return False


class Prepared(Flow):
    """Has a prep and no post: its action is its last node's."""

    def prep(self, shared: Shared) -> None:
        note(shared, "prep only")


class Concluded(AsyncFlow):
    """Has a post and no prep."""

    async def post_async(self, shared: Shared, prep_res: None, exec_res: Any) -> Any:
        note(shared, "post only", prep_res, exec_res)
        return exec_res


ITEMS = [{"item": "a"}, {"item": "b"}, {"item": "c"}]


class Batch(BatchFlow):
    def prep(self, shared: Shared) -> list[dict[str, str]]:
        return ITEMS

    def post(self, shared: Shared, prep_res: object, exec_res: object) -> str:
        note(shared, "batch post", prep_res, exec_res)
        return "done"


class AsyncBatch(AsyncBatchFlow):
    async def prep_async(self, shared: Shared) -> list[dict[str, str]]:
        return ITEMS

    async def post_async(self, shared: Shared, prep_res: object, exec_res: object) -> str:
        note(shared, "batch post", prep_res, exec_res)
        return "done"


class ParallelBatch(AsyncParallelBatchFlow):
    async def prep_async(self, shared: Shared) -> list[dict[str, str]]:
        return ITEMS

    async def post_async(self, shared: Shared, prep_res: object, exec_res: object) -> str:
        note(shared, "batch post", prep_res, exec_res)
        return "done"


class NoBatch(BatchFlow):
    """Its prep returns None, which is no items."""


class Adds(Node):
    """Reads, takes its time, and writes: in PocketFlow no other node comes between."""

    def post(self, shared: Shared, prep_res: object, exec_res: object) -> None:
        before = shared.get("sum", 0)
        time.sleep(0.005)
        shared["sum"] = before + len(self.params["item"])


class PerItem(AsyncStep):
    """Notes by item, so that the order in which items end does not count."""

    async def post_async(self, shared: Shared, prep_res: int, exec_res: str) -> None:
        shared.setdefault("items", {}).setdefault(self.params["item"], []).append(self.name)


class AlwaysLeft(Flow):
    """Chooses the next node in a way of its own."""

    def get_next_node(self, curr: BaseNode, action: Any) -> BaseNode | None:
        found: BaseNode | None = curr.successors.get("left")
        return found


class AsyncAlwaysLeft(AsyncFlow):
    def get_next_node(self, curr: BaseNode, action: Any) -> BaseNode | None:
        found: BaseNode | None = curr.successors.get("left")
        return found


class Twice(Flow):
    """Runs its nodes in a way of its own."""

    def _orch(self, shared: Shared, params: Any = None) -> Any:
        super()._orch(shared, params)
        return super()._orch(shared, params)


class AsyncTwice(AsyncFlow):
    async def _orch_async(self, shared: Shared, params: Any = None) -> Any:
        await super()._orch_async(shared, params)
        return await super()._orch_async(shared, params)


class NotedRun(AsyncFlow):
    async def _run_async(self, shared: Shared) -> Any:
        note(shared, "own run")
        return await super()._run_async(shared)


# Graphs


def with_params(flow: Flow, **params: Any) -> Flow:
    flow.set_params(params)
    return flow


def choosing(flow: type[Flow], step: Callable[..., BaseNode], *actions: Any) -> Flow:
    """A fork and a loop: `again` comes back, `left` and `right` lead on, None is `default`."""
    fork = step("fork", *actions)
    fork - "again" >> step("around") >> fork
    fork - "left" >> step("left")
    fork - "right" >> step("right")
    fork >> step("default")
    return flow(start=fork)


def numbered(action: int) -> Flow:
    """A way under a number, and one under what would be its text."""
    first = Step("first", action)
    first.next(Step("seven"), 7)
    first.next(Step("none"), 0)
    return Flow(start=first)


def nested(inner: Flow, *actions: str) -> AsyncFlow:
    """What the inner flow's action leads to tells what it was."""
    inner.name = "inner"
    first = AsyncStep("first")
    first >> inner
    for action in actions:
        inner - action >> Step(f"after {action}")
    return AsyncFlow(start=first)


def deep() -> AsyncFlow:
    """Three flows in one another, each with prep and post, and a loop around the middle one."""
    innermost = AsyncFramed(start=Step("bottom"))
    innermost.name = "innermost"
    above = Step("above")
    above >> innermost
    innermost - "framed" >> Step("below", "out")
    middle = AsyncFramed(start=above)
    middle.name = "middle"
    gate = AsyncStep("gate", "again", "again", "stop")
    middle - "framed" >> gate
    gate - "again" >> middle
    return with_params(AsyncFramed(start=middle), depth=3)


def shared_node() -> Flow:
    """One node in two flows at once, with the same successors in both."""
    step = Step("same", "on")
    step - "on" >> Step("next")
    inner = Flow(start=step)
    inner.name = "inner"
    first = Step("first", "direct", "through")
    first - "direct" >> inner
    return Flow(start=first)


def in_a_batch(flow: type[Flow], first: BaseNode, second: BaseNode) -> Flow:
    return with_params(row(flow, first, second), colour="red")


def batch_in_a_flow(batch: Flow) -> AsyncFlow:
    batch.name = "batch"
    batch - "done" >> AsyncStep("after")
    return with_params(AsyncFlow(start=batch), colour="blue")


def batch_of_flows(batch: type[Flow], inner: type[Flow], step: Callable[..., BaseNode]) -> Flow:
    """A batch flow whose one node is a flow."""
    nested = row(inner, step("one"), step("two"))
    nested.name = "nested"
    return row(batch, nested)


def batch_in_a_batch() -> Flow:
    class Inner(BatchFlow):
        def prep(self, shared: Shared) -> list[dict[str, int]]:
            return [{"number": 1}, {"number": 2}]

    return row(Batch, row(Inner, Step("one"), Step("two")))


GRAPHS: dict[str, Callable[[], Flow]] = {
    "a node that does nothing": lambda: Flow(start=Bare()),
    "prep, exec and post": lambda: row(Flow, Step("one"), Step("two")),
    "retries until it works": lambda: row(Flow, Flaky(2, max_retries=3, wait=0.001)),
    "retries and then falls back": lambda: row(Flow, Flaky(9, max_retries=3, wait=0.001)),
    "batch node": lambda: row(Flow, Words(max_retries=2)),
    "batch node with fallbacks": lambda: row(Flow, Words()),
    "batch node without items": lambda: row(Flow, NoItems()),
    "async node": lambda: row(AsyncFlow, AsyncStep("one"), AsyncStep("two")),
    "async retries until it works": lambda: row(AsyncFlow, AsyncFlaky(2, max_retries=3, wait=0.001)),
    "async retries and falls back": lambda: row(AsyncFlow, AsyncFlaky(9, max_retries=2, wait=0.001)),
    "async batch node": lambda: row(AsyncFlow, AsyncWords()),
    "async parallel batch node": lambda: row(AsyncFlow, ParallelWords(max_retries=2)),
    "sync nodes in an async flow": lambda: row(AsyncFlow, Step("one"), AsyncStep("two"), Words()),
    "start given to the constructor": lambda: Flow(start=Step("one")),
    "start set by start()": lambda: row(Flow, Step("one")),
    "actions that choose": lambda: choosing(Flow, Step, "right"),
    "a loop": lambda: choosing(Flow, Step, "again", "again", "left"),
    "an async loop": lambda: choosing(AsyncFlow, AsyncStep, "again", "again", "right"),
    "action None is default": lambda: choosing(Flow, Step, None),
    "a nested flow's action False is default": lambda: nested(row(Falsy, Step("in")), "default", "False"),
    "an empty action is default": lambda: choosing(Flow, Step, ""),
    "action False is default": lambda: choosing(Flow, Step, False),
    "an action without a successor": lambda: choosing(Flow, Step, "elsewhere"),
    "an action at a node without successors": lambda: row(Flow, Says("anything")),
    "an action that is a member of an enum": lambda: choosing(Flow, Step, Way.AROUND, Way.AROUND, Way.RIGHT),
    "an async action that is a member of an enum": lambda: choosing(AsyncFlow, AsyncStep, Way.LEFT),
    "an action that is no text and has a successor": lambda: numbered(7),
    "an action that is no text and has none": lambda: numbered(8),
    "a result for an action": lambda: row(Flow, Says("a whole text, " * 10_000)),
    "a result for an action at a node with successors": lambda: choosing(
        Flow, Step, "a whole text, " * 10_000
    ),
    "an action that is no text": lambda: row(AsyncFlow, Says(7)),
    "params reach every node": lambda: with_params(row(Flow, Step("one"), Step("two")), colour="red"),
    "params reach a nested flow": lambda: with_params(nested(row(Flow, Step("in"))), colour="red"),
    "a nested flow's own params give way": lambda: with_params(
        nested(with_params(row(Flow, Step("in")), colour="blue")), colour="red"
    ),
    "nested flow": lambda: nested(row(Flow, Step("in"), Step("further", "out")), "out", "default"),
    "nested async flow": lambda: nested(row(AsyncFlow, AsyncStep("in", "out")), "out", "default"),
    "nested flow with prep and post": lambda: nested(row(Framed, Step("in", "out")), "out", "framed"),
    "nested async flow with prep and post": lambda: nested(
        row(AsyncFramed, AsyncStep("in", "out"), Step("never")), "out", "framed"
    ),
    "nested flow with prep only": lambda: nested(row(Prepared, Step("in", "out")), "out", "framed"),
    "nested async flow with post only": lambda: nested(row(Concluded, Step("in", "out")), "out"),
    "a nested flow whose last action has no successor": lambda: nested(
        choosing(Flow, Step, "elsewhere"), "elsewhere"
    ),
    "a nested flow whose action has no successor": lambda: nested(row(Framed, Step("in")), "other"),
    "flows in flows in a loop": deep,
    "one node in two places": shared_node,
    "root flow with prep and post": lambda: with_params(row(Framed, Step("one"), Step("two")), a=1),
    "async root flow with prep and post": lambda: row(AsyncFramed, AsyncStep("one", "last")),
    "batch flow": lambda: in_a_batch(Batch, Step("one"), Step("two")),
    "batch flow without items": lambda: in_a_batch(NoBatch, Step("one"), Step("two")),
    "async batch flow": lambda: in_a_batch(AsyncBatch, AsyncStep("one"), Step("two")),
    "async parallel batch flow": lambda: in_a_batch(ParallelBatch, PerItem("one"), PerItem("two")),
    "sync nodes in a parallel batch flow": lambda: row(ParallelBatch, Adds()),
    "batch flow in a flow": lambda: batch_in_a_flow(row(Batch, Step("one"), Step("two"))),
    "async batch flow in a flow": lambda: batch_in_a_flow(row(AsyncBatch, AsyncStep("one"))),
    "async parallel batch flow in a flow": lambda: batch_in_a_flow(row(ParallelBatch, PerItem("one"))),
    "batch flow of flows": lambda: batch_of_flows(Batch, Framed, Step),
    "async batch flow of flows": lambda: batch_of_flows(AsyncBatch, AsyncFramed, AsyncStep),
    "async parallel batch flow of flows": lambda: batch_of_flows(ParallelBatch, AsyncFlow, PerItem),
    "batch flow in a batch flow": batch_in_a_batch,
    "a way of its own to the next node": lambda: choosing(AlwaysLeft, Step, "right"),
    "an async way of its own to the next node": lambda: choosing(AsyncAlwaysLeft, AsyncStep, "again"),
    "a nested way of its own to the next node": lambda: nested(choosing(AlwaysLeft, Step, "right")),
    "a way of its own to run": lambda: row(Twice, Step("one"), Step("two")),
    "an async way of its own to run": lambda: row(AsyncTwice, AsyncStep("one"), Step("two")),
    "a nested way of its own to run": lambda: nested(row(Twice, Step("one", "out")), "out"),
    "a run of its own": lambda: row(NotedRun, AsyncStep("one"), AsyncStep("two")),
}


def nodes_of(flow: Flow) -> Sequence[BaseNode]:
    """The flow and every node in it."""
    found: dict[int, BaseNode] = {}
    waiting: list[BaseNode] = [flow]
    while waiting:
        node = waiting.pop()
        if id(node) not in found:
            found[id(node)] = node
            waiting += [*node.successors.values()]
            waiting += [node.start_node] if isinstance(node, Flow) else []
    return [*found.values()]
