"""`countersign flow`: what the configuration's flows are made of, without a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.server import environment

CONFIG = """
[people.ana]
name = "Ana"
[policies.default]
reviewers = ["ana"]
[policies.legal]
reviewers = ["ana"]
[flows.refund]
graph = "refund_flow:create_flow"
interrupt_before = ["pay"]
interrupt_after = ["pay", "papers/check"]
[flows.unfinished]
graph = "refund_flow:unfinished"
[flows.absent]
graph = "no_such_module:create_flow"
[flows.misspelt]
graph = "refund_flow:create_flow"
interrupt_before = ["pya"]
"""
MODULE = """
from pocketflow import Flow, Node
from core.nodes import ReviewNode

print("said while it is imported")

def node(name):
    made = Node()
    made.name = name
    return made

def create_flow():
    price, check, pay = node("price"), node("check"), node("pay")
    sign = ReviewNode("sign", policy="legal", when=lambda shared: shared["amount"] > 100)
    check >> sign
    sign - "rejected" >> check
    papers = Flow(start=check)
    papers.name = "papers"
    price >> papers
    papers - "approved" >> pay
    return Flow(start=price)

def unfinished():
    return Flow()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "countersign.toml").write_text(CONFIG)
    (tmp_path / "refund_flow.py").write_text(MODULE)
    return tmp_path


def flow(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "countersign", "flow", *words],
        cwd=folder,
        env=environment(8080),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_flows_are_listed_also_those_that_are_broken(folder: Path) -> None:
    printed = flow(folder)
    assert printed.returncode == 0
    assert printed.stdout.splitlines() == [
        "draft       process, review, loop; the offline default",
        "approval    a single review of what is submitted",
        "refund      refund_flow:create_flow",
        "unfinished  refund_flow:unfinished",
        "absent      no_such_module:create_flow",
        "misspelt    refund_flow:create_flow",
    ]
    named = [json.loads(line)["flow"] for line in flow(folder, "--json").stdout.splitlines()]
    assert named == ["draft", "approval", "refund", "unfinished", "absent", "misspelt"]


def test_a_flow_shows_its_nodes_their_actions_and_where_reviews_are_asked(folder: Path) -> None:
    printed = flow(folder, "refund")
    assert printed.returncode == 0
    assert [re.split(r"  +", line.strip()) for line in printed.stdout.splitlines()] == [
        ["refund: refund_flow:create_flow"],
        ["price", "Node", "-> papers"],
        ["papers", "Flow", "approved -> pay"],
        ["papers/check", "Node", "-> papers/sign", "review after it ran"],
        [
            "papers/sign",
            "ReviewNode",
            "rejected -> papers/check",
            "review under policy legal, on a condition",
        ],
        ["pay", "Node", "ends the flow", "review before it runs; after it ran"],
    ]
    assert [json.loads(line) for line in flow(folder, "refund", "--json").stdout.splitlines()] == [
        {"node": "price", "class": "Node", "actions": {"default": "papers"}, "reviews": []},
        {"node": "papers", "class": "Flow", "actions": {"approved": "pay"}, "reviews": []},
        {
            "node": "papers/check",
            "class": "Node",
            "actions": {"default": "papers/sign"},
            "reviews": ["after it ran"],
        },
        {
            "node": "papers/sign",
            "class": "ReviewNode",
            "actions": {"rejected": "papers/check"},
            "reviews": ["under policy legal, on a condition"],
        },
        {"node": "pay", "class": "Node", "actions": {}, "reviews": ["before it runs", "after it ran"]},
    ]


def test_a_node_that_asks_from_inside_is_shown_as_one(folder: Path) -> None:
    (folder / "agent_flow.py").write_text(Path("docs/examples/agent_flow.py").read_text())
    (folder / "countersign.toml").write_text(CONFIG + '[flows.agent]\ngraph = "agent_flow:create_flow"\n')
    (row,) = map(json.loads, flow(folder, "agent", "--json").stdout.splitlines())
    assert row["reviews"] == ["from inside"]


def test_mermaid_is_all_that_is_printed(folder: Path) -> None:
    printed = flow(folder, "refund", "--mermaid")
    assert printed.returncode == 0
    assert printed.stdout.startswith('flowchart TD\n    n1["price"]\n    subgraph n2["papers"]\n')
    assert "said while it is imported" in printed.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "nope",
            "There is no flow 'nope'; there are: absent, approval, draft, misspelt, refund, unfinished.",
        ),
        ("unfinished", "flows.unfinished: The flow '/' has no start node."),
        ("absent", "flows.absent: graph 'no_such_module:create_flow' cannot be imported: "),
        ("misspelt", "flows.misspelt: interrupt_before: there is no node 'pya'; there are: "),
    ],
)
@pytest.mark.parametrize("option", ["--json", "--mermaid"])
def test_a_flow_that_cannot_be_shown_is_one_sentence(
    folder: Path, name: str, sentence: str, option: str
) -> None:
    refused = flow(folder, name, option)
    assert refused.returncode == 2
    assert refused.stdout == ""
    said = [line for line in refused.stderr.splitlines() if line != "said while it is imported"]
    assert len(said) == 1
    assert said[0].startswith(f"countersign: {sentence}")


def test_mermaid_of_no_flow_is_refused(folder: Path) -> None:
    assert flow(folder, "--mermaid").returncode == 2


def test_doctor_names_every_flow_that_does_not_load(folder: Path) -> None:
    examined = subprocess.run(
        [sys.executable, "-m", "countersign", "doctor", "--json"],
        cwd=folder,
        env=environment(8080),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert examined.returncode == 1
    findings = [json.loads(line) for line in examined.stdout.splitlines()]
    broken = [found["text"].split(":")[0] for found in findings if not found["is_well"]]
    assert broken == ["flows.unfinished", "flows.absent", "flows.misspelt"]


def test_the_last_node_of_a_nested_flow_does_not_end_the_whole(tmp_path: Path) -> None:
    (tmp_path / "countersign.toml").write_text('[flows.nested]\ngraph = "nested_flow:create_flow"\n')
    (tmp_path / "nested_flow.py").write_text(
        "from pocketflow import Flow, Node\n\n\n"
        "class Count(Node):\n    pass\n\n\n"
        "class Pay(Node):\n    pass\n\n\n"
        "def create_flow():\n"
        "    papers = Flow(start=Count())\n    papers.name = 'papers'\n"
        "    papers >> Pay()\n    return Flow(start=papers)\n"
    )
    printed = flow(tmp_path, "nested").stdout.splitlines()[1:]
    assert [re.split(r"  +", line.strip())[::2] for line in printed] == [
        ["papers", "-> Pay"],
        ["papers/Count", "leaves papers"],
        ["Pay", "ends the flow"],
    ]
