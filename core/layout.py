"""Where the boxes and arrows of a small directed graph stand: rows from top to bottom, in whole pixels.

An arrow to the next row runs between the rows; every other one (back, over a row, to its own box) leaves
downwards, runs along the right side and enters from above. Labels stand between the rows, where no box is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDEST_ROW = 336
"""Boxes that do not fit beside each other go on in a row of their own, so that a phone shows it all."""
BETWEEN_BOXES = 16
PORT = 12
"""How far from a box's right edge the arrows of the side leave and enter."""
LANE, MOST_LANES = 8, 14
"""Arrows along the side lie so far apart; where there are more, some lie upon each other."""
OUT, LABEL, IN = 16, 14, 8
"""What an arrow to the side, a row of labels and an arrow from the side take of the height between rows."""
LEAVE, BEND, ARRIVE = 6, 14, 12

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def middle(self) -> int:
        return self.x + self.width // 2


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow to be drawn; its label is `label` wide, or absent (0)."""

    source: str
    target: str
    label: int = 0


@dataclass(frozen=True, slots=True)
class Arrow:
    """A link's way from the lower edge of its source to the upper edge of its target."""

    points: tuple[Point, ...]
    label: Box | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything relative to the upper left corner."""

    width: int
    height: int
    boxes: Mapping[str, Box]
    arrows: Mapping[Link, Arrow]


def laid_out(sizes: Mapping[str, tuple[int, int]], start: str, links: Sequence[Link]) -> Layout:
    """Place boxes of those sizes (even width, height), all of which `start` reaches, and their links."""
    rows = list(_rows(sizes, start, links))
    return _Drawing(sizes, rows, links).layout()


def ranks(start: str, following: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest way from the start to each, in the order in which they are met, loops left aside."""
    met, finished, loops = _depth_first(start, following)
    found = dict.fromkeys(met, 0)
    for name in reversed(finished):
        for target in following.get(name, ()):
            if (name, target) not in loops:
                found[target] = max(found[target], found[name] + 1)
    return found


def _depth_first(
    start: str, following: Mapping[str, Sequence[str]]
) -> tuple[Iterable[str], list[str], set[tuple[str, str]]]:
    """Everything as it is met, everything as it is finished, and the arrows that close a loop."""
    done: list[str] = []
    is_open = {start: True}
    loops: set[tuple[str, str]] = set()
    ways = [(start, iter(following.get(start, ())))]
    while ways:
        name, targets = ways[-1]
        target = next(targets, None)
        if target is None:
            ways.pop()
            is_open[name] = False
            done.append(name)
        elif target not in is_open:
            is_open[target] = True
            ways.append((target, iter(following.get(target, ()))))
        elif is_open[target]:
            loops.add((name, target))
    return is_open, done, loops


def _rows(sizes: Mapping[str, tuple[int, int]], start: str, links: Iterable[Link]) -> Iterable[list[str]]:
    """Each rank in the order of where its arrows come from, broken into rows that are not too wide."""
    following: dict[str, list[str]] = defaultdict(list)
    before: dict[str, list[str]] = defaultdict(list)
    for link in links:
        following[link.source].append(link.target)
        before[link.target].append(link.source)
    found = ranks(start, following)
    place: dict[str, float] = {}
    by_rank: dict[int, list[str]] = defaultdict(list)
    for name, rank in found.items():
        by_rank[rank].append(name)
    for rank in sorted(by_rank):
        names = by_rank[rank]
        wish = {name: _mean([place[source] for source in before[name] if source in place]) for name in names}
        names.sort(key=wish.__getitem__)
        place.update({name: (at + 1) / (len(names) + 1) for at, name in enumerate(names)})
        yield from _broken(names, sizes)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.5


def _broken(names: Iterable[str], sizes: Mapping[str, tuple[int, int]]) -> Iterable[list[str]]:
    row: list[str] = []
    width = 0
    for name in names:
        wider = width + BETWEEN_BOXES + sizes[name][0]
        if row and wider > WIDEST_ROW:
            yield row
            row, wider = [], sizes[name][0]
        elif not row:
            wider = sizes[name][0]
        row.append(name)
        width = wider
    yield row


class _Drawing:
    """One graph while its places are found: columns first, then heights, the side last."""

    def __init__(
        self, sizes: Mapping[str, tuple[int, int]], rows: Sequence[Sequence[str]], links: Sequence[Link]
    ) -> None:
        self._sizes = sizes
        self._rows = rows
        self._row = {name: at for at, row in enumerate(rows) for name in row}
        self._left = self._columns()
        self._straight: list[Link] = []
        self._aside: list[Link] = []
        self._down_from: dict[int, list[Link]] = defaultdict(list)
        self._out: dict[int, list[Link]] = defaultdict(list)
        self._into: dict[int, list[Link]] = defaultdict(list)
        for link in links:
            self._sort(link)
        self._leaves = self._leaving()
        self._enters = self._entering()
        self._widest = max(self._left[name] + sizes[name][0] for name in sizes)
        self._most = max(self._widest, WIDEST_ROW)

    def _sort(self, link: Link) -> None:
        source, target = self._row[link.source], self._row[link.target]
        if target == source + 1:
            self._straight.append(link)
            self._down_from[source].append(link)
        else:
            self._aside.append(link)
            self._out[source].append(link)
            self._into[target].append(link)

    def layout(self) -> Layout:
        boxes, arrows = self._down()
        right = max([self._widest, *(arrow.label.right for arrow in arrows.values() if arrow.label)])
        lanes = self._lanes(arrows)
        right += right % 2  # so that what stands above each other has the same middle
        for link, lane in lanes.items():
            arrows[link] = _along(arrows[link], right + LANE * (lane + 1))
        width = right + (LANE * (max(lanes.values()) + 2) if lanes else 0)
        height = max(y for arrow in arrows.values() for _, y in arrow.points) if arrows else 0
        last = max(box.bottom for box in boxes.values())
        return Layout(width, max(last, height), boxes, arrows)

    def _columns(self) -> dict[str, int]:
        """Each box's left edge, its row being centred."""
        widths = [sum(self._sizes[name][0] + BETWEEN_BOXES for name in row) for row in self._rows]
        left = {}
        for row, width in zip(self._rows, widths, strict=True):
            x = (max(widths) - width) // 2
            for name in row:
                left[name] = x
                x += self._sizes[name][0] + BETWEEN_BOXES
        return left

    def _leaving(self) -> dict[Link, int]:
        """Where on its source's lower edge each link begins."""
        found: dict[Link, int] = {}
        for name, links in _by(self._straight, "source").items():
            links.sort(key=lambda link: self._middle(link.target))
            found.update(zip(links, self._spread(name, len(links)), strict=True))
        for name, links in _by(self._aside, "source").items():
            step = min(LANE, (self._sizes[name][0] // 2 - PORT) // len(links))
            right = self._left[name] + self._sizes[name][0] - PORT
            found.update({link: right - step * at for at, link in enumerate(links)})
        return found

    def _entering(self) -> dict[Link, int]:
        """Where on its target's upper edge each link ends; those from the side end in one place."""
        found: dict[Link, int] = {}
        for name, links in _by(self._straight, "target").items():
            links.sort(key=lambda link: self._leaves[link])
            found.update(zip(links, self._spread(name, len(links)), strict=True))
        for link in self._aside:
            found[link] = self._left[link.target] + self._sizes[link.target][0] - PORT
        return found

    def _middle(self, name: str) -> int:
        return self._left[name] + self._sizes[name][0] // 2

    def _spread(self, name: str, count: int) -> list[int]:
        """So many places around the middle of a box's edge, clear of those for the side."""
        room = self._sizes[name][0] - 4 * PORT
        step = min(24, room // (count - 1)) if count > 1 else 0
        first = self._middle(name) - step * (count - 1) // 2
        return [first + step * at for at in range(count)]

    def _down(self) -> tuple[dict[str, Box], dict[Link, Arrow]]:
        """Every box, and every arrow but for its way along the side."""
        boxes: dict[str, Box] = {}
        starts: dict[Link, tuple[int, Box | None]] = {}
        ends: dict[Link, tuple[int, Box | None]] = {}
        y = self._gap(-1, 0, starts, ends)
        for at, row in enumerate(self._rows):
            for name in row:
                boxes[name] = Box(self._left[name], y, *self._sizes[name])
            y = self._gap(at, max(boxes[name].bottom for name in row), starts, ends)
        arrows = {}
        for link, (out, label) in starts.items():
            leave, enter = self._leaves[link], self._enters[link]
            inner, beside = ends[link]
            points = [(leave, boxes[link.source].bottom), (leave, out), (enter, inner)]
            arrows[link] = Arrow((*points, (enter, boxes[link.target].y)), label or beside)
        return boxes, arrows

    def _gap(
        self,
        at: int,
        y: int,
        starts: dict[Link, tuple[int, Box | None]],
        ends: dict[Link, tuple[int, Box | None]],
    ) -> int:
        """Fill what is below row `at`, from `y` down to what is returned."""
        out, straight, into = self._out[at], self._down_from[at], self._into[at + 1]
        targets = {link.target: self._enters[link] for link in into}
        if not (out or straight or targets):
            return y
        y += LEAVE
        # The rightmost leaves first and the leftmost enters first, so that they do not cross.
        for link in sorted(out, key=lambda link: -self._leaves[link]):
            y += OUT
            starts[link] = y, self._beside(self._leaves[link], y, link.label)
        for link in straight:
            starts[link] = y, None
        if straight:
            y += BEND
            y += LABEL * self._label_rows(straight, y, ends)
        entrances = {}
        for target in sorted(targets, key=targets.__getitem__):
            y += IN
            entrances[target] = y
        ends.update({link: (entrances[link.target], None) for link in into})
        return y + (ARRIVE if straight or targets else 0)

    def _beside(self, x: int, y: int, width: int) -> Box | None:
        """A label to the right of a line, or over it where it would lead outside."""
        if not width:
            return None
        left = max(0, min(x + 5, self._most - width))
        return Box(left, y - LABEL, width, LABEL)

    def _label_rows(self, links: Sequence[Link], y: int, ends: dict[Link, tuple[int, Box | None]]) -> int:
        """Set labels beside where their arrows arrive, in as many rows as it takes; how many."""
        full: list[int] = []
        for link in sorted(links, key=lambda link: (self._enters[link], self._leaves[link])):
            box = self._beside(self._enters[link], y + LABEL, link.label)
            if box is not None:
                row = next((row for row, right in enumerate(full) if right + LANE < box.x), len(full))
                full[row : row + 1] = [box.right]
                box = Box(box.x, box.y + LABEL * row, box.width, box.height)
            ends[link] = y, box
        return len(full)

    def _lanes(self, arrows: Mapping[Link, Arrow]) -> dict[Link, int]:
        """Which way along the side each takes, counted from the boxes; those to one target share theirs."""
        spans = {}
        for target, links in _by(self._aside, "target").items():
            heights = [y for link in links for _, y in arrows[link].points[1:3]]
            spans[target] = min(heights), max(heights)
        taken: list[list[tuple[int, int]]] = []
        lane_of = {}
        for target in sorted(spans, key=lambda name: (spans[name][1] - spans[name][0], spans[name])):
            low, high = spans[target]
            free = (at for at, used in enumerate(taken) if all(high < a or b < low for a, b in used))
            lane = min(next(free, len(taken)), MOST_LANES - 1)
            taken[lane : lane + 1] = [[*(taken[lane] if lane < len(taken) else []), (low, high)]]
            lane_of[target] = lane
        return {link: lane_of[link.target] for link in self._aside}


def _along(arrow: Arrow, x: int) -> Arrow:
    """The arrow by way of the side."""
    begin, out, inner, end = arrow.points
    return Arrow((begin, out, (x, out[1]), (x, inner[1]), inner, end), arrow.label)


def _by(links: Iterable[Link], end: str) -> dict[str, list[Link]]:
    found: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        found[getattr(link, end)].append(link)
    return found


def without_needless(points: Sequence[Point]) -> list[Point]:
    """Without points that lie on a straight vertical or horizontal way between their neighbours."""
    kept = [points[0]]
    for point, following in pairwise(points[1:]):
        x, y = kept[-1]
        if point != (x, y) and not (x == point[0] == following[0] or y == point[1] == following[1]):
            kept.append(point)
    return [*kept, points[-1]]
