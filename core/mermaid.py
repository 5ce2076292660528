"""A flow as Mermaid text, for documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.columns import printable
from core.graph import name_of
from core.nodes import ReviewNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from core.graph import Graph, Place

_INDENT = "    "


def mermaid(graph: Graph) -> str:
    """A Mermaid flowchart: reviews as hexagons, nested flows as subgraphs, one-go flows with double sides."""
    ids = {place.path: f"n{number}" for number, place in enumerate(graph.in_order(), start=1)}
    lines = ["flowchart TD", *_nodes(graph, ids), *_edges(graph, ids)]
    return "\n".join(lines) + "\n"


def _nodes(graph: Graph, ids: Mapping[str, str]) -> Iterator[str]:
    open_flows: list[str] = []
    for place in graph.in_order():
        while open_flows and open_flows[-1] not in place.around:
            open_flows.pop()
            yield f"{_INDENT * (len(open_flows) + 1)}end"
        indent, name = _INDENT * (len(open_flows) + 1), ids[place.path]
        if place.is_entered:
            open_flows.append(place.path)
            yield f'{indent}subgraph {name}["{_text(name_of(place.node))}"]'
        else:
            yield f"{indent}{_node(place, name)}"
    for depth in range(len(open_flows), 0, -1):
        yield f"{_INDENT * depth}end"


def _node(place: Place, name: str) -> str:
    before, after = "[", "]"
    if isinstance(place.node, ReviewNode):
        before, after = "{{", "}}"
    elif place.is_one_go:
        before, after = "[[", "]]"
    return f'{name}{before}"{_text(name_of(place.node))}"{after}'


def _edges(graph: Graph, ids: Mapping[str, str]) -> Iterator[str]:
    for number, (source, action, target) in enumerate(graph.edges(), start=1):
        label = "" if action == "default" else f'|"{_text(printable(action))}"|'
        if source == target and graph.places[source].is_entered:
            # Mermaid draws no arrow from a subgraph to itself.
            yield f"{_INDENT}{ids[source]} -->{label} again{number}(( ))"
            yield f"{_INDENT}again{number} --> {ids[target]}"
        else:
            yield f"{_INDENT}{ids[source]} -->{label} {ids[target]}"


_NOT_PLAIN = re.compile(r"[^\w -]|(?<![^\W_])_|_(?![^\W_])|(?<![^\W_])-|^ | $")
"""Whatever Mermaid or Markdown might read as more than a character."""


def _text(text: str) -> str:
    """Text for between quotation marks, everything special as Mermaid's own entities."""
    return _NOT_PLAIN.sub(lambda found: f"#{ord(found[0])};", text) or "#32;"
