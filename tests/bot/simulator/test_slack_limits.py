"""What the simulated Slack refuses in blocks and views, and that no junk breaks it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.simulator.slack.api import METHODS
from bot.simulator.slack.limits import message_problems, view_problems
from bot.simulator.slack.live import snapshot
from bot.simulator.slack.method import Args
from bot.simulator.slack.model import Channel, User
from bot.simulator.slack.workspace import SlackError, Workspace


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(label: str = "Approve", **others: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain(label), "action_id": "approve", **others}


def actions(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(buttons)}


def option(text: str, value: str = "v") -> dict[str, Any]:
    return {"text": plain(text), "value": value}


def overflow(*options: dict[str, Any]) -> dict[str, Any]:
    return {"type": "overflow", "options": list(options)}


def question(**element: Any) -> dict[str, Any]:
    return {"type": "input", "label": plain("Why?"), "element": {"type": "plain_text_input", **element}}


def modal(**others: Any) -> dict[str, Any]:
    return {
        "type": "modal",
        "title": plain("Reject"),
        "submit": plain("Send"),
        "blocks": [question()],
        **others,
    }


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        ([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        ([section("x")] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
        (
            [actions(button("x" * 76))],
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
        ),
        (
            [actions(button(value="x" * 2001))],
            "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
        ),
        (
            [actions(button() | {"action_id": "x" * 256})],
            "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]",
        ),
        (
            [actions(*(button() | {"action_id": str(n)} for n in range(26)))],
            "no more than 25 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (
            [actions(button(), button())],
            "`action_id` already exists in this block: approve [json-pointer:/blocks/0/elements/1/action_id]",
        ),
        (
            [section("a") | {"block_id": "b"}, section("a") | {"block_id": "b"}],
            "`block_id` already exists: b [json-pointer:/blocks/1/block_id]",
        ),
        ([{"type": "surprise"}], "unsupported type: surprise [json-pointer:/blocks/0/type]"),
        (
            [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
            "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]",
        ),
        (
            [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}],
            "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (
            [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}],
            "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
        ),
        (
            [actions(button(confirm={"title": {"type": "plain_text", "text": "x" * 101}, "text": {}}))],
            "must be less than 101 characters [json-pointer:/blocks/0/elements/0/confirm/title/text]",
        ),
        (["no block"], "must be a valid object [json-pointer:/blocks/0]"),
        (
            [question(placeholder=plain("x" * 151))],
            "must be less than 151 characters [json-pointer:/blocks/0/element/placeholder/text]",
        ),
        (
            [question(max_length=3001)],
            "must be between 0 and 3000 [json-pointer:/blocks/0/element/max_length]",
        ),
        (
            [section("x") | {"accessory": overflow(*[option("x")] * 6)}],
            "no more than 5 items allowed [json-pointer:/blocks/0/accessory/options]",
        ),
        (
            [actions(overflow())],
            "no fewer than 1 items allowed [json-pointer:/blocks/0/elements/0/options]",
        ),
        (
            [actions(overflow({"text": plain("x")}))],
            "must be a string [json-pointer:/blocks/0/elements/0/options/0/value]",
        ),
        (
            [actions(overflow({"text": {"type": "mrkdwn", "text": "x"}, "value": "v"}))],
            "unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/options/0/text/type]",
        ),
        (
            [
                section("x")
                | {
                    "accessory": {
                        "type": "static_select",
                        "options": [{"text": plain("x"), "value": "v" * 151}],
                    }
                }
            ],
            "must be less than 151 characters [json-pointer:/blocks/0/accessory/options/0/value]",
        ),
        (
            [{"type": "markdown", "text": "x" * 12_001}],
            "must be less than 12001 characters [json-pointer:/blocks/0/text]",
        ),
        (
            [{"type": "image", "image_url": "https://example.org/x.png", "alt_text": ""}],
            "must be more than 0 characters [json-pointer:/blocks/0/alt_text]",
        ),
        ([{"type": "header"}], "must be a valid object [json-pointer:/blocks/0/text]"),
        ([actions()], "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
        ([actions({"type": "lever"})], "unsupported type: lever [json-pointer:/blocks/0/elements/0/type]"),
        ("no blocks", "must provide an array [json-pointer:/blocks]"),
        (
            [actions(button(style="green"))],
            "unsupported style: green [json-pointer:/blocks/0/elements/0/style]",
        ),
    ],
)
def test_a_limit_in_blocks_is_named_with_its_place(blocks: Any, problem: str) -> None:
    assert problem in message_problems(blocks)


def test_slack_sdk_s_own_checks_count_too() -> None:
    [problem] = message_problems([{"type": "table", "rows": []}])
    assert "json-pointer:/blocks/0" in problem


def test_blocks_at_every_limit_are_taken() -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "h" * 150}},
        section("x" * 3000),
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 10, "block_id": "b" * 255},
        actions(
            button("l" * 75, value="v" * 2000, style="danger") | {"action_id": "a" * 255},
            overflow(*[option("o" * 75, "v" * 150)] * 5),
        ),
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 10},
        {"type": "divider"},
        *([section("x")] * 44),
    ]
    assert len(blocks) == 50
    assert message_problems(blocks) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"title": plain("x" * 25)}, "must be less than 25 characters [json-pointer:/view/title/text]"),
        ({"close": plain("x" * 25)}, "must be less than 25 characters [json-pointer:/view/close/text]"),
        (
            {"private_metadata": "x" * 3001},
            "must be less than 3001 characters [json-pointer:/view/private_metadata]",
        ),
        ({"callback_id": "x" * 256}, "must be less than 256 characters [json-pointer:/view/callback_id]"),
        ({"blocks": [section("x")] * 101}, "no more than 100 items allowed [json-pointer:/view/blocks]"),
        (
            {"blocks": [section("x" * 3001)]},
            "must be less than 3001 characters [json-pointer:/view/blocks/0/text/text]",
        ),
        ({"submit": None}, "must be a valid object [json-pointer:/view/submit]"),
        ({"type": "window"}, "unsupported type: window [json-pointer:/view/type]"),
    ],
)
def test_a_limit_in_a_view_is_named_with_its_place(change: dict[str, Any], problem: str) -> None:
    assert problem in view_problems(modal() | change)


def test_a_view_at_every_limit_is_taken() -> None:
    full = modal(title=plain("t" * 24), private_metadata="p" * 3000, callback_id="c" * 255)
    assert view_problems(full | {"blocks": [question() for _ in range(100)]}) == []


KEYS = st.sampled_from(
    ["type", "text", "blocks", "elements", "element", "accessory", "fields", "options", "title", "confirm"]
)
KINDS = st.sampled_from(["section", "actions", "header", "input", "button", "plain_text", "modal"])
ARGUMENTS = st.sampled_from(
    ["channel", "text", "blocks", "ts", "thread_ts", "user", "users", "view", "metadata", "cursor", "limit"]
)
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | KINDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(JUNK)
def test_junk_for_blocks_is_a_problem_and_not_a_crash(junk: Any) -> None:
    message_problems(junk)
    if isinstance(junk, dict):
        view_problems(junk)


@given(
    name=st.sampled_from(sorted(METHODS)),
    values=st.dictionaries(ARGUMENTS, st.sampled_from(["C1", "U1"]) | JUNK),
)
def test_junk_for_arguments_is_refused_and_the_picture_stays_json(name: str, values: dict[str, Any]) -> None:
    workspace = Workspace(team_id="T1", now=lambda: 1_700_000_000.0)
    workspace.users["U1"] = User(id="U1", name="Ana", team="T1")
    workspace.channels["C1"] = Channel(id="C1", name="general", members={"U1", workspace.bot.id})
    with contextlib.suppress(SlackError):
        METHODS[name].call(workspace, Args(values))
    json.dumps(snapshot(workspace))
