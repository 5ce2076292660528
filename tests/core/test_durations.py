"""How long, as people write it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.durations import UNITS, duration


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("60s", timedelta(minutes=1)),
        ("0.1m", timedelta(seconds=6)),
        ("1.5h", timedelta(minutes=90)),
        ("3d", timedelta(days=3)),
        ("0s", timedelta()),
        ("999999999999999999d", timedelta.max),
    ],
)
def test_a_number_and_its_unit(text: str, wait: timedelta) -> None:
    assert duration(text) == wait


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2 h", "-2h", "+2h", "2H", "2h3m", "2w", ".5h", "2.h", "٢h", "inf"]
)
def test_other_words_are_no_duration(text: str) -> None:
    assert duration(text) is None


def test_no_number_is_too_long_to_be_told_from_a_duration() -> None:
    assert duration("9" * 100_000 + "d") is None


def test_whoever_asks_says_which_units_there_are() -> None:
    assert duration("2weeks", {"weeks": timedelta(weeks=1)}) == timedelta(weeks=2)
    assert duration("2d", {"weeks": timedelta(weeks=1)}) is None


@given(st.text() | st.from_regex(r"\d+(\.\d+)?(ms|s|m|h|d)", fullmatch=True))
def test_whatever_is_written_is_a_duration_or_none(text: str) -> None:
    found = duration(text, UNITS)
    assert found is None or found >= timedelta()
