"""When what is to happen to a review that waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import Escalation, Policy, ReviewId, TimerKind, WorkingHours
from core.timetable import at_work, expiry, has_timers, next_morning, timetable
from tests.world import ANA, CY

HOUR = timedelta(hours=1)
MADRID = WorkingHours(cron="* 9-16 * * mon-fri", zone="Europe/Madrid")
NIGHT = WorkingHours(cron="* 22,23,0-5 * * *", zone="UTC")
ONE = Policy(name="one", reviewers=(ANA.id,))
FRIDAY = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)  # 16:30 in Madrid


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]  # as many as there are


def planned(policy: Policy, opened_at: datetime) -> list[tuple[TimerKind, int, datetime]]:
    return [(of.kind, of.number, of.due_at) for of in timetable(policy, ReviewId("r"), opened_at)]


@pytest.mark.parametrize(
    ("at", "then"),
    [
        (utc(2026, 11, 20, 15, 30), utc(2026, 11, 20, 15, 30)),  # Friday at work
        (utc(2026, 11, 20, 15, 59, 59), utc(2026, 11, 20, 15, 59, 59)),  # its last minute, and not the next
        (utc(2026, 11, 20, 16, 0), utc(2026, 11, 23, 8, 0)),  # Friday 17:00 is Monday 9:00
        (utc(2026, 11, 21, 11, 0), utc(2026, 11, 23, 8, 0)),  # over the weekend
        (utc(2026, 11, 23, 7, 59, 59), utc(2026, 11, 23, 8, 0)),
        (utc(2026, 11, 24, 2, 0), utc(2026, 11, 24, 8, 0)),  # at night
    ],
)
def test_what_falls_out_of_working_hours_waits_for_them(at: datetime, then: datetime) -> None:
    assert at_work([MADRID], at) == then


def test_nine_in_madrid_is_nine_in_madrid_in_summer_and_in_winter() -> None:
    assert at_work([MADRID], utc(2026, 7, 4, 12, 0)) == utc(2026, 7, 6, 7, 0)
    assert at_work([MADRID], utc(2026, 12, 5, 12, 0)) == utc(2026, 12, 7, 8, 0)
    # The clocks go forward on 29 March 2026 and back on 25 October 2026, on Sundays.
    assert at_work([MADRID], utc(2026, 3, 27, 20, 0)) == utc(2026, 3, 30, 7, 0)
    assert at_work([MADRID], utc(2026, 10, 23, 20, 0)) == utc(2026, 10, 26, 8, 0)


@pytest.mark.parametrize("minute", range(0, 180, 15))
@pytest.mark.parametrize("day", [utc(2026, 3, 29), utc(2026, 10, 25)])
def test_who_is_always_at_work_is_so_when_the_clocks_change(day: datetime, minute: int) -> None:
    always = WorkingHours(cron="* * * * *", zone="Europe/Madrid")
    at = day + timedelta(minutes=minute, seconds=30)
    assert at_work([always], at) == at


def test_an_hour_that_the_clocks_leave_out_is_not_waited_for_a_year() -> None:
    early = WorkingHours(cron="* 2 * * *", zone="Europe/Madrid")
    assert at_work([early], utc(2026, 3, 28, 12, 0)) <= utc(2026, 3, 30, 0, 0)


def test_holidays_are_days_where_the_group_is() -> None:
    eve = replace(MADRID, holidays=(date(2026, 12, 24), date(2026, 12, 25)))
    assert at_work([eve], utc(2026, 12, 23, 17, 0)) == utc(2026, 12, 28, 8, 0)
    # 23:30 UTC on the 23rd is the 24th in Madrid already.
    night = replace(NIGHT, zone="Europe/Madrid", holidays=(date(2026, 12, 24),))
    assert at_work([night], utc(2026, 12, 23, 23, 30)) == utc(2026, 12, 24, 23, 0)


def test_one_group_at_work_is_enough() -> None:
    assert at_work([MADRID, NIGHT], utc(2026, 11, 20, 20, 0)) == utc(2026, 11, 20, 22, 0)
    assert at_work([], FRIDAY) == FRIDAY


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - it wants them without a zone
def test_it_is_never_earlier_and_always_at_work(at: datetime) -> None:
    found = at_work([MADRID], at)
    assert found >= at
    there = found.astimezone(ZoneInfo("Europe/Madrid"))
    assert there.weekday() < 5
    assert 9 <= there.hour <= 16
    assert found - at < timedelta(days=3)


def test_everything_has_its_time() -> None:
    policy = replace(
        ONE,
        deadline=8 * HOUR,
        reminders=(HOUR, 2 * HOUR),
        escalation=Escalation(after=4 * HOUR, people=(CY.id,)),
    )
    assert planned(policy, FRIDAY) == [
        (TimerKind.REMINDER, 1, FRIDAY + HOUR),
        (TimerKind.REMINDER, 2, FRIDAY + 2 * HOUR),
        (TimerKind.ESCALATION, 1, FRIDAY + 4 * HOUR),
        (TimerKind.EXPIRY, 1, FRIDAY + 8 * HOUR),
    ]
    assert expiry(policy, FRIDAY) == FRIDAY + 8 * HOUR


def test_what_working_hours_move_behind_the_deadline_does_not_happen() -> None:
    policy = replace(ONE, deadline=8 * HOUR, reminders=(HOUR / 4, HOUR), hours=(MADRID,))
    assert planned(policy, FRIDAY) == [
        (TimerKind.REMINDER, 1, FRIDAY + HOUR / 4),
        (TimerKind.EXPIRY, 1, FRIDAY + 8 * HOUR),  # a deadline waits for nobody
    ]


def test_a_reminder_at_the_very_deadline_does_not_happen() -> None:
    policy = replace(ONE, deadline=HOUR, reminders=(HOUR,))
    assert [kind for kind, _, _ in planned(policy, FRIDAY)] == [TimerKind.EXPIRY]


def test_an_escalation_at_the_deadline_has_no_timer_of_its_own() -> None:
    policy = replace(ONE, deadline=HOUR, escalation=Escalation(after=None, people=(CY.id,)))
    assert [kind for kind, _, _ in planned(policy, FRIDAY)] == [TimerKind.EXPIRY]


def test_a_policy_without_times_has_no_timers() -> None:
    assert planned(ONE, FRIDAY) == []
    assert (has_timers(ONE), expiry(ONE, FRIDAY)) == (False, None)
    assert has_timers(replace(ONE, reminders=(HOUR,)))


@pytest.mark.parametrize(
    ("now", "morning"),
    [
        (utc(2026, 11, 21, 8), utc(2026, 11, 22, 9)),
        (utc(2026, 12, 31, 23, 59), utc(2027, 1, 1, 9)),
        (utc(2026, 11, 21, 23, 30).astimezone(ZoneInfo("Europe/Madrid")), utc(2026, 11, 22, 9)),
    ],
)
def test_tomorrow_is_the_next_day_at_nine_in_utc(now: datetime, morning: datetime) -> None:
    assert next_morning(now, ANA) == morning


def test_tomorrow_is_where_somebody_is() -> None:
    now = utc(2026, 11, 21, 23, 30)
    assert next_morning(now, replace(ANA, zone="Europe/Madrid")) == utc(2026, 11, 23, 8)
