"""A review that nobody can approve any more: why, what helps, and whom its card names still."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.explaining import as_shown, explain, named
from core.model import LOCAL, LOCAL_NAME, Escalation, Policy, ReviewRequest, Verdict
from tests.core.judging import by, quorum, review, staged
from tests.world import ANA, BEN, CY, PEOPLE, SAM

ONE = Policy(name="p", reviewers=(ANA.id, BEN.id))
MORE = "have an administrator resume the task under a policy with more people or an escalation"


def shown(request: ReviewRequest, today: Policy | None) -> tuple[str | None, str | None]:
    """What its card says of it, and what its page says helps: the same words."""
    other = Policy(name="another", reviewers=())
    in_force = {one.name: one for one in (other, today) if one is not None}
    found = as_shown(request, in_force)
    told = explain(request, PEOPLE, in_force, timers=(), away=())
    assert (found.remedy, found.stuck is None) == (told.remedy, told.can_be_met)
    return found.stuck, found.remedy


def test_a_review_that_somebody_can_approve_stands_still_for_nobody() -> None:
    assert shown(review(ONE), ONE) == (None, None)
    assert shown(review(ONE), replace(ONE, reviewers=(BEN.id,))) == (None, None)


def test_who_handed_it_in_themselves_is_not_advised_to_bring_anybody_back() -> None:
    sams = Policy(name="p", reviewers=(SAM.id,))
    assert shown(review(sams), sams) == ("nobody can decide on it now", f"{MORE}, or cancel it")
    widened = replace(sams, escalation=Escalation(after=timedelta(hours=1), people=(SAM.id,)))
    more = "have an administrator resume the task under a policy with more people"
    assert shown(review(widened), widened)[1] == f"{more}, or cancel it"


def test_who_was_struck_can_be_brought_back() -> None:
    nobody = replace(ONE, reviewers=())
    assert shown(review(ONE), nobody) == (
        "nobody can decide on it now",
        f"bring back who was struck, {MORE}, or cancel it",
    )
    two = replace(ONE, approvals=2)
    assert shown(review(two), replace(two, reviewers=(BEN.id,)))[0] == (
        "can only be rejected, as too few are left who may approve"
    )


def test_who_was_struck_from_one_group_alone_can_be_brought_back() -> None:
    both = staged((quorum("legal", 1, ANA.id), quorum("ops", 1, ANA.id, BEN.id)))
    now = replace(both, stages=((quorum("legal", 1), quorum("ops", 1, ANA.id, BEN.id)),))
    assert shown(review(both), now)[1] == f"bring back who was struck, {MORE}, or cancel it"


def test_a_rejection_that_leaves_too_few_can_be_taken_back() -> None:
    two = replace(ONE, approvals=2, rejections=2)
    _, remedy = shown(review(two, by(ANA.id, Verdict.REJECT)), two)
    assert remedy == f"take back a rejection, {MORE}, or cancel it"


def test_a_policy_that_is_gone_can_be_put_back() -> None:
    assert shown(review(ONE), None) == (
        "nobody can decide on it now",
        "put the policy back, have an administrator resume the task, or cancel it",
    )


def test_at_the_machine_somebody_can_always_decide() -> None:
    local = review(replace(ONE, reviewers=()))
    local = replace(local, task=replace(local.task, submitter=LOCAL, submitter_name=LOCAL_NAME))
    assert as_shown(local, {"p": replace(ONE, reviewers=())}).stuck is None


@pytest.mark.parametrize("now", [(ANA.id,), (ANA.id, CY.id)])
def test_a_card_names_whom_it_waits_for_by_the_policy_of_today(now: tuple[str, ...]) -> None:
    """Who is new in the policy may decide on what opens from now on, only."""
    assert named(review(ONE), {"p": ONE}) == [ANA.id, BEN.id]
    assert named(review(ONE), {"p": replace(ONE, reviewers=now)}) == [ANA.id]  # type: ignore[arg-type]  # ids
