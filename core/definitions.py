"""Flows by their settings: the two that ship, and those that users write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from pocketflow import BaseNode, Flow

from core.errors import FlowError, SettingsError
from core.flow import FlowDefinition
from core.graph import ROOT, Graph
from core.imports import imported, reason
from core.nodes import ConversationNode, ProcessNode, ResultNode, ReviewNode
from core.processors import processor
from core.stepping import has_prep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from core.model import FlowSettings, Json, ModelEndpoint, Policy
    from core.nodes import Shared

log = structlog.get_logger()


def definition(
    settings: FlowSettings,
    policies: Mapping[str, Policy],
    beside: Path | None,
    model: ModelEndpoint | None = None,
) -> FlowDefinition:
    """The flow that its settings name, checked as a whole; raises `SettingsError`.

    Modules are looked up in the folder `beside` (that of the configuration file) first. `model` is for
    flows whose processor is one.
    """
    try:
        graph = Graph(_flow(settings, beside, model))
        found = FlowDefinition(graph=graph, settings=settings, policies=policies)
        _check(found)
    except FlowError as error:
        raise SettingsError(str(error)) from error
    return found


def _flow(settings: FlowSettings, beside: Path | None, model: ModelEndpoint | None) -> Flow:
    if settings.graph is not None:
        return _of_user(settings.graph, beside)
    if settings.shipped == "approval":
        return approval_flow()
    return draft_flow(settings, beside, model)


def draft_flow(settings: FlowSettings, beside: Path | None, model: ModelEndpoint | None = None) -> Flow:
    """Process → Review → approved → Result; rejected → Process."""
    kind = ConversationNode if settings.processor == "model" else ProcessNode
    process = kind(
        processor=processor(
            settings.processor,
            beside=beside,
            timeout=settings.timeout,
            model=model,
            prompt=settings.prompt,
        )
    )
    review = ReviewNode()
    process >> review
    review - "approved" >> ResultNode()
    review - "rejected" >> process
    return Flow(start=process)


def approval_flow() -> Flow:
    """A single review of what was submitted; the content is the result, a rejection the end."""
    return Flow(start=ReviewNode(show=_input))


def _input(shared: Shared) -> Json:
    submitted: Json = shared["task_input"]
    return submitted


def _of_user(spec: str, beside: Path | None) -> Flow:
    """What `module:function` returns."""
    make = imported(f"graph {spec!r}", spec, beside)
    try:
        made = make()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's function may raise anything
        raise SettingsError(f"graph {spec!r} raised {reason(error)}.") from error
    if not isinstance(made, BaseNode):
        raise SettingsError(f"graph {spec!r} returned {type(made).__name__}, not a PocketFlow Flow.")
    return made


def _check(flow: FlowDefinition) -> None:
    """What the configuration says of the graph; raises `FlowError`."""
    paths = flow.graph.places
    for key in ("interrupt_before", "interrupt_after"):
        for path in getattr(flow.settings, key):
            if path not in paths:
                known = ", ".join(sorted(flow.graph.named()))
                raise FlowError(f"{key}: there is no node {path!r}; there are: {known}.")
    for path, node in flow.graph.reviews():
        flow.policy(node.policy)
        wanted = {"approved", "rejected"} if flow.settings.strict_actions else {"approved"}
        missing = wanted - set(flow.graph.choices(path))
        if flow.graph.choices(path) and missing:
            log.warning("verdict_leads_nowhere", flow=flow.settings.name, node=path, verdicts=sorted(missing))
        if _shows_nothing(flow.graph, path, node):
            log.warning("review_shows_nothing", flow=flow.settings.name, node=path)


def _shows_nothing(graph: Graph, path: str, review: ReviewNode) -> bool:
    """Whether it is where the flow starts, and shows what no node before it can have made: null."""
    if review.show is not None or type(review).prep is not ReviewNode.prep or has_prep(graph.flow):
        return False
    return path == graph.start(ROOT)
