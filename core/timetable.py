"""When what is to happen to a review that waits: pure arithmetic over a policy."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from core.model import Timer, TimerKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from core.model import Person, Policy, ReviewId, WorkingHours

FAR = 366 * 24 * 60
"""Minutes at work that are looked through for one that is no holiday; about a year of them."""
MORNING = time(9)


def timetable(policy: Policy, review: ReviewId, opened_at: datetime) -> list[Timer]:
    """Everything that is to happen to a review under `policy` if nobody decides.

    Reminders and escalations wait for somebody's working hours; a deadline waits for nobody.
    """
    end = expiry(policy, opened_at)
    due = [(TimerKind.REMINDER, n, opened_at + wait) for n, wait in enumerate(policy.reminders, 1)]
    if policy.escalation is not None and policy.escalation.after is not None:
        due.append((TimerKind.ESCALATION, 1, opened_at + policy.escalation.after))
    timers = [(kind, number, at_work(policy.hours, at)) for kind, number, at in due]
    if end is not None:
        # A reminder of what has expired would be a lie.
        timers = [(kind, number, at) for kind, number, at in timers if at < end]
        timers.append((TimerKind.EXPIRY, 1, end))
    return [Timer(review=review, kind=kind, number=number, due_at=at) for kind, number, at in timers]


def expiry(policy: Policy, opened_at: datetime) -> datetime | None:
    """By when a review that opened then has to be decided; None is never."""
    return None if policy.deadline is None else opened_at + policy.deadline


def next_day(now: datetime, person: Person) -> date:
    """Tomorrow, where this person is."""
    return person.local(now).date() + timedelta(days=1)


def next_morning(now: datetime, person: Person) -> datetime:
    """Nine o'clock of the next day where this person is, in UTC."""
    return person.utc(datetime.combine(next_day(now, person), MORNING))


def has_timers(policy: Policy) -> bool:
    return policy.deadline is not None or bool(policy.reminders) or policy.escalation is not None


def at_work(hours: Sequence[WorkingHours], at: datetime) -> datetime:
    """The first moment, from `at` on, when somebody of these is at work; `at` where there are none."""
    return min((_at_work(of, at) for of in hours), default=at)


@lru_cache(1024)
def _at_work(hours: WorkingHours, at: datetime) -> datetime:
    """cronsim gives the minutes after a time; the minute that `at` is in counts as well."""
    from cronsim import CronSim  # noqa: PLC0415  # only policies with working hours need it

    zone = ZoneInfo(hours.zone)
    # Counted in UTC: where clocks go forward, there is no local minute before.
    before = at.replace(second=0, microsecond=0) - timedelta(minutes=1)
    times = CronSim(hours.cron, before.astimezone(zone))
    for _ in range(FAR):
        found = next(times, None)
        if found is None:
            return at
        if found.date() not in hours.holidays:
            return max(at, found.astimezone(UTC))
        # Nothing of a holiday is of use: go on after it.
        times = CronSim(hours.cron, found.replace(hour=23, minute=59))
    return at
