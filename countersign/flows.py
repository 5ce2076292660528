"""The configured flows, and `countersign flow`, which says what they are made of and needs no server."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from core.columns import columns
from core.definitions import definition
from core.errors import SettingsError
from core.graph import ROOT, asks_inside
from core.mermaid import mermaid
from core.nodes import ReviewNode
from countersign.configuration import configuration
from countersign.logs import configure
from countersign.settings import environment, settings
from countersign.terminal import literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.flow import FlowDefinition
    from core.graph import Place
    from core.model import FlowSettings, ModelEndpoint
    from countersign.configuration import Configuration

Row = dict[str, Any]
"""One line of JSON."""


def run_flow(name: str | None, *, as_mermaid: bool, as_json: bool) -> int:
    """List the flows, or show one; raises `SettingsError` where it cannot be loaded."""
    configure()
    found = settings()
    configured = configuration(found.core.config, environment())
    if name is None:
        rows, lines = _listed(configured)
    else:
        with redirect_stdout(sys.stderr):  # what its modules print must not stand among our lines
            flow = loaded(name, configured, found.core.model_endpoint)
        if as_mermaid:
            click.echo(mermaid(flow.graph), nl=False)
            return 0
        rows, lines = _shown(flow)
    for text in map(json.dumps, rows) if as_json else map(literal, lines):
        click.echo(text)
    return 0


def _listed(configured: Configuration) -> tuple[list[Row], list[str]]:
    flows = configured.flows.values()
    rows: list[Row] = [{"flow": flow.name, "made_of": made_of(flow), "policy": flow.policy} for flow in flows]
    return rows, list(table([(row["flow"], row["made_of"]) for row in rows]))


def _shown(flow: FlowDefinition) -> tuple[list[Row], list[str]]:
    rows = list(nodes(flow))
    heading = f"{flow.settings.name}: {made_of(flow.settings)}"
    return rows, [heading, *(f"  {line}" for line in table([_cells(row) for row in rows]))]


def loaded(name: str, configured: Configuration, model: ModelEndpoint | None) -> FlowDefinition:
    """The flow of that name, its modules imported; raises `SettingsError`."""
    if name not in configured.flows:
        known = ", ".join(sorted(configured.flows))
        raise SettingsError(literal(f"There is no flow {name!r}; there are: {known}."))
    try:
        return definition(configured.flows[name], configured.policies, configured.folder, model)
    except SettingsError as error:
        raise SettingsError(f"flows.{name}: {error}") from error


def made_of(flow: FlowSettings) -> str:
    """Where its nodes come from."""
    if flow.graph is not None:
        return flow.graph
    if flow.shipped == "approval":
        return "a single review of what is submitted"
    return f"process, review, loop; {flow.processor or 'the offline default'}"


def nodes(flow: FlowDefinition) -> Iterator[Row]:
    """Each node: its path, its class, where its actions lead, and when reviewers are asked there."""
    places = flow.graph.in_order()
    whole = flow.graph.places[ROOT]
    if whole not in places and _asked(flow, whole):
        places = [whole, *places]
    leads: dict[str, dict[str, str]] = {}
    for source, action, target in flow.graph.edges():
        leads.setdefault(source, {})[str(action)] = target
    for place in places:
        yield {
            "node": place.path,
            "class": type(place.node).__name__,
            "actions": leads.get(place.path, {}),
            "reviews": _asked(flow, place),
        }


def _asked(flow: FlowDefinition, place: Place) -> list[str]:
    """What is asked there, in order: before the node, by it or from inside it, after it."""
    found = ["before it runs"] if place.path in flow.interrupts_before else []
    if isinstance(place.node, ReviewNode):
        condition = "" if place.node.when is None else ", on a condition"
        found.append(f"under policy {flow.policy(place.node.policy).name}{condition}")
    elif asks_inside(place.node):
        found.append("from inside")
    return [*found, *(["after it ran"] if place.path in flow.interrupts_after else [])]


def _cells(row: Row) -> tuple[str, ...]:
    leads = ", ".join(
        f"-> {target}" if action == "default" else f"{action} -> {target}"
        for action, target in row["actions"].items()
    )
    asked = f"review {'; '.join(row['reviews'])}" if row["reviews"] else ""
    around = row["node"].rpartition("/")[0]
    ends = f"leaves {around}" if around else "ends the flow"
    return row["node"], row["class"], leads or ends, asked


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Cells under each other; the last column may be as long as it likes."""
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
