"""A PocketFlow graph with a stable name for every node, checked before a task runs in it.

A node's path is its name, behind those of the nested flows around it: `outer/inner`. The graph itself is
`/`. Batch flows, and flows with a way of running of their own, are one node each: their inside runs in one
go and is checkpointed as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from pocketflow import AsyncFlow, AsyncNode, AsyncParallelBatchNode, BaseNode, BatchFlow, Flow

from core import running
from core.errors import FlowError
from core.nodes import ReviewNode
from core.stepping import word_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = "/"
LONGEST_NAME = 64
_OWN_WAY = ("_run", "_orch", "_run_async", "_orch_async", "get_next_node")
_SYNC = ("prep", "exec", "post", "exec_fallback")
_CODE = (*_SYNC, *(f"{name}_async" for name in _SYNC))


@dataclass(frozen=True, slots=True)
class Place:
    """One node in its graph."""

    path: str
    node: BaseNode
    around: tuple[str, ...]
    """The paths of the flows that it is in, outermost first."""
    is_entered: bool
    """Whether it is a flow whose nodes are stepped one by one."""

    @property
    def is_one_go(self) -> bool:
        """Whether it is a flow that runs as one node."""
        return isinstance(self.node, Flow) and not self.is_entered


class Graph:
    """Every node that can be reached, by its path."""

    def __init__(self, flow: BaseNode) -> None:
        """Raises `FlowError` with the first thing that is wrong."""
        if not isinstance(flow, Flow):
            raise FlowError(f"A flow has to be a PocketFlow Flow or AsyncFlow, not {type(flow).__name__}.")
        self.flow = flow
        self.places: dict[str, Place] = {ROOT: Place(ROOT, flow, (), is_stepped(flow))}
        self._paths: dict[tuple[str, int], str] = {}
        if is_stepped(flow):
            self._walk(ROOT, flow, (ROOT,))
        else:
            _check_one_go(flow, name_of(flow))
        self._reached: dict[tuple[str, str], bool] = {}
        self._following = {
            path: {action: self._paths[place.around[-1], id(node)] for action, node in ways.items()}
            for path, place in self.places.items()
            if place.around and (ways := _successors(place.node))
        }

    def _walk(self, path: str, flow: Flow, around: tuple[str, ...]) -> None:
        """Name the nodes of one flow, and those of the flows in it."""
        found: dict[str, BaseNode] = {}
        waiting = [self._start_of(path, flow)]
        while waiting:
            node = waiting.pop()
            if not isinstance(node, BaseNode):
                raise FlowError(f"What {path!r} leads to is no PocketFlow node: {type(node).__name__}.")
            name = name_of(node)
            if found.get(name) is node:
                continue
            if name in found:
                raise FlowError(
                    f"Two nodes of the flow are named {name!r}: give one of them a `name` of its own."
                )
            found[name] = node
            self._add(name if path == ROOT else f"{path}/{name}", node, around)
            waiting += _successors(node).values()

    def _start_of(self, path: str, flow: Flow) -> BaseNode:
        # `start` is a method unless the constructor was given a node; both ways set `start_node`.
        if flow.start_node is None:
            raise FlowError(f"The flow {path!r} has no start node.")
        node: BaseNode = flow.start_node
        return node

    def _add(self, path: str, node: BaseNode, around: tuple[str, ...]) -> None:
        self.places[path] = Place(path, node, around, is_stepped(node))
        self._paths[around[-1], id(node)] = path
        if any(self.places[outer].node is node for outer in around):
            raise FlowError(f"The flow {path!r} is inside itself, so that its nodes' names have no end.")
        if is_stepped(node):
            self._walk(path, node, (*around, path))
        elif isinstance(node, Flow):
            _check_one_go(node, path)
        else:
            _check_can_ask(node, path)

    def start(self, path: str) -> str:
        """The path of a flow's first node."""
        return self._paths[path, id(self.places[path].node.start_node)]

    def successor(self, path: str, action: str | None) -> str | None:
        """Where the action leads inside the flow around `path`; None where it leads nowhere."""
        following = self._following.get(path)
        return None if following is None else following.get(action or "default")

    def choices(self, path: str) -> list[str]:
        """The actions of a node that lead somewhere."""
        return sorted(_successors(self.places[path].node))

    def edges(self) -> Iterator[tuple[str, str, str]]:
        """Each successor as (path, action, path), flow by flow in the order in which they were found."""
        for path, place in self.places.items():
            if place.around:
                for action, node in _successors(place.node).items():
                    yield path, action, self._paths[place.around[-1], id(node)]

    def named(self) -> list[str]:
        """The paths by which a node may be named, as they were found: all but the graph's own."""
        return [path for path in self.places if path != ROOT]

    def inside(self, path: str) -> Iterator[Place]:
        """The nodes of one flow, without those of the flows in it."""
        return (place for place in self.places.values() if place.around and place.around[-1] == path)

    def in_order(self) -> list[Place]:
        """What there is to see, as it is met from the start on; what is in a nested flow after that flow.

        A flow that runs in one go is its only node.
        """
        if not self.places[ROOT].is_entered:
            return [self.places[ROOT]]
        following: dict[str, list[str]] = defaultdict(list)
        for source, _, target in self.edges():
            following[source].append(target)
        found: dict[str, Place] = {}
        waiting = [self.start(ROOT)]
        while waiting:
            path = waiting.pop()
            if path not in found:
                place = found[path] = self.places[path]
                inner = [self.start(path)] if place.is_entered else []
                waiting += [*reversed(following[path]), *inner]
        return list(found.values())

    def reviews(self) -> Iterator[tuple[str, ReviewNode]]:
        for path, place in self.places.items():
            if isinstance(place.node, ReviewNode):
                yield path, place.node

    def reaches(self, start: str, goal: str) -> bool:
        """Whether the flow may come from `start` to `goal`, whatever its actions."""
        known = self._reached.get((start, goal))
        if known is None:
            known = self._reached[start, goal] = goal in self._all_from(start)
        return known

    def _all_from(self, start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            place = self.places[path]
            if place.is_entered:
                waiting.append(self.start(path))
            if place.around:
                waiting += [
                    self._paths[place.around[-1], id(node)] for node in _successors(place.node).values()
                ]
                # Where it ends its flow, the one around goes on.
                outer = self.places[place.around[-1]]
                if outer.around:
                    waiting += [
                        self._paths[outer.around[-1], id(node)] for node in _successors(outer.node).values()
                    ]
        return seen


def name_of(node: BaseNode) -> str:
    """The node's `name`, or its class's where it has none. Raises `FlowError`."""
    name = getattr(node, "name", type(node).__name__)
    is_text = isinstance(name, str) and 0 < len(name) <= LONGEST_NAME
    if not is_text or not name.isprintable() or "/" in name:
        raise FlowError(
            f"A node's name is 1 to {LONGEST_NAME} printable characters without a slash, not {name!r:.100}."
        )
    return name


def _successors(node: BaseNode) -> dict[str, BaseNode]:
    """Where each action leads, under its text; of those that are none, as 0, PocketFlow takes the default."""
    return {
        word_of(action): following
        for action, following in node.successors.items()
        if action or isinstance(action, str)
    }


def is_stepped(node: BaseNode) -> bool:
    """Whether it is a flow that runs its nodes one after the other, as Flow and AsyncFlow do."""
    if not isinstance(node, Flow) or isinstance(node, BatchFlow):
        return False
    ours = AsyncFlow if isinstance(node, AsyncFlow) else Flow
    return all(getattr(type(node), way, None) is getattr(ours, way, None) for way in _OWN_WAY)


def _check_one_go(flow: Flow, path: str) -> None:
    """Refuse reviews in what runs in one go: its task cannot wait in the middle of it."""
    seen: set[int] = set()
    waiting = [flow.start_node]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, ReviewNode) or asks_inside(node):
            raise FlowError(
                f"{name_of(node)!r} asks for a review inside {path!r}, which runs in one go "
                f"({type(flow).__name__}) and cannot wait; put the review before or after it."
            )
        waiting += [*node.successors.values(), getattr(node, "start_node", None)]


def _check_can_ask(node: BaseNode, path: str) -> None:
    if not isinstance(node, AsyncNode) and asks_inside(node):
        raise FlowError(
            f"{path!r} asks for a review from a synchronous node, which cannot wait for the answer; make it "
            "an AsyncNode, and await it."
        )
    if isinstance(node, AsyncParallelBatchNode) and asks_inside(node):
        raise FlowError(
            f"{path!r} asks for a review from items that run in parallel: which answer belongs to which "
            "could not be told; ask before or after it, or use an AsyncBatchNode."
        )


def asks_inside(node: BaseNode) -> bool:
    """Whether its own methods call `review()`; what they call in turn is found out when it runs."""
    for name in _CODE:
        function = getattr(type(node), name, None)
        if isinstance(function, FunctionType) and _names_review(function.__code__, function.__globals__):
            return True
    return False


def _names_review(code: CodeType, known: Mapping[str, Any]) -> bool:
    named = [known.get(name) for name in code.co_names]
    if any(found is running.review for found in named):
        return True
    if "review" in code.co_names and any(getattr(found, "review", None) is running.review for found in named):
        return True
    return any(isinstance(inner, CodeType) and _names_review(inner, known) for inner in code.co_consts)
