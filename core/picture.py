"""A flow as a picture: an SVG that shows where a task stands in it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from xml.sax.saxutils import escape

from core.columns import columns, cut, printable
from core.graph import ROOT, name_of
from core.layout import Layout, Link, laid_out, without_needless
from core.nodes import ReviewNode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from core.graph import Graph, Place

Edges: TypeAlias = "dict[str, dict[tuple[str, str], list[str]]]"
"""By the flow around them: from where to where, and the actions that lead there."""

NAME_SIZE, LABEL_SIZE = 12, 11
NAME_CHAR, LABEL_CHAR = 7.25, 6.65
"""What a character of a monospaced font takes at these sizes, in pixels; East Asian wide ones take two."""
NARROWEST, WIDEST = 64, 176
"""Boxes are as wide as their names; what is longer goes on in a second line and then ends in an ellipsis."""
LINE = 16
LONGEST_LABEL = 18
AROUND, HEADER, START = 10, 22, 20
"""Space around a picture or a nested flow, the height of its name, and that of the dot that starts it."""
CORNER = 6


def svg(
    graph: Graph,
    *,
    current: str | None = None,
    taken: Collection[tuple[str, str]] = (),
    title: str = "",
) -> str:
    """The flow as inline SVG for a page, whose style sheet colours it by its classes.

    `current` is the path of the node where the task stands. `taken` is the way it came: pairs of paths of
    nodes that ran one after the other; where one is in a nested flow, the arrow to or from that flow is
    lit. What is not in the graph is passed over. The text is the same for the same arguments.
    """
    edges = _edges(graph)
    came = set(taken)
    if not graph.places[ROOT].is_entered:
        picture = _one_node(graph, current)
    else:
        lit = {found for pair in came if (found := _lit(graph, edges, *pair)) is not None}
        picture = _Flow(graph, edges, lit, current).drawn(ROOT)
    name = printable(title) or "Flow"
    width, height = picture.width + 2 * AROUND, picture.height + 2 * AROUND
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flow-picture" role="img" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="ui-monospace, monospace" font-size="{NAME_SIZE}" fill="none" stroke="currentColor">'
        f"<title>{escape(name)}</title><desc>{escape(_described(graph, edges, current))}</desc>"
        f"{_moved(picture.text, AROUND, AROUND)}</svg>"
    )


def _edges(graph: Graph) -> Edges:
    found: Edges = defaultdict(lambda: defaultdict(list))
    for source, action, target in graph.edges():
        found[graph.places[source].around[-1]][source, target].append(printable(action))
    return found


def _label(actions: Sequence[str]) -> str:
    """The actions of one arrow; where `default` is the only one it goes without saying."""
    return "" if list(actions) == ["default"] else ", ".join(actions)


def _lit(graph: Graph, edges: Edges, source: str, target: str) -> tuple[str, str] | None:
    """The arrow that led from one node to the next, which stands in the innermost flow that has one."""
    if source not in graph.places or target not in graph.places:
        return None
    if target in graph.places[source].around:
        return None  # the flow around it was left: the arrow is the next step's
    ways = [(*graph.places[path].around, path) for path in (source, target)]
    shared = [one for one, other in zip(*ways, strict=False) if one == other]
    for depth in range(min(len(shared), *(len(way) - 1 for way in ways)), 0, -1):
        pair = ways[0][depth], ways[1][depth]
        if pair in edges.get(shared[depth - 1], ()):
            return pair
    return None


@dataclass(frozen=True, slots=True)
class _Picture:
    """Some SVG and the space that it takes."""

    width: int
    height: int
    text: str


class _Flow:
    """Draws a graph flow by flow, the inner ones first."""

    def __init__(
        self, graph: Graph, edges: Edges, taken: Collection[tuple[str, str]], current: str | None
    ) -> None:
        self._graph = graph
        self._edges = edges
        self._taken = taken
        self._current = current

    def drawn(self, path: str) -> _Picture:
        """The nodes and arrows of one flow, under the dot where it starts."""
        pictures = {place.path: self._place(place) for place in self._graph.inside(path)}
        sizes = {name: (picture.width, picture.height) for name, picture in pictures.items()}
        edges = self._edges[path]
        labels = {pair: cut(_label(actions), LONGEST_LABEL) for pair, actions in edges.items()}
        links = {pair: Link(*pair, _label_width(label)) for pair, label in labels.items()}
        start = self._graph.start(path)
        layout = laid_out(sizes, start, list(links.values()))
        parts = [_beginning(layout, start)]
        # What was taken lies on top of what shares its way.
        below_first = sorted(links, key=lambda pair: pair in self._taken)
        parts += [_arrow(layout, links[pair], is_taken=pair in self._taken) for pair in below_first]
        for name, picture in pictures.items():
            parts.append(_moved(picture.text, layout.boxes[name].x, layout.boxes[name].y))
        parts += [_written(layout, links[pair], labels[pair], edges[pair]) for pair in links]
        return _Picture(layout.width, layout.height + START, _moved("".join(parts), 0, START))

    def _place(self, place: Place) -> _Picture:
        is_current = place.path == self._current
        if not place.is_entered:
            return _node(place, is_current=is_current)
        inner = self.drawn(place.path)
        name = cut(name_of(place.node), int((max(inner.width, WIDEST) - AROUND) / NAME_CHAR))
        width = max(inner.width, _even(columns(name) * NAME_CHAR)) + 2 * AROUND
        height = inner.height + HEADER + AROUND
        return _Picture(
            width,
            height,
            f"<g{_classes('flow-group', is_current=is_current)}><title>{escape(name_of(place.node))}</title>"
            f'<rect width="{width}" height="{height}" rx="{CORNER}"/>'
            f"{_text(name, AROUND, HEADER - 7)}"
            f"{_moved(inner.text, (width - inner.width) // 2, HEADER)}</g>",
        )


def _one_node(graph: Graph, current: str | None) -> _Picture:
    """A flow that runs in one go is all there is to see."""
    return _node(graph.places[ROOT], is_current=current is not None)


def _node(place: Place, *, is_current: bool) -> _Picture:
    is_review, is_one_go = isinstance(place.node, ReviewNode), place.is_one_go
    lines = _lines(name_of(place.node))
    margin = 34 if is_review or is_one_go else 20
    width = max(NARROWEST, _even(max(map(columns, lines)) * NAME_CHAR) + margin)
    height = LINE * len(lines) + 16
    if is_review:
        shape = (
            f'<path d="M12 0H{width - 12}L{width} {height // 2}L{width - 12} {height}H12L0 {height // 2}Z"/>'
        )
    else:
        shape = f'<rect width="{width}" height="{height}" rx="{CORNER}"/>'
    if is_one_go:
        shape += f'<path d="M7 0V{height}M{width - 7} 0V{height}"/>'
    words = "".join(_text(line, width // 2, 20 + LINE * at, middle=True) for at, line in enumerate(lines))
    classes = _classes("flow-node", is_review=is_review, is_current=is_current)
    return _Picture(
        width, height, f"<g{classes}><title>{escape(name_of(place.node))}</title>{shape}{words}</g>"
    )


def _beginning(layout: Layout, start: str) -> str:
    box = layout.boxes[start]
    return (
        f'<g class="flow-start"><circle cx="{box.middle}" cy="{4 - START}" r="4" fill="currentColor"/>'
        f'<path d="M{box.middle} {8 - START}V{box.y}{_head(box.middle, box.y)}"/></g>'
    )


def _arrow(layout: Layout, link: Link, *, is_taken: bool) -> str:
    points = layout.arrows[link].points
    way = _rounded(without_needless(points))
    return f'<path{_classes("flow-edge", is_taken=is_taken)} d="{way}{_head(*points[-1])}"/>'


def _rounded(points: Sequence[tuple[int, int]]) -> str:
    """A way through the points whose corners are round."""
    way = [f"M{points[0][0]} {points[0][1]}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        near, far = _towards(corner, before), _towards(corner, after)
        way.append(f"L{near[0]} {near[1]}Q{corner[0]} {corner[1]} {far[0]} {far[1]}")
    way.append(f"L{points[-1][0]} {points[-1][1]}")
    return "".join(way)


def _towards(corner: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """The point on the way to `other` where the round part ends."""
    far = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    share = min(CORNER, far / 2) / far
    return round(corner[0] + (other[0] - corner[0]) * share), round(
        corner[1] + (other[1] - corner[1]) * share
    )


def _head(x: int, y: int) -> str:
    return f"M{x - 4} {y - 6}L{x} {y}L{x + 4} {y - 6}"


def _written(layout: Layout, link: Link, label: str, actions: Sequence[str]) -> str:
    box = layout.arrows[link].label
    if box is None:
        return ""
    whole = _label(actions)
    note = f"<title>{escape(whole)}</title>" if whole != label else ""
    return (
        f'<text class="flow-label" x="{box.x}" y="{box.bottom - 3}" font-size="{LABEL_SIZE}" '
        f'fill="currentColor" stroke="none">{note}{escape(label)}</text>'
    )


def _text(line: str, x: int, y: int, *, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x}" y="{y}"{anchor} fill="currentColor" stroke="none">{escape(line)}</text>'


def _moved(text: str, x: int, y: int) -> str:
    return f'<g transform="translate({x} {y})">{text}</g>' if x or y else text


def _classes(always: str, **claims: bool) -> str:
    names = [always, *(claim.replace("_", "-") for claim, holds in claims.items() if holds)]
    return f' class="{" ".join(names)}"'


def _even(width: float) -> int:
    return 2 * round(width / 2 + 0.5)


def _label_width(label: str) -> int:
    return round(columns(label) * LABEL_CHAR) + 2 if label else 0


def _lines(name: str) -> list[str]:
    """A name in one line or two, broken where its words end if they do."""
    most = int((WIDEST - 34) / NAME_CHAR)
    if columns(name) <= most:
        return [name]
    first = cut(name, most + 1).removesuffix("…")
    ends = [found.end() for found in re.finditer(r"[\W_]", first)]
    at = ends[-1] if ends and ends[-1] >= most // 2 else len(first)
    return [name[:at], cut(name[at:], most)]


def _described(graph: Graph, edges: Edges, current: str | None) -> str:
    """The picture in words, for those who do not see it."""
    said = [
        f"{source} leads to {target}" + (f" by {label}" if (label := _label(actions)) else "")
        for around in edges.values()
        for (source, target), actions in around.items()
    ]
    asked = [path for path, _ in graph.reviews()]
    sentences = ["; ".join(said) or f"One node: {name_of(graph.in_order()[0].node)}"]
    if asked:
        sentences.append(f"Reviews: {', '.join(asked)}")
    if current in graph.places:
        sentences.append(f"The task is at {current}")
    return ". ".join(sentences) + "."
