"""Moments in lines of ours, and what somebody typed in Slack as they saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.blocks import blocks
from bot.slack.wording import as_typed
from bot.zones import FORMAT, WITH_SECONDS, has_moment, in_zone

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.cards import Card


def test_a_moment_is_a_date_whose_fallback_says_the_same() -> None:
    assert in_zone("until 2026-11-21 18:20 UTC, then rejected") == [
        {"type": "text", "text": "until "},
        {
            "type": "date",
            "timestamp": 1795285200,
            "format": FORMAT,
            "fallback": "2026-11-21 18:20 UTC",
        },
        {"type": "text", "text": ", then rejected"},
    ]


def test_who_was_first_is_told_to_the_second() -> None:
    (date,) = in_zone("2026-11-21 18:20:07 UTC")
    assert date == {
        "type": "date",
        "timestamp": 1795285207,
        "format": WITH_SECONDS,
        "fallback": "2026-11-21 18:20:07 UTC",
    }


@given(st.text(max_size=60))
@example("2026-11-21 18:20:61 UTC")
@example("2026-02-30 18:20 UTC")
@example("2026-11-21 18:20 UTC2026-11-21 18:21 UTC")
@example("0000-00-00 00:00 UTC")
def test_nothing_is_lost_and_nothing_is_empty(text: str) -> None:
    drawn = in_zone(text)
    assert "".join(one.get("text") or one["fallback"] for one in drawn) == text
    assert all(one.get("text") or one["type"] == "date" for one in drawn)
    assert has_moment(text) or len(drawn) <= 1


def test_markup_is_what_people_saw() -> None:
    typed = (
        "<@U1|ana> <@U2> <#C1|ops> <!here> <!date^1^{date}|soon> <https://a.example|label> &lt;b&gt; &amp;lt;"
    )
    assert as_typed(typed) == "@ana @U2 #ops @here soon https://a.example <b> &lt;"


@given(st.text())
@example("<" * 3000 + ">" * 3000)
def test_any_text_is_read(text: str) -> None:
    assert len(as_typed(text)) <= len(text)


def test_a_title_that_looks_like_a_moment_stays_text(a_card: Callable[..., Card]) -> None:
    drawn = blocks(a_card(task={"title": "2026-11-21 18:20 UTC", "submitter_name": "2026-11-21 18:20 UTC"}))
    assert "date" not in {one["type"] for block in drawn for one in block.get("elements", ())}


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("<http://a.example|a.example>", "a.example"),
        ("<https://a.example/|https://a.example>", "https://a.example"),
        ("<mailto:ana@a.example|ana@a.example>", "ana@a.example"),
        ("<tel:+4930123|+4930123>", "+4930123"),
        ("<https://evil.example|a.example>", "https://evil.example"),
        ("<https://a.example?a=1&amp;b=2|a.example?a=1&amp;b=2>", "a.example?a=1&b=2"),
        ("<https://a.example>", "https://a.example"),
    ],
)
def test_an_address_is_what_was_typed_and_never_what_hides_another(sent: str, typed: str) -> None:
    assert as_typed(f"write to {sent}.") == f"write to {typed}."
