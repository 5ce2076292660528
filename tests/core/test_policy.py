"""Who may decide, and what the decisions add up to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AlreadyDecided, NotAReviewer, ReviewIsClosed, SelfReview
from core.model import (
    LOCAL,
    Decision,
    Outcome,
    PersonId,
    Policy,
    ReviewId,
    ReviewRequest,
    Status,
    Task,
    TaskId,
    Verdict,
)
from core.policy import check_may_decide, outcome
from tests.world import ANA, BEN, EVE, SAM, START

ONE = Policy(name="one", reviewers=(ANA.id, BEN.id, SAM.id))
TWO = replace(ONE, approvals=2)
SELF = replace(ONE, distinct_from=())
NOBODY = Policy(name="nobody", reviewers=())
REFUSALS = (NotAReviewer, SelfReview, ReviewIsClosed, AlreadyDecided)


def by(person: PersonId, verdict: Verdict = Verdict.APPROVE) -> Decision:
    return Decision(
        reviewer=person, reviewer_name=person.title(), verdict=verdict, comment=None, via="web", at=START
    )


def review(
    policy: Policy = ONE,
    *decisions: Decision,
    closed: Outcome | None = None,
    superseded: int | None = None,
    status: Status = Status.WAITING_FOR_REVIEW,
) -> ReviewRequest:
    task = Task(
        id=TaskId("t"),
        flow="draft",
        title="t",
        status=status,
        outcome=None,
        attempt=1,
        review=None,
        input="x",
        draft="d",
        final_result=None,
        error=None,
        submitter=SAM.id,
        submitter_name="Sam",
        on_behalf_of="ana",
        callback_url=None,
        metadata={},
        created_at=START,
        updated_at=START,
    )
    return ReviewRequest(
        id=ReviewId("r"),
        task=task,
        attempt=1,
        node="review",
        policy=policy,
        draft="d",
        outcome=closed or Outcome.OPEN,
        opened_at=START,
        closed_at=START + timedelta(seconds=5) if closed else None,
        superseded_by=superseded,
        decisions=decisions,
    )


@pytest.mark.parametrize(
    ("request_", "person", "refusal"),
    [
        (review(ONE), ANA.id, None),
        (review(ONE), SAM.id, SelfReview),
        (review(SELF), SAM.id, None),
        (review(ONE), EVE.id, NotAReviewer),
        (review(NOBODY), ANA.id, NotAReviewer),
        (review(ONE), LOCAL, None),
        (review(TWO), LOCAL, NotAReviewer),
        (review(NOBODY), LOCAL, None),
        (review(TWO, by(ANA.id)), ANA.id, None),
        (review(TWO, by(ANA.id)), BEN.id, None),
        (review(ONE, by(ANA.id), closed=Outcome.APPROVED), BEN.id, ReviewIsClosed),
        (review(ONE, closed=Outcome.CANCELLED, status=Status.CANCELLED), BEN.id, ReviewIsClosed),
        (review(ONE, by(ANA.id), closed=Outcome.REJECTED, superseded=2), BEN.id, ReviewIsClosed),
        (review(ONE, by(ANA.id), closed=Outcome.APPROVED), EVE.id, NotAReviewer),
        (review(ONE, by(ANA.id), closed=Outcome.APPROVED), SAM.id, SelfReview),
    ],
)
def test_who_may_decide(request_: ReviewRequest, person: PersonId, refusal: type[Exception] | None) -> None:
    if refusal is None:
        check_may_decide(request_, person)
    else:
        with pytest.raises(refusal):
            check_may_decide(request_, person)


@pytest.mark.parametrize(
    ("in_force", "person", "may"),
    [
        ({}, ANA.id, True),
        ({"other": NOBODY}, ANA.id, True),
        ({"one": replace(ONE, reviewers=(BEN.id, EVE.id))}, ANA.id, False),
        ({"one": replace(ONE, reviewers=(BEN.id, EVE.id))}, BEN.id, True),
        ({"one": replace(ONE, reviewers=(BEN.id, EVE.id))}, EVE.id, False),
        ({"one": replace(NOBODY, name="one")}, LOCAL, True),
    ],
)
def test_a_reviewer_is_one_by_the_reviews_policy_and_by_todays(
    in_force: dict[str, Policy], person: PersonId, may: bool
) -> None:
    if may:
        check_may_decide(review(ONE), person, in_force)
    else:
        with pytest.raises(NotAReviewer):
            check_may_decide(review(ONE), person, in_force)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (review(ONE, by(ANA.id), closed=Outcome.APPROVED), ["approved", "Ana", "08:00:00 UTC"]),
        (
            review(ONE, by(ANA.id, Verdict.REJECT), closed=Outcome.REJECTED, superseded=2),
            ["attempt 1", "attempt 2"],
        ),
        (
            review(TWO, by(ANA.id, Verdict.EDIT), closed=Outcome.EDITED, status=Status.RUNNING),
            ["edited", "Ana", "08:00:00 UTC"],
        ),
        (review(ONE, closed=Outcome.CANCELLED, status=Status.CANCELLED), ["cancelled"]),
        (review(TWO, by(ANA.id), closed=Outcome.CANCELLED, status=Status.FAILED), ["failed"]),
    ],
)
def test_a_late_person_is_told_what_happened(request_: ReviewRequest, words: list[str]) -> None:
    with pytest.raises(ReviewIsClosed) as refusal:
        check_may_decide(request_, BEN.id)
    for word in words:
        assert word in str(refusal.value)


def test_whom_the_task_was_submitted_for_is_no_submitter() -> None:
    check_may_decide(review(ONE), ANA.id)  # on_behalf_of names her, and lifts or sets no rule


PEOPLE = [PersonId(name) for name in "abcde"]
EVERYBODY = replace(ONE, reviewers=tuple(PEOPLE))
DECISIONS = st.lists(st.builds(by, st.sampled_from(PEOPLE), st.sampled_from(Verdict)), max_size=12)


def up_to(decisions: list[Decision], closing: Verdict | None) -> list[Decision]:
    """What can stand: nobody decides after a decision that closed the review."""
    verdicts = [decision.verdict for decision in decisions]
    return decisions if closing is None else decisions[: verdicts.index(closing) + 1]


@given(DECISIONS, st.integers(1, 4))
def test_the_outcome_counts_distinct_people(decisions: list[Decision], approvals: int) -> None:
    # Where several have to agree, an edit is to be put before them anew.
    closing = {Verdict.REJECT, Verdict.EDIT} if approvals > 1 else {Verdict.REJECT}
    first = next((d.verdict for d in decisions if d.verdict in closing), None)
    found = outcome(replace(EVERYBODY, approvals=approvals), up_to(decisions, first))
    people = {d.reviewer for d in decisions}
    if first is not None:
        assert found is (Outcome.REJECTED if first is Verdict.REJECT else Outcome.EDITED)
    elif len(people) >= approvals:
        assert found is Outcome.APPROVED
    else:
        assert found is Outcome.OPEN


@given(DECISIONS, st.integers(2, 4))
def test_no_edit_is_approved_by_those_who_saw_another_text(decisions: list[Decision], approvals: int) -> None:
    if Verdict.EDIT in {decision.verdict for decision in decisions}:
        first = [d.verdict for d in decisions].index(Verdict.EDIT)
        assert outcome(replace(EVERYBODY, approvals=approvals), decisions[: first + 1]) in {
            Outcome.EDITED,
            Outcome.REJECTED,
        }


@given(st.sampled_from(PEOPLE), st.integers(2, 9))
def test_one_person_is_never_a_quorum(person: PersonId, presses: int) -> None:
    assert outcome(replace(EVERYBODY, approvals=2), [by(person)] * presses) is Outcome.OPEN


@given(DECISIONS, st.sampled_from([*PEOPLE, LOCAL, ANA.id, SAM.id]), st.integers(1, 3))
def test_nobody_outside_the_list_ever_decides(
    decisions: list[Decision], person: PersonId, approvals: int
) -> None:
    request = review(replace(NOBODY, approvals=approvals), *decisions)
    if person == LOCAL and approvals == 1:
        return
    with pytest.raises(REFUSALS):
        check_may_decide(request, person)
