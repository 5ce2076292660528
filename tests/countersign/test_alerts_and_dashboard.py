"""Alerts, dashboard and the page on metrics name what `/metrics` gives; the page names all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from countersign.metrics import Exposition
from tests.world import ANA, DESK, PaperChannel, draft_flows, eventually, whole_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Database
    from tests.world import StoppedClock, World

DOCS = Path(__file__).parents[2] / "docs"
RULES = yaml.safe_load((DOCS / "deploy" / "alerts.yaml").read_text())
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DOCS / "deploy" / "grafana-dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

OF_PROMETHEUS = {"and", "count", "histogram_quantile", "increase", "max", "rate", "sum"}
OF_SCRAPES = {"up"}
ADDED = {"instance", "job"}
"""Labels that Prometheus adds."""
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ASKED = re.compile(r"(\w+)\{([^}]*)\}")
_GROUPED = re.compile(r"by \(([^)]*)\)")


def names_in(query: str) -> set[str]:
    """Of metrics, in PromQL: what is left without texts, labels, durations and the language's own."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", " ", bare)
    return {name for name in _NAME.findall(bare) if name not in OF_PROMETHEUS}


def labels_in(query: str) -> set[str]:
    asked = {word for _, inside in _ASKED.findall(query) for word in re.findall(r"(\w+)\s*=~?", inside)}
    grouped = {word.strip() for inside in _GROUPED.findall(query) for word in inside.split(",")}
    return asked | grouped


def queries() -> Iterator[tuple[str, str]]:
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.fixture
async def given(sqlite_database: Database, clock: StoppedClock) -> dict[str, set[str]]:
    """Names of all samples, and the labels of each, after something of everything has happened."""
    paper = PaperChannel()
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        task = await world.submit("hello")
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        await eventually(lambda: _is_shown(world, task.id))
        world.measures.decisions["approve", "api"] += 1
        world.measures.refusals["SelfReview", "api"] += 1
        world.outbox.measures[paper.name].failures["Unreachable"] += 1
        shown = Exposition(store=world.store, engine=world.engine, measures=world.measures, clock=clock)
        shown.show(world.outbox)
        body, _ = await shown.text("text/plain", readers=1, refused={(503, "overloaded"): 1})
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    assert ANA.id not in body.decode()
    return found


async def _is_shown(world: World, task: str) -> bool:
    return all(one.message for one in await world.store.deliveries(task))


async def test_every_query_names_what_there_is(given: dict[str, set[str]]) -> None:
    asked = list(queries())
    assert len(asked) > 30
    for title, query in asked:
        names = names_in(query)
        assert names, title
        assert names <= given.keys() | OF_SCRAPES, title
        known = ADDED.union(*(given.get(name, set()) for name in names))
        assert labels_in(query) <= known, title


async def test_every_metric_stands_on_the_page_and_nothing_else(given: dict[str, set[str]]) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]*) \| ([^|]*)\|", (DOCS / "metrics.md").read_text(), flags=re.MULTILINE
    )
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    mine = {
        re.sub(r"_(bucket|sum|count)$", "", name): labels - {"le"}
        for name, labels in given.items()
        if name.startswith("countersign_")
    }
    assert documented == mine


async def test_what_every_process_tells_stands_on_the_page(given: dict[str, set[str]]) -> None:
    others = {name for name in given if not name.startswith("countersign_")}
    text = (DOCS / "metrics.md").read_text()
    assert set(re.findall(r"`((?:process|python)_\w+)`", text)) == others


async def test_every_metric_is_on_the_dashboard(given: dict[str, set[str]]) -> None:
    drawn = set().union(*(names_in(target["expr"]) for panel in PANELS for target in panel["targets"]))
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in drawn}
    mine = {re.sub(r"_(bucket|sum|count)$", "", name) for name in given if name.startswith("countersign_")}
    assert mine <= plain


def test_the_rule_file_is_one() -> None:
    assert set(RULES) == {"groups"}
    for group in RULES["groups"]:
        assert set(group) <= {"name", "interval", "rules"}
    assert 5 <= len(ALERTS) <= 8
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert {"alert", "expr", "labels", "annotations"} <= set(alert) <= {
            "alert", "annotations", "expr", "for", "labels"
        }  # fmt: skip
        assert re.fullmatch(r"[a-zA-Z_]\w*", alert["alert"])
        assert re.fullmatch(r"\d+[smhd]", alert.get("for", "1m"))
        assert alert["labels"] == {"severity": "page"}
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}
        assert alert["expr"].count("(") == alert["expr"].count(")")


def test_what_is_over_wakes_nobody() -> None:
    """A rate is above its bound for as long as a burst is within its window: less than it has to last."""
    rates = [
        (alert, window) for alert in ALERTS for window in re.findall(r"rate\(.*?\[(\d+)m\]", alert["expr"])
    ]
    assert len(rates) >= 2
    for alert, window in rates:
        assert int(window) < int(alert["for"].removesuffix("m")), alert["alert"]


def test_every_alert_has_its_place_in_the_handbook() -> None:
    text = (DOCS / "operations.md").read_text()
    chapter = text.partition("## Alerts worth waking for")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", chapter, flags=re.MULTILINE) == [alert["alert"] for alert in ALERTS]
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_the_dashboard_can_be_imported_anywhere() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert "id" not in DASHBOARD
    assert DASHBOARD["uid"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
