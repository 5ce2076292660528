"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.moments import later

NOW = datetime(2026, 11, 28, 14, 2, 33, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "wait"),
    [
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("1.5 hours", timedelta(minutes=90)),
        ("in 45 minutes", timedelta(minutes=45)),
        ("3D", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_so_long_from_now(words: str, wait: timedelta) -> None:
    assert later(words, NOW) == NOW + wait


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("tomorrow", datetime(2026, 11, 29, 9, tzinfo=UTC)),
        ("2026-11-30", datetime(2026, 11, 30, 9, tzinfo=UTC)),
        ("until 2026-11-30", datetime(2026, 11, 30, 9, tzinfo=UTC)),
        ("tomorrow 15:00", datetime(2026, 11, 29, 15, tzinfo=UTC)),
        ("  on 2026-11-30   09:30 ", datetime(2026, 11, 30, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_day_without_a_time_begins_at_nine(words: str, at: datetime) -> None:
    assert later(words, NOW) == at


@pytest.mark.parametrize(
    "words", ["", "soon", "2", "h", "-2h", "2h 3m", "yesterday", "2026-02-30", "tomorrow noon", "999999w"]
)
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        later(words, NOW)


@given(st.text())
def test_whatever_is_typed_gives_a_moment_in_utc_or_is_refused(words: str) -> None:
    try:
        at = later(words, NOW)
    except (ValueError, OverflowError):
        return
    assert at.utcoffset() == timedelta(0)
