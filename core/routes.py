"""Where a node's action leads: on in its flow, out of it, or to the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import FlowError
from core.events import ActionUnmatched
from core.graph import ROOT
from core.model import Point
from core.nodes import ReviewNode
from core.stepping import has_post

if TYPE_CHECKING:
    from core.flow import FlowDefinition


@dataclass(frozen=True, slots=True)
class Route:
    """Where the flow goes on (None: it ends), and what ended on the way there."""

    following: str | None
    point: Point = Point.RUN
    unmatched: tuple[ActionUnmatched, ...] = ()


class Routes:
    """The ways through one flow."""

    def __init__(self, flow: FlowDefinition) -> None:
        self._flow = flow
        self._graph = flow.graph

    def after(self, path: str, action: str | None, *, asked: bool = False) -> Route:
        """After a node ran: first to the people of `interrupt_after`, unless they were `asked` already."""
        if path in self._flow.interrupts_after and not asked:
            return Route(path, Point.AFTER)
        following = self._graph.successor(path, action)
        if following is not None:
            return Route(following)
        ended = self._ended(path, action)
        around = self._graph.places[path].around
        if not around:
            return Route(None, unmatched=ended)
        outer = around[-1]
        if has_post(self._graph.places[outer].node):
            return Route(outer, Point.LEAVE, ended)
        further = self.after(outer, action)
        return Route(further.following, further.point, (*ended, *further.unmatched))

    def after_review(self, path: str, point: Point, action: str) -> Route:
        """After people said what is not a plain yes to an interrupt."""
        if action != "expired" or action in self._graph.choices(path):
            return self._after_word(path, point, action)
        route = self._after_word(path, point, "rejected")
        # Nobody said no, so there is no next attempt: a way back to the review is none.
        return Route(None) if self.comes_back(route, path) else route

    def _after_word(self, path: str, point: Point, action: str) -> Route:
        if point is Point.REVIEW:
            return self.after(path, action, asked=True)
        # An interrupted node knows nothing of reviews: a "no" ends the flow, unless it has a way for it.
        return Route(self._graph.successor(path, action))

    def comes_back(self, route: Route, path: str) -> bool:
        """Whether the flow may come to `path` again that way."""
        return route.following is not None and self._graph.reaches(route.following, path)

    def _ended(self, path: str, action: str | None) -> tuple[ActionUnmatched, ...]:
        """PocketFlow ends a flow at an action that leads nowhere with no more than a warning; so do we, but
        where people said yes and nothing would come of it, and in a strict flow. Raises `FlowError`."""
        choices = self._graph.choices(path)
        if not choices or path == ROOT:
            return ()
        word, known = action or "default", ", ".join(choices)
        is_strict = self._flow.settings.strict_actions
        if isinstance(self._graph.places[path].node, ReviewNode) and (is_strict or word == "approved"):
            raise FlowError(f"Review {path!r} came out {word}, which leads nowhere; it has: {known}.")
        if is_strict:
            raise FlowError(
                f"Node {path!r} returned the action {word!r}, which leads nowhere; it has: {known}."
            )
        return (ActionUnmatched(node=path, action=word, choices=list(choices)),)
