"""How a request of Slack's is read: a press takes a short cut, which finds what the long way finds."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.payloads import _payload, read

FORM = "application/x-www-form-urlencoded"
PARTS = ("%", "=", "+", " ", "4", "f", "G", "_", "%41", "%C3", "%c3%a4", "\n", "\r", "&", "ä", "\t")
PRESS = {"type": "block_actions", "user": {"id": "U01ANA"}}


def by_the_long_way(form: str) -> str:
    return dict(parse_qsl(form, keep_blank_values=True))["payload"]


@given(st.text())
def test_what_slack_writes_is_read_as_it_was_meant(text: str) -> None:
    wellformed = text.encode(errors="replace").decode()
    assert _payload(urlencode({"payload": wellformed})) == wellformed


@given(st.lists(st.sampled_from(PARTS)))
def test_whatever_a_form_holds_the_short_cut_finds_what_the_long_way_finds(parts: list[str]) -> None:
    form = "payload=" + "".join(parts)
    found = _payload(form)
    assert found is None or found == by_the_long_way(form)


@given(st.binary())
def test_bytes_that_are_no_text_are_read_alike(raw: bytes) -> None:
    form = f"payload={quote_plus(raw)}"
    assert _payload(form) == by_the_long_way(form)


@pytest.mark.parametrize(
    "form",
    ["", "payload", "other=1", "payloads=1", "payload=1&payload=2", "payload=a=b", "payload=%4", "payload=ä"],
)
def test_what_is_not_as_slack_writes_it_takes_the_long_way(form: str) -> None:
    assert _payload(form) is None


def test_of_several_payloads_the_last_counts_as_for_bolt() -> None:
    said = json.dumps(PRESS)
    form = f"payload=%7B%7D&{urlencode({'payload': said})}".encode()
    assert read(form, FORM) == PRESS
    assert read(urlencode({"payload": said}).encode(), FORM) == PRESS
