"""Where a review stands and why, in values and in a sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.explaining import CALLED, Explanation, called, explain, standing
from core.listing import listed
from core.model import (
    Delegation,
    Escalation,
    OnExpiry,
    Outcome,
    PersonId,
    Policy,
    ReviewRequest,
    Verdict,
    WorkingHours,
)
from tests.core.judging import by, quorum, review, staged
from tests.world import ANA, BEN, CY, EVE, PEOPLE, START

OPS_AND_LEGAL = staged((quorum("legal", 1, ANA.id), quorum("ops", 2, BEN.id, CY.id)))
THEN_CY = staged((quorum("first", 1, ANA.id, BEN.id),), (quorum("last", 1, CY.id),))
END = START + timedelta(hours=10)


def explained(request: ReviewRequest, today: dict[str, Policy] | None = None, **more: object) -> Explanation:
    known: dict[str, object] = {
        "timers": (),
        "away": (),
        "refusal": None,
        "asking": None,
        "seat": None,
        **more,
    }
    return explain(request, PEOPLE, today or {}, **known)  # type: ignore[arg-type]  # the values are of many types


def missing(found: Explanation) -> list[tuple[str, int, list[str]]]:
    return [(of.quorum, of.approvals, [person.id for person in of.people]) for of in found.missing]


def test_what_is_missing_is_told_group_by_group() -> None:
    found = explained(review(OPS_AND_LEGAL, by(BEN.id)))
    assert missing(found) == [("legal", 1, ["ana"]), ("ops", 1, ["cy"])]
    assert [made.reviewer for made in found.decided] == [BEN.id]
    assert (found.stage, found.stages, found.rejections, found.can_be_met) == (1, 1, 1, True)
    assert found.sentence == "1 of 3 approvals · waits for legal and ops"


def test_only_the_stage_that_is_being_decided_is_waited_for() -> None:
    assert missing(explained(review(THEN_CY))) == [("first", 1, ["ana", "ben"])]
    found = explained(review(THEN_CY, by(BEN.id)))
    assert missing(found) == [("last", 1, ["cy"])]
    assert (found.stage, found.stages) == (2, 2)
    assert found.sentence == "stage 2 of 2 · 1 of 2 approvals · waits for last"


def test_more_approvals_than_a_group_needs_are_not_counted() -> None:
    policy = staged((quorum("legal", 1, ANA.id), quorum("ops", 1, BEN.id, CY.id)))
    assert standing(review(policy, by(BEN.id), by(CY.id))) == "1 of 2 approvals · waits for legal"


def test_how_many_rejections_are_left_is_told() -> None:
    policy = replace(OPS_AND_LEGAL, rejections=2)
    assert explained(review(policy)).rejections == 2
    assert explained(review(policy, by(ANA.id, Verdict.REJECT))).rejections == 1


def test_what_a_struck_person_said_is_not_told_as_given_where_it_is_dropped() -> None:
    policy = replace(THEN_CY, keeps_removed=False)
    today = {"staged": replace(policy, reviewers=(BEN.id, CY.id))}
    found = explained(review(policy, by(ANA.id)), today)
    assert (found.stage, missing(found)) == (1, [("first", 1, ["ben"])])
    assert [made.reviewer for made in found.decided] == [ANA.id], "the record keeps it"
    assert found.counted == ()
    assert standing(found.review, today) == "0 of 2 approvals · waits for first"
    assert found.sentence == f"stage 1 of 2 · {standing(found.review, today)}"
    assert standing(found.review).startswith("1 of 2"), "who does not know the policies cannot know it"


def test_a_review_that_cannot_be_met_says_so() -> None:
    today = {"staged": replace(THEN_CY, reviewers=(ANA.id, BEN.id))}
    found = explained(review(THEN_CY), today)
    assert not found.can_be_met
    assert found.sentence.endswith(" · can only be rejected, as too few are left who may approve")
    assert (
        found.stuck
        == "Those who may still decide are too few for what the policy asks. They can still reject it."
    )
    assert explained(review(THEN_CY, by(ANA.id), closed=Outcome.REJECTED), today).can_be_met


def test_what_a_second_rejection_can_close_is_not_called_stuck() -> None:
    policy = replace(OPS_AND_LEGAL, rejections=2)
    found = explained(review(policy, by(ANA.id, Verdict.REJECT)))
    assert found.sentence.endswith(" · can only be rejected, as too few are left who may approve")
    nobody_else = replace(policy, reviewers=(ANA.id,))
    found = explained(review(policy, by(ANA.id, Verdict.REJECT)), {policy.name: nobody_else})
    assert found.sentence.endswith(" · nobody can decide on it now")
    assert found.stuck == "Those who may still decide are too few for what the policy asks."


def test_who_is_not_in_turn_cannot_close_it_either() -> None:
    today = {"staged": replace(THEN_CY, reviewers=(CY.id,))}
    assert explained(review(THEN_CY), today).sentence.endswith(" · nobody can decide on it now")


@pytest.mark.parametrize(
    ("on_expiry", "words"),
    [
        (OnExpiry.REJECT, "then rejected"),
        (OnExpiry.APPROVE, "then approved"),
        (OnExpiry.ESCALATE, "then escalated"),
        (OnExpiry.FAIL, "then the task fails"),
    ],
)
def test_until_when_and_what_then(on_expiry: OnExpiry, words: str) -> None:
    policy = replace(
        review().policy, on_expiry=on_expiry, escalation=Escalation(after=None, people=(EVE.id,))
    )
    asked = replace(review(policy), expires_at=END)
    assert standing(asked) == f"until 2026-11-21 18:00 UTC, {words}"
    found = explained(asked)
    assert (found.expires_at, found.then) == (END, on_expiry)


def test_what_has_escalated_does_not_escalate_again() -> None:
    policy = replace(review().policy, on_expiry=OnExpiry.ESCALATE)
    asked = replace(review(policy), expires_at=END, is_escalated=True)
    assert standing(asked) == "until 2026-11-21 18:00 UTC, then rejected"
    assert explained(asked).then is OnExpiry.REJECT
    assert explained(asked).sentence == f"escalated · {standing(asked)}"


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ((), "then rejected"),
        ((WorkingHours(cron="* 9-16 * * mon-fri", zone="Europe/Madrid"),), "then escalated"),
    ],
    ids=["at any time", "at work"],
)
def test_what_escalates_before_its_deadline_does_not_at_it(
    hours: tuple[WorkingHours, ...], words: str
) -> None:
    """Working hours may come only after it."""
    soon = Escalation(after=timedelta(hours=1), people=(EVE.id,))
    policy = replace(review().policy, on_expiry=OnExpiry.ESCALATE, escalation=soon, hours=hours)
    asked = replace(review(policy), expires_at=END)
    assert standing(asked) == f"until 2026-11-21 18:00 UTC, {words}"


def test_a_closed_review_waits_for_nobody() -> None:
    found = explained(review(OPS_AND_LEGAL, by(ANA.id, Verdict.REJECT), closed=Outcome.REJECTED))
    assert (found.missing, found.sentence, found.rejections) == ((), "", 0)


def test_one_approval_of_anybody_needs_no_words() -> None:
    assert standing(review()) == ""


def test_of_those_who_are_away_it_names_whom_it_waits_for() -> None:
    away = [
        Delegation(id=who.id, person=who.id, delegate=EVE.id, until=END, made_by=who.id, made_at=START)
        for who in (ANA, BEN, EVE)
    ]
    found = explained(review(THEN_CY, by(BEN.id)), away=away)
    assert found.away == ()
    assert [of.person for of in explained(review(OPS_AND_LEGAL, by(BEN.id)), away=away).away] == [ANA.id]


@pytest.mark.parametrize(("people", "calls"), [(CALLED, CALLED), (CALLED + 1, 0)])
def test_a_card_that_waits_for_many_calls_nobody(people: int, calls: int) -> None:
    names = [PersonId(f"p{number}") for number in range(people)]
    assert called(review(Policy(name="many", reviewers=tuple(names))), {}) == names[:calls]


def test_a_card_calls_nobody_once_its_review_is_closed() -> None:
    assert called(review(), {}) == [ANA.id, BEN.id]
    assert called(review(closed=Outcome.EXPIRED), {}) == []


@pytest.mark.parametrize(
    ("delegates", "calls"),
    [
        ({}, [ANA.id, BEN.id]),
        ({ANA.id: CY.id}, [CY.id, BEN.id]),
        ({ANA.id: CY.id, BEN.id: CY.id}, [CY.id]),
        ({ANA.id: None}, [BEN.id]),
        ({ANA.id: BEN.id}, [BEN.id]),
        ({ANA.id: CY.id, CY.id: EVE.id}, [BEN.id]),
    ],
    ids=["nobody away", "a delegate", "one for two", "away alone", "a reviewer", "away, too"],
)
def test_a_card_calls_who_can_answer_in_whose_place(
    delegates: dict[PersonId, PersonId | None], calls: list[PersonId]
) -> None:
    assert called(review(), delegates) == calls


def test_names_stand_in_a_sentence_as_people_write_them() -> None:
    assert [listed(["a", "b", "c", "d"][:many]) for many in (1, 2, 3, 4)] == [
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and d",
    ]
    assert listed(["a", "b"], "or") == "a or b"
