"""What may be submitted, whatever door it came through."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.jsontext import from_json, to_ascii_json, to_json
from core.model import Submission
from core.submissions import MAX_COMMENT, MAX_DEPTH, check, check_text, is_id, title_of
from tests.core.json_values import JSON
from tests.world import SAM

if TYPE_CHECKING:
    from core.model import Json

GOOD = Submission(input="hello", submitter=SAM.id)


def nested(levels: int) -> Json:
    value: Json = "deep"
    for number in range(levels):
        value = [value] if number % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " \n\t\u2003",
        " \u200b\u2060\n",
        "nul \x00",
        {"nul\x00": 1},
        ["half \ud83d"],
        {"half\udc00": 1},
        float("nan"),
        [float("inf")],
        {"a": -float("inf")},
        nested(MAX_DEPTH + 1),
        nested(5_000),
        10**1_300,
        [-(10**5_000)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_kept_is_refused_with_a_sentence(value: Json) -> None:
    with pytest.raises(Invalid) as refusal:
        check(replace(GOOD, input=value))
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    "changed",
    [
        {"title": "x" * 201},
        {"title": "\x00"},
        {"on_behalf_of": "x" * 201},
        {"on_behalf_of": "\ud800"},
        {"idempotency_key": "x" * 201},
        {"idempotency_key": "a\x00"},
        {"callback_url": "http://" + "x" * 2_000},
        {"metadata": {str(n): n for n in range(51)}},
        {"metadata": {"k\x00": 1}},
    ],
)
def test_a_field_that_is_too_long_or_no_text_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        check(replace(GOOD, **changed))


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "x" * 1_000_000,
        0,
        False,
        [],
        {},
        nested(MAX_DEPTH),
        2**64,
        1e308,
        "\x01\x1f\u202e\U0010ffff",
        ["", None],
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_else_json_holds_is_accepted(value: Json) -> None:
    check(replace(GOOD, input=value))


@given(JSON)
def test_what_is_accepted_can_be_stored(value: Any) -> None:
    try:
        check(replace(GOOD, input=value))
    except Invalid:
        return
    text = to_json(value)
    assert from_json(text) == value
    assert "\x00" not in text
    text.encode()


@given(st.text())
def test_a_title_is_one_short_line(text: str) -> None:
    title = title_of(replace(GOOD, input=text))
    assert len(title) <= 80
    assert "\n" not in title
    assert title == " ".join(title.split())


def test_a_title_that_was_given_is_kept() -> None:
    assert title_of(replace(GOOD, title=" the  plan ")) == "the plan"
    assert title_of(replace(GOOD, title="  ")) == "hello"
    assert title_of(replace(GOOD, input="word " * 100)).endswith("…")
    assert title_of(replace(GOOD, input="\n" * 2_000 + "the plan")) == "the plan"
    assert title_of(replace(GOOD, input={"a": 1})) == '{ "a": 1 }'


def test_a_comment_may_be_long_but_not_endless() -> None:
    check_text("x" * MAX_COMMENT, "comment", MAX_COMMENT)
    with pytest.raises(Invalid, match="10001"):
        check_text("x" * (MAX_COMMENT + 1), "comment", MAX_COMMENT)


NO_IDS = ["A" * 32, "a" * 31, "a" * 33, "a" * 32 + "\n", "", "\x00" * 32, "\u0663" * 32]


@pytest.mark.parametrize("text", NO_IDS)
def test_what_has_another_shape_is_no_id(text: str) -> None:
    assert not is_id(text)
    assert is_id("0123456789abcdef" * 2)


@pytest.mark.parametrize(
    "value", [None, True, -1.5, [], {}, 'ü\u2028\n"\\\U0001f600', {"a": [1, {"ü": None}], "b": ["x", {}]}]
)
def test_what_is_sent_is_what_the_standard_library_makes(value: Json) -> None:
    assert to_ascii_json(value) == json.dumps(value)
