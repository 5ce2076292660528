"""Somebody's own clock: where their days end, and what it is called."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from core.model import Person, PersonId, clock_name


def living_in(zone: str) -> Person:
    return Person(id=PersonId("ana"), name="Ana", zone=zone)


@pytest.mark.parametrize(
    ("zone", "day", "end"),
    [
        ("UTC", date(2026, 11, 30), datetime(2026, 12, 1, tzinfo=UTC)),
        ("Europe/Madrid", date(2026, 11, 30), datetime(2026, 11, 30, 23, tzinfo=UTC)),
        ("Europe/Madrid", date(2026, 7, 31), datetime(2026, 7, 31, 22, tzinfo=UTC)),
        # The day on which clocks go back has 25 hours, and ends by the new time.
        ("Europe/Madrid", date(2026, 10, 25), datetime(2026, 10, 25, 23, tzinfo=UTC)),
        ("Pacific/Kiritimati", date(2026, 12, 31), datetime(2026, 12, 31, 10, tzinfo=UTC)),
        ("America/Los_Angeles", date(2026, 11, 30), datetime(2026, 12, 1, 8, tzinfo=UTC)),
        # At midnight clocks go forward to one o'clock: there is no 00:00.
        ("Asia/Beirut", date(2026, 3, 28), datetime(2026, 3, 28, 22, tzinfo=UTC)),
        # At one o'clock clocks go back to midnight: there are two, and the day ends at the first.
        ("America/Havana", date(2026, 10, 31), datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_day_ends_where_the_person_is(zone: str, day: date, end: datetime) -> None:
    found = living_in(zone).end_of(day)
    assert (found, found.tzinfo) == (end, UTC)


def test_a_time_is_read_on_the_persons_clock_unless_it_names_another() -> None:
    ana = living_in("Europe/Madrid")
    half_past = datetime(2026, 11, 30, 18, 30)  # noqa: DTZ001 - that is the point
    assert ana.utc(half_past) == datetime(2026, 11, 30, 17, 30, tzinfo=UTC)
    elsewhere = half_past.replace(tzinfo=timezone(timedelta(hours=-5)))
    assert ana.utc(elsewhere) == datetime(2026, 11, 30, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("UTC", "UTC"),
        ("Europe/Madrid", "CET"),
        ("Asia/Kathmandu", "UTC+05:45"),
        ("America/Sao_Paulo", "UTC-03:00"),
    ],
)
def test_a_clock_has_a_name(zone: str, name: str) -> None:
    assert clock_name(living_in(zone).local(datetime(2026, 11, 30, tzinfo=UTC))) == name


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid", "America/Los_Angeles"])
def test_the_last_day_of_all_has_no_end(zone: str) -> None:
    with pytest.raises(OverflowError):
        living_in(zone).end_of(date.max)
