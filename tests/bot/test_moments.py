"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.moments import later
from core.model import Person, PersonId

ANA = Person(id=PersonId("ana"), name="Ana Ruiz")
MADRID = Person(id=PersonId("ana"), name="Ana Ruiz", zone="Europe/Madrid")
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
    assert later(words, NOW, ANA) == NOW + wait


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("tomorrow", datetime(2026, 11, 29, 9, tzinfo=UTC)),
        ("2026-11-30", datetime(2026, 11, 30, 9, tzinfo=UTC)),
        ("until 2026-11-30", datetime(2026, 11, 30, 9, tzinfo=UTC)),
        ("tomorrow 15:00", datetime(2026, 11, 29, 15, tzinfo=UTC)),
        ("tomorrow 9:05", datetime(2026, 11, 29, 9, 5, tzinfo=UTC)),
        ("tomorrow at 9:05z", datetime(2026, 11, 29, 9, 5, tzinfo=UTC)),
        ("today 18:00", datetime(2026, 11, 28, 18, tzinfo=UTC)),
        ("  on 2026-11-30   09:30 ", datetime(2026, 11, 30, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_day_without_a_time_begins_at_nine(words: str, at: datetime) -> None:
    assert later(words, NOW, ANA) == at


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("tomorrow", datetime(2026, 11, 29, 8, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 7, 1, 7, tzinfo=UTC)),
        ("tomorrow 15:00", datetime(2026, 11, 29, 14, tzinfo=UTC)),
        ("tomorrow 15:00Z", datetime(2026, 11, 29, 15, tzinfo=UTC)),
        ("30m", NOW + timedelta(minutes=30)),
    ],
)
def test_days_and_times_are_those_where_the_person_is(words: str, at: datetime) -> None:
    assert later(words, NOW, MADRID) == at


def test_today_and_tomorrow_begin_where_the_person_is() -> None:
    late = datetime(2026, 11, 28, 23, 30, tzinfo=UTC)
    assert later("tomorrow", late, MADRID) == datetime(2026, 11, 30, 8, tzinfo=UTC)
    assert later("today 12:00", late, MADRID) == datetime(2026, 11, 29, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    "words", ["", "soon", "2", "h", "-2h", "2h 3m", "yesterday", "2026-02-30", "tomorrow noon", "999999w"]
)
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        later(words, NOW, ANA)


@given(st.text())
def test_whatever_is_typed_gives_a_moment_in_utc_or_is_refused(words: str) -> None:
    try:
        at = later(words, NOW, ANA)
    except (ValueError, OverflowError):
        return
    assert at.utcoffset() == timedelta(0)
