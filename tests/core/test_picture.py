"""A flow as Mermaid text and as SVG: whole, legible and harmless, whatever its nodes are called."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pocketflow import BatchFlow, Flow, Node

from core.graph import Graph
from core.layout import Box, Link, laid_out
from core.mermaid import mermaid
from core.nodes import ResultNode, ReviewNode
from core.picture import svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'a"]<script>&--> #35; `b`'


def node(name: str) -> Node:
    made = Node()
    made.name = name
    return made


def named(flow: Flow, name: str) -> Flow:
    flow.name = name
    return flow


def draft() -> Graph:
    process, review = node("process"), ReviewNode()
    process >> review
    review - "approved" >> ResultNode()
    review - "rejected" >> process
    return Graph(Flow(start=process))


def nested() -> Graph:
    """price → (check → sign) → lines, the middle one again and again."""
    check, sign = node("check"), ReviewNode("sign")
    check >> sign
    sign - "rejected" >> check
    inner = named(Flow(start=check), "papers")
    price = node("price")
    price >> inner
    inner - "again" >> inner
    inner - "approved" >> named(BatchFlow(start=node("line")), "lines")
    return Graph(Flow(start=price))


def elements(text: str, name: str) -> list[ET.Element]:
    """Those that have the class."""
    return [found for found in ET.fromstring(text).iter() if name in found.get("class", "").split()]  # noqa: S314 - our own drawing


def titles(text: str, name: str) -> list[str | None]:
    return [found.findtext(f"{SVG}title") for found in elements(text, name)]


def test_mermaid_names_nodes_and_actions() -> None:
    assert mermaid(draft()) == (
        "flowchart TD\n"
        '    n1["process"]\n'
        '    n2{{"review"}}\n'
        '    n3["result"]\n'
        "    n1 --> n2\n"
        '    n2 -->|"approved"| n3\n'
        '    n2 -->|"rejected"| n1\n'
    )


def test_mermaid_draws_nested_flows_as_subgraphs_and_batch_flows_in_one_piece() -> None:
    assert mermaid(nested()) == (
        "flowchart TD\n"
        '    n1["price"]\n'
        '    subgraph n2["papers"]\n'
        '        n3["check"]\n'
        '        n4{{"sign"}}\n'
        "    end\n"
        '    n5[["lines"]]\n'
        "    n1 --> n2\n"
        '    n2 -->|"again"| again2(( ))\n'
        "    again2 --> n2\n"
        '    n2 -->|"approved"| n5\n'
        "    n3 --> n4\n"
        '    n4 -->|"rejected"| n3\n'
    )


def test_mermaid_is_not_broken_by_names() -> None:
    start = node(HOSTILE)
    start.next(start, "end|\n;")
    start.next(start, "")
    text = mermaid(Graph(Flow(start=start)))
    label = "a#34;#93;#60;script#62;#38;#45;#45;#62; #35;35#59; #96;b#96;"
    assert text.splitlines() == [
        "flowchart TD",
        f'    n1["{label}"]',
        '    n1 -->|"end#124;#65533;#59;"| n1',
        '    n1 -->|"#32;"| n1',
    ]


def test_a_flow_that_runs_in_one_go_is_one_node() -> None:
    graph = Graph(named(BatchFlow(start=node("line")), "lines"))
    assert mermaid(graph) == 'flowchart TD\n    n1[["lines"]]\n'
    assert titles(svg(graph), "flow-node") == ["lines"]
    assert titles(svg(graph, current="/"), "is-current") == ["lines"]


def test_the_svg_has_every_node_arrow_and_label() -> None:
    text = svg(draft(), title="The flow draft")
    assert titles(text, "flow-node") == ["process", "review", "result"]
    assert titles(text, "is-review") == ["review"]
    assert len(elements(text, "flow-edge")) == 3
    assert [found.text for found in elements(text, "flow-label")] == ["approved", "rejected"]
    root = ET.fromstring(text)  # noqa: S314 - ours
    assert root.findtext(f"{SVG}title") == "The flow draft"
    assert "review leads to process by rejected" in str(root.findtext(f"{SVG}desc"))
    assert elements(text, "is-current") == elements(text, "is-taken") == []


def test_where_the_task_stands_and_came_from_is_lit() -> None:
    text = svg(draft(), current="review", taken=[("process", "review"), ("review", "process")])
    assert titles(text, "is-current") == ["review"]
    assert len(elements(text, "is-taken")) == 2
    assert "The task is at review." in text


@pytest.mark.parametrize(
    ("taken", "lit"),
    [
        (("price", "papers/check"), 1),
        (("papers/sign", "lines"), 1),
        (("papers/sign", "papers/check"), 1),
        (("papers", "lines"), 1),
        (("papers/sign", "papers"), 0),
        (("papers", "papers/check"), 1),
        (("lines", "price"), 0),
        (("gone", "price"), 0),
    ],
)
def test_the_way_into_a_nested_flow_and_out_of_it_is_lit(taken: tuple[str, str], lit: int) -> None:
    assert len(elements(svg(nested(), taken=[taken]), "is-taken")) == lit


def test_a_nested_flow_that_ran_again_is_lit_as_a_whole() -> None:
    step, last = node("step"), node("last")
    step >> last
    inner = named(Flow(start=step), "round")
    inner - "again" >> inner
    text = svg(Graph(Flow(start=inner)), taken=[("round/last", "round/step")])
    assert len(elements(text, "is-taken")) == 1
    assert titles(text, "flow-group") == ["round"]


def test_a_path_that_is_gone_lights_nothing() -> None:
    assert svg(draft(), current="gone") == svg(draft())


def test_the_svg_is_harmless_and_the_same_each_time() -> None:
    start = node(HOSTILE)
    start.next(start, '<b>"\x00\x1b')
    graph = Graph(Flow(start=start))
    text = svg(graph, title="<i>&\x00")
    assert text == svg(graph, title="<i>&\x00")
    assert titles(text, "flow-node") == [HOSTILE]
    assert not re.search(r"<script|<b>|<i>|style=|\bid=|\x00|\x1b|url\(", text)


def test_parallel_arrows_say_all_their_actions() -> None:
    start, end = node("start"), node("end")
    for action in ("default", "a_rather_long_action", "another"):
        start.next(end, action)
    label = elements(svg(Graph(Flow(start=start))), "flow-label")[0]
    assert label.findtext(f"{SVG}title") == "default, a_rather_long_action, another"
    assert "".join(label.itertext()).endswith("default, a_rather…")


def test_a_long_name_goes_on_in_a_second_line_and_then_ends() -> None:
    text = svg(Graph(Flow(start=node("collect_every_invoice_of_the_customer_and_more"))))
    lines = [found.text for found in elements(text, "flow-node")[0].iter(f"{SVG}text")]
    assert lines == ["collect_every_", "invoice_of_the_cus…"]


def test_two_hundred_nodes_fit_a_phone() -> None:
    nodes = [node(f"step {number}") for number in range(200)]
    for number, made in enumerate(nodes):
        for at, step in enumerate((1, 2, 7, -5)):
            made.next(nodes[(number + step) % 200], f"action {at}")
    text = svg(Graph(Flow(start=nodes[0])))
    assert len(elements(text, "flow-node")) == 200
    assert int(str(ET.fromstring(text).get("width"))) <= 480  # noqa: S314 - ours


WIDTHS = st.lists(st.integers(32, 168).map(lambda half: 2 * half), min_size=1, max_size=12)


@settings(max_examples=150)
@given(widths=WIDTHS, data=st.data())
def test_nothing_lies_upon_anything(widths: list[int], data: st.DataObject) -> None:
    """Whatever the graph: boxes and labels are apart, arrows cross no box, and all is within the picture."""
    names = [str(number) for number in range(len(widths))]
    tree = {(names[data.draw(st.integers(0, at - 1))], names[at]) for at in range(1, len(names))}
    ends = st.tuples(st.sampled_from(names), st.sampled_from(names))
    more = data.draw(st.sets(ends, max_size=12))
    links = [Link(*pair, data.draw(st.integers(0, 120))) for pair in sorted(tree | more)]
    sizes = dict(zip(names, ((width, 32) for width in widths), strict=True))
    layout = laid_out(sizes, "0", links)
    boxes = list(layout.boxes.values())
    labels = [arrow.label for arrow in layout.arrows.values() if arrow.label]
    assert set(layout.boxes) == set(names)
    assert set(layout.arrows) == set(links)
    assert not any(overlap(*pair) for pair in combinations(boxes, 2))
    assert not any(overlap(box, label) for box in boxes for label in labels)
    assert not any(overlap(*pair) for pair in combinations(labels, 2))
    for arrow in layout.arrows.values():
        for (x, y), (to_x, to_y) in zip(arrow.points, arrow.points[1:], strict=False):
            way = Box(min(x, to_x), min(y, to_y), abs(to_x - x), abs(to_y - y))
            assert not any(overlap(way, box) for box in boxes)
    within = Box(0, 0, layout.width, layout.height)
    assert all(inside(box, within) for box in (*boxes, *labels))
    assert layout.width <= 480


def overlap(one: Box, other: Box) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def inside(one: Box, other: Box) -> bool:
    return one.x >= other.x and one.right <= other.right and one.y >= other.y and one.bottom <= other.bottom
