"""core/reminding.py: who is called by an open review, and who wanted to be left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.model import LOCAL, Delegation, Outcome, PersonId, ReviewId, Snooze, Timer, TimerKind
from core.reminding import is_called, next_call, next_reminder, reminded
from tests.core.judging import ONE, by, review
from tests.world import ANA, BEN, CY, EVE, START

HOUR = timedelta(hours=1)
BOTH = replace(ONE, reviewers=(ANA.id, BEN.id), approvals=2)


def snoozed(**hours: int) -> tuple[Snooze, ...]:
    return tuple(Snooze(person=PersonId(who), until=START + number * HOUR) for who, number in hours.items())


def away(person: PersonId, delegate: PersonId | None, *, hours: int = 9) -> Delegation:
    return Delegation(
        id="d",
        person=person,
        delegate=delegate,
        until=START + hours * HOUR,
        made_by=person,
        made_at=START,
    )


def test_whoever_wanted_to_be_by_then_and_nobody_else() -> None:
    asked = replace(review(BOTH), snoozes=snoozed(ana=1, ben=2))
    assert reminded(asked, START + HOUR, (), everybody=False) == [ANA.id]
    assert reminded(asked, START + 2 * HOUR, (), everybody=False) == [ANA.id, BEN.id]


def test_when_all_are_called_who_wants_to_be_later_is_not() -> None:
    asked = replace(review(BOTH), snoozes=snoozed(ana=2))
    assert reminded(asked, START + HOUR, (), everybody=True) == [BEN.id]
    assert reminded(asked, START + 2 * HOUR, (), everybody=True) == [ANA.id, BEN.id]


def test_one_persons_time_calls_no_delegate_of_another_whose_time_is_later() -> None:
    asked = replace(review(BOTH), snoozes=snoozed(ana=1, ben=2))
    theirs = away(BEN.id, CY.id)
    assert reminded(asked, START + HOUR, [theirs], everybody=False) == [ANA.id]
    assert reminded(asked, START + 2 * HOUR, [theirs], everybody=False) == [ANA.id, CY.id]


def test_a_delegate_is_called_while_they_are_one_and_only_then() -> None:
    asked = replace(review(BOTH), snoozes=snoozed(ana=1))
    assert reminded(asked, START + HOUR, [away(ANA.id, CY.id)], everybody=False) == [CY.id]
    assert reminded(asked, START + HOUR, [away(ANA.id, CY.id, hours=1)], everybody=False) == [ANA.id]
    assert reminded(asked, START + HOUR, [away(ANA.id, None)], everybody=False) == []


def test_a_delegate_who_wants_to_be_later_is_left_alone_too() -> None:
    asked = replace(review(BOTH), snoozes=snoozed(ana=1, cy=2, eve=1))
    theirs = [away(ANA.id, CY.id), away(BEN.id, EVE.id)]
    assert reminded(asked, START + HOUR, theirs, everybody=True) == [EVE.id]


def test_nobody_is_called_for_somebody_in_whose_place_they_cannot_answer() -> None:
    """Who is a reviewer answers in their own place, and Ben has."""
    asked = review(BOTH, by(BEN.id))
    assert reminded(asked, START + HOUR, (), everybody=True) == [ANA.id]
    assert reminded(asked, START + HOUR, [away(ANA.id, BEN.id)], everybody=True) == []


def due(kind: TimerKind, hours: int) -> Timer:
    return Timer(review=ReviewId("r"), kind=kind, number=1, due_at=START + hours * HOUR)


def test_nobody_is_called_from_the_deadline_on() -> None:
    asked = replace(review(BOTH), expires_at=START + 2 * HOUR)
    for kind in (TimerKind.REMINDER, TimerKind.ESCALATION):
        assert next_call(asked, [due(kind, 1)], ()) == due(kind, 1)
        assert next_call(asked, [due(kind, 2)], ()) is None
        assert next_call(asked, [due(kind, 3)], ()) is None


def test_whose_time_went_by_unheard_is_not_called_at_anothers() -> None:
    """Ana's passes while she is away; at Ben's, who is away himself, nobody is left to be called."""
    asked = replace(review(BOTH), snoozes=snoozed(ana=1, ben=3))
    absent = [away(ANA.id, None, hours=2), away(BEN.id, None)]
    assert next_call(asked, (), absent) is None
    assert next_call(asked, (), absent[:1]) == due(TimerKind.SNOOZE, 3)
    assert next_call(asked, (), absent[1:]) == due(TimerKind.SNOOZE, 1)


def test_whether_anybody_may_be_called_the_review_tells() -> None:
    reminding = replace(BOTH, reminders=(HOUR,))
    assert not is_called(review(BOTH))
    assert is_called(review(reminding))
    assert is_called(replace(review(BOTH), snoozes=snoozed(ana=1)))
    assert not is_called(review(reminding, closed=Outcome.APPROVED))


def test_in_open_mode_whoever_sits_at_the_machine_is_called_though_no_policy_names_them() -> None:
    asked = replace(review(), snoozes=(Snooze(person=LOCAL, until=START + HOUR),))
    assert reminded(asked, START + HOUR, (), everybody=False) == [LOCAL]
    assert next_call(asked, (), ()) == due(TimerKind.SNOOZE, 1)


REMINDED = replace(BOTH, reminders=(HOUR, 3 * HOUR))


def test_ones_next_reminder_is_the_first_to_come_that_is_for_oneself() -> None:
    asked = review(REMINDED)
    assert next_reminder(asked, ANA.id, START, ()) == START + HOUR
    assert next_reminder(asked, ANA.id, START + HOUR, ()) == START + 3 * HOUR
    assert next_reminder(asked, ANA.id, START + 3 * HOUR, ()) is None
    assert next_reminder(asked, CY.id, START, ()) is None
    assert next_reminder(review(REMINDED, by(ANA.id)), ANA.id, START, ()) is None
    assert next_reminder(review(BOTH), ANA.id, START, ()) is None


def test_one_who_is_away_is_reminded_once_back_and_a_delegate_until_then() -> None:
    asked, theirs = review(REMINDED), [away(ANA.id, CY.id, hours=2)]
    assert next_reminder(asked, ANA.id, START, theirs) == START + 3 * HOUR
    assert next_reminder(asked, CY.id, START, theirs) == START + HOUR
    assert next_reminder(asked, CY.id, START + HOUR, theirs) is None


def test_no_reminder_comes_from_the_deadline_on_nor_of_what_is_closed() -> None:
    asked = review(replace(REMINDED, deadline=2 * HOUR))
    assert next_reminder(asked, ANA.id, START + HOUR, ()) is None
    closed = replace(review(REMINDED), closed_at=START, outcome=Outcome.APPROVED)
    assert next_reminder(closed, ANA.id, START, ()) is None
