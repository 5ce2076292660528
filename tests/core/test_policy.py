"""Who may decide, and what the decisions add up to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.amendments import admitted, escalated, groups_of
from core.counting import (
    able,
    approvals_given,
    can_be_met,
    comes_to,
    is_hopeless,
    is_stuck,
    outcome,
    shortfall,
    shortfall_now,
    stage_for,
    stage_now,
    waited_for,
)
from core.errors import (
    AlreadyDecided,
    ConfirmOnPage,
    CountersignError,
    Invalid,
    NotAReviewer,
    NotYourTurn,
    ReviewIsClosed,
    SelfReview,
)
from core.model import (
    LOCAL,
    Assurance,
    Decision,
    Escalation,
    OnExpiry,
    Outcome,
    Party,
    PersonId,
    Policy,
    Quorum,
    ReasonRule,
    Recipient,
    ReviewRequest,
    Status,
    Verdict,
)
from core.policy import check_answer, check_may_ask, check_may_decide, check_open
from tests.core.judging import ONE, by, quorum, review, staged
from tests.world import ANA, BEN, CY, DESK, EVE, HALL, SAM, START

TWO = replace(ONE, approvals=2)
SELF = replace(ONE, distinct_from=())
NOBODY = Policy(name="nobody", reviewers=())
REFUSALS = (NotAReviewer, SelfReview, ReviewIsClosed, AlreadyDecided)


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


def test_nobody_asks_in_the_place_of_who_is_asked() -> None:
    """A delegate of the submitter's, who is a reviewer besides: nor may they decide."""
    for check in (check_may_ask, check_may_decide):
        with pytest.raises(SelfReview):
            check(review(ONE), EVE.id, None, [SAM.id])
        check(review(ONE), EVE.id, None, [ANA.id])


@pytest.mark.parametrize(
    ("in_force", "person", "may"),
    [
        ({}, ANA.id, True),
        ({"other": ONE}, ANA.id, False),
        ({"other": ONE}, LOCAL, True),
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
        (review(ONE, closed=Outcome.CANCELLED, status=Status.CANCELLED), ["task is cancelled"]),
        (
            replace(review(ONE, closed=Outcome.CANCELLED, status=Status.CANCELLED), cancelled_by="Sam Lee"),
            ["cancelled by Sam Lee at", "08:00:05 UTC"],
        ),
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


# Stages and quorums


A, B, C, D, E = PEOPLE
LEGAL_AND_OPS = staged((quorum("legal", 1, A, B), quorum("ops", 2, B, C, D)))
"""Of `legal` and `ops`, B is in both."""
THEN_BOSS = staged((quorum("legal", 1, A, B),), (quorum("boss", 1, C),))


@pytest.mark.parametrize(
    ("people", "found"),
    [
        ([A], Outcome.OPEN),
        ([B], Outcome.OPEN),
        ([A, B], Outcome.OPEN),
        ([B, C], Outcome.OPEN),  # B fills a place in one of the two, not in both
        ([B, C, D], Outcome.APPROVED),
        ([C, D], Outcome.OPEN),
        ([A, B, C], Outcome.APPROVED),
        ([A, C, D], Outcome.APPROVED),
        ([B, B, C, C], Outcome.OPEN),
    ],
)
def test_who_is_in_two_groups_counts_once(people: list[PersonId], found: Outcome) -> None:
    assert outcome(LEGAL_AND_OPS, [by(person) for person in people]) is found


def test_an_approval_makes_room_for_another_by_taking_another_place() -> None:
    policy = staged((quorum("legal", 1, A, B), quorum("ops", 1, A)))
    asked = review(policy, by(A))
    # A can be either; B can be legal only, so ops is A's place, and legal is what is missing.
    assert [(one.name, lacks) for one, lacks in shortfall_now(asked)] == [("legal", 1), ("ops", 0)]
    assert waited_for(asked) == [B]
    assert outcome(policy, [by(A), by(B)]) is Outcome.APPROVED


def test_stages_come_one_after_another() -> None:
    with pytest.raises(NotYourTurn, match=r"stage 1 of 2 waits for legal\.$"):
        check_may_decide(review(THEN_BOSS), C)
    assert stage_now(THEN_BOSS, ()) == 0
    assert stage_now(THEN_BOSS, [by(A)]) == 1
    after = review(THEN_BOSS, by(A))
    check_may_decide(after, C)
    with pytest.raises(NotYourTurn, match=r"stage is done; the review now waits for boss\.$"):
        check_may_decide(after, B)
    assert check_may_decide(after, A) == A, "who has decided may say otherwise while the review is open"
    assert outcome(THEN_BOSS, [by(A), replace(by(C), stage=1)]) is Outcome.APPROVED


def test_an_approval_counts_in_the_stage_in_which_it_was_given() -> None:
    policy = staged((quorum("first", 1, A, B),), (quorum("second", 1, A, B),))
    assert stage_for(policy, [], A, None) == 0
    assert stage_for(policy, [by(A)], B, None) == 1
    assert outcome(policy, [by(A)]) is Outcome.OPEN
    assert outcome(policy, [by(A), by(B)]) is Outcome.OPEN, "two in the first are none in the second"


def test_who_rejected_in_an_earlier_stage_and_approves_now_approves_in_this_one() -> None:
    policy = staged((quorum("first", 1, A, B),), (quorum("second", 1, A, B),), rejections=2)
    rejected = by(B, Verdict.REJECT)
    assert stage_for(policy, [by(A)], B, rejected) == 1
    assert stage_for(THEN_BOSS, [by(A)], B, rejected) == 0, (
        "who has no place in this one stays where they were"
    )


def test_a_person_has_one_place_in_all_stages_together() -> None:
    both = staged((quorum("first", 1, A),), (quorum("second", 1, A),))
    assert not can_be_met(both, (), [A])
    assert is_hopeless(both, E)
    assert can_be_met(staged((quorum("first", 1, A, B),), (quorum("second", 1, A),)), (), [A, B])


def test_what_was_given_is_counted_up_to_what_was_asked_for() -> None:
    asked = review(LEGAL_AND_OPS, by(C), by(D))
    assert approvals_given(asked) == 2
    assert approvals_given(review(staged((quorum("legal", 1, A), quorum("ops", 1, B, C))), by(B), by(C))) == 1


# Rejections


def test_as_many_have_to_reject_as_the_policy_says() -> None:
    policy = replace(EVERYBODY, approvals=2, rejections=2)
    no = [by(A, Verdict.REJECT), by(B, Verdict.REJECT)]
    assert outcome(policy, no[:1]) is Outcome.OPEN
    assert outcome(policy, no) is Outcome.REJECTED
    assert outcome(policy, [*no[:1], by(C), by(D)]) is Outcome.APPROVED
    assert outcome(policy, [no[0], no[0]]) is Outcome.OPEN, "one person rejects once"


# Who may not, although a reviewer


def edited(policy: Policy, editor: PersonId, seat: PersonId | None = None) -> ReviewRequest:
    """The second attempt, whose draft is somebody's edit."""
    made = replace(by(editor, Verdict.EDIT), person=seat, content="mine")
    return replace(review(policy), attempt=2, previous=made)


def test_an_editor_does_not_approve_their_own_text_where_the_policy_says_so() -> None:
    policy = replace(EVERYBODY, approvals=2, distinct_from=(Party.EDITOR,))
    with pytest.raises(SelfReview, match="edit of yours"):
        check_may_decide(edited(policy, A), A)
    check_may_decide(edited(policy, A), B)
    check_may_decide(edited(replace(policy, distinct_from=()), A), A)
    assert able(edited(policy, A)) == [B, C, D, E]
    with pytest.raises(SelfReview):
        check_may_decide(edited(policy, EVE.id, seat=A), A)


def test_an_edit_closes_where_its_author_may_not_approve_it() -> None:
    assert outcome(EVERYBODY, [by(A, Verdict.EDIT)]) is Outcome.APPROVED
    policy = replace(EVERYBODY, distinct_from=(Party.EDITOR,))
    assert outcome(policy, [by(A, Verdict.EDIT)]) is Outcome.EDITED


@pytest.mark.parametrize(
    ("rule", "verdict", "comment", "is_enough"),
    [
        (ReasonRule.NEVER, Verdict.REJECT, None, True),
        (ReasonRule.ON_REJECT, Verdict.APPROVE, None, True),
        (ReasonRule.ON_REJECT, Verdict.REJECT, None, False),
        (ReasonRule.ON_REJECT, Verdict.REJECT, " \n", False),
        (ReasonRule.ON_REJECT, Verdict.REJECT, "\u200b", False),
        (ReasonRule.ON_REJECT, Verdict.REJECT, "too dear", True),
        (ReasonRule.ALWAYS, Verdict.APPROVE, "", False),
        (ReasonRule.ALWAYS, Verdict.APPROVE, "fine", True),
        (ReasonRule.ALWAYS, Verdict.EDIT, None, False),
    ],
)
def test_a_reason_is_asked_for_as_the_policy_says(
    rule: ReasonRule, verdict: Verdict, comment: str | None, is_enough: bool
) -> None:
    made = replace(by(A, verdict), comment=comment)
    if is_enough:
        check_answer(review(replace(EVERYBODY, reason=rule)), made)
    else:
        with pytest.raises(Invalid, match="reason"):
            check_answer(review(replace(EVERYBODY, reason=rule)), made)


@pytest.mark.parametrize("via", ["slack", "telegram"])
def test_where_it_has_to_be_confirmed_a_press_is_not_enough(via: str) -> None:
    asked = review(replace(EVERYBODY, assurance=Assurance.CONFIRM))
    with pytest.raises(ConfirmOnPage):
        check_answer(asked, replace(by(A), via=via))
    check_answer(asked, by(A))


def test_the_same_answer_again_is_refused_and_another_one_is_not() -> None:
    asked = review(replace(EVERYBODY, approvals=3), by(A))
    with pytest.raises(AlreadyDecided, match=r"^You have already decided"):
        check_answer(asked, by(A))
    check_answer(asked, by(A, Verdict.REJECT))
    with pytest.raises(AlreadyDecided, match=r"^A has already decided"):
        check_answer(asked, replace(by(EVE.id), person=A))


@pytest.mark.parametrize("comment", [None, "", " ", "why", " why "])
def test_the_same_verdict_without_a_new_comment_is_a_press_too_many(comment: str | None) -> None:
    asked = review(replace(EVERYBODY, approvals=3), replace(by(A), comment="why"))
    with pytest.raises(AlreadyDecided):
        check_answer(asked, replace(by(A), comment=comment))
    check_answer(asked, replace(by(A), comment="because"))


# Delegates


def test_a_delegate_decides_in_the_seat_of_who_is_away() -> None:
    asked = review(replace(EVERYBODY, approvals=2))
    assert check_may_decide(asked, EVE.id, {}, [A]) == A
    with pytest.raises(NotAReviewer):
        check_may_decide(asked, EVE.id, {}, [ANA.id])
    assert check_may_decide(asked, B, {}, [A]) == B, "a reviewer decides for themselves"


def test_neither_the_submitter_nor_their_delegate_nor_the_submitter_as_a_delegate_decides() -> None:
    asked = review(replace(ONE, approvals=2))
    with pytest.raises(SelfReview, match=r"^The person for whom you decide submitted"):
        check_may_decide(asked, EVE.id, {}, [SAM.id])
    with pytest.raises(SelfReview, match=r"^You submitted"):
        check_may_decide(review(replace(EVERYBODY, approvals=2)), SAM.id, {}, [A])


def test_a_delegate_of_several_takes_the_seat_that_is_of_use() -> None:
    policy = replace(ONE, approvals=2)
    assert check_may_decide(review(policy), EVE.id, {}, [SAM.id, ANA.id]) == ANA.id, "not the submitter's"
    done = review(replace(EVERYBODY, approvals=3), by(A))
    assert check_may_decide(done, EVE.id, {}, [A, B]) == B, "not that of somebody who has decided"
    assert check_may_decide(review(THEN_BOSS, by(A)), EVE.id, {}, [B, C]) == C, "whose turn it is"


def test_nobody_speaks_in_two_seats() -> None:
    policy = replace(EVERYBODY, approvals=3)
    spoken = review(policy, replace(by(EVE.id), person=A, person_name="Ay"))
    assert check_may_decide(spoken, EVE.id, {}, [B, A]) == A, "what was said may be changed"
    with pytest.raises(AlreadyDecided, match="already decided for Ay"):
        check_may_decide(spoken, EVE.id, {}, [B])  # A is back, and B has gone
    # Who became a reviewer by an escalation has spoken already, too.
    wider = escalated(replace(policy, escalation=Escalation(after=None, people=(EVE.id,))))
    with pytest.raises(AlreadyDecided):
        check_may_decide(replace(spoken, policy=wider, is_escalated=True), EVE.id)


def test_a_struck_person_has_no_delegate_either() -> None:
    today = {"one": replace(ONE, reviewers=(BEN.id,))}
    with pytest.raises(NotAReviewer):
        check_may_decide(review(ONE), EVE.id, today, [ANA.id])
    assert check_may_decide(review(ONE), EVE.id, today, [ANA.id, BEN.id]) == BEN.id


# People who are struck


def test_what_a_struck_person_said_counts_or_not_as_the_policy_says() -> None:
    today = {"staged": replace(THEN_BOSS, reviewers=(B, C))}
    kept = review(THEN_BOSS, by(A))
    assert waited_for(kept, today) == [C]
    dropped = replace(kept, policy=replace(THEN_BOSS, keeps_removed=False))
    assert waited_for(dropped, today) == [B]
    assert approvals_given(dropped, today) == 0
    assert check_may_decide(dropped, B, today) == B
    with pytest.raises(NotYourTurn):
        check_may_decide(dropped, C, today)


def test_a_review_that_too_few_are_left_for_is_stuck() -> None:
    policy = replace(ONE, approvals=2)
    assert not is_stuck(review(policy))
    assert is_stuck(review(policy), {"one": replace(ONE, reviewers=(ANA.id,))})
    assert is_stuck(review(replace(policy, rejections=2), by(BEN.id, Verdict.REJECT)))
    assert not is_stuck(review(replace(policy, reviewers=(ANA.id, BEN.id, CY.id), rejections=2), by(BEN.id)))


def test_who_approved_and_was_struck_leaves_a_gap_only_where_words_are_dropped() -> None:
    policy = Policy(name="one", reviewers=(ANA.id, BEN.id), approvals=2)
    today = {"one": replace(policy, reviewers=(BEN.id,))}
    assert not is_stuck(review(policy, by(ANA.id)), today)
    assert is_stuck(review(replace(policy, keeps_removed=False), by(ANA.id)), today)


@pytest.mark.parametrize(
    ("policy", "submitter", "hopeless"),
    [
        (Policy(name="p", reviewers=(A,)), A, True),
        (Policy(name="p", reviewers=(A,), distinct_from=()), A, False),
        (Policy(name="p", reviewers=(A, B), approvals=2), A, True),
        (Policy(name="p", reviewers=(A, B), approvals=2), E, False),
        (Policy(name="p", reviewers=()), E, True),
        (LEGAL_AND_OPS, B, False),
        (LEGAL_AND_OPS, C, True),
    ],
)
def test_a_review_is_hopeless_where_its_submitter_leaves_too_few(
    policy: Policy, submitter: PersonId, hopeless: bool
) -> None:
    if policy is LEGAL_AND_OPS and submitter == C:
        policy = staged((quorum("legal", 1, A, B), quorum("ops", 2, B, C)))
    assert is_hopeless(policy, submitter) is hopeless


# Escalation and the deadline


def test_an_escalation_widens_every_quorum_and_the_places() -> None:
    policy = replace(
        LEGAL_AND_OPS,
        escalation=Escalation(after=None, people=(E, A), recipients=(HALL, DESK)),
        recipients=(DESK,),
    )
    wider = escalated(policy)
    assert wider.reviewers == (A, B, C, D, E)
    assert [[one.people for one in stage] for stage in wider.stages] == [[(A, B, E), (B, C, D, E, A)]]
    assert wider.recipients == (DESK, HALL)
    assert escalated(LEGAL_AND_OPS) == LEGAL_AND_OPS


def test_who_comes_from_outside_comes_into_the_quorums_of_their_group() -> None:
    legal, ops = LEGAL_AND_OPS.stages[0]
    policy = replace(
        LEGAL_AND_OPS,
        stages=((replace(legal, outside=("list",)), ops),),
        escalation=Escalation(after=None, people=(A,), outside=("board", "list")),
        outside=("list",),
    )
    assert groups_of(policy) == {"list", "board"}
    assert groups_of(LEGAL_AND_OPS) == frozenset()
    wider = admitted(policy, {"list": (E, A), "other": (D,)})
    assert wider.reviewers == (A, B, C, D, E)
    assert [[one.people for one in stage] for stage in wider.stages] == [[(A, B, E), (B, C, D)]]
    assert wider.escalation is not None
    assert wider.escalation.people == (A, E)
    assert admitted(wider, {}) == wider
    assert admitted(wider, {"list": (E,)}) == wider
    escalation = escalated(policy)
    assert escalation.outside == ("list", "board")
    assert [one.outside for one in escalation.stages[0]] == [("list", "board"), ("board", "list")]


def test_a_quorum_without_stages_knows_its_groups() -> None:
    ((only,),) = replace(ONE, outside=("list",)).in_stages
    assert only.outside == ("list",)


def test_what_it_comes_to_today_depends_on_who_counts_today() -> None:
    two = replace(ONE, approvals=2, reviewers=(A, B), keeps_removed=False)
    asked = review(two, by(A), by(B))
    assert comes_to(asked, {"one": two}) is Outcome.APPROVED
    assert comes_to(asked, {"one": replace(two, reviewers=(B,))}) is Outcome.OPEN


@pytest.mark.parametrize(
    ("today", "may"),
    [
        (staged((quorum("legal", 1, A, B), quorum("ops", 1, C))), [A, B, C]),
        (staged((quorum("legal", 1, B, C), quorum("ops", 1, A, C))), [B, C]),
        (staged((quorum("law", 1, A, B), quorum("ops", 1, A, C))), [C]),
        (staged((quorum("ops", 1, C),), (quorum("legal", 1, A),)), [A, C]),
        (replace(ONE, name="staged", reviewers=(A, C, D)), [A, C]),
    ],
)
def test_a_group_is_todays_group_of_that_name(today: Policy, may: list[PersonId]) -> None:
    """One that is gone, or has another name beside others, has nobody; one quorum for all has everybody."""
    asked = review(staged((quorum("legal", 1, A, B), quorum("ops", 1, C))))
    assert able(asked, {"staged": today}) == may
    for person in (A, B, C):
        if person in may:
            assert check_may_decide(asked, person, {"staged": today}) == person
        else:
            with pytest.raises(NotAReviewer, match="any more"):
                check_may_decide(asked, person, {"staged": today})


def test_a_group_alone_in_its_stage_may_have_another_name_today() -> None:
    asked = review(staged((quorum("legal", 1, A, B),), (quorum("boss", 1, C),)))
    legal_or_eve = staged((quorum("legal or eve", 1, B, E),), (quorum("boss", 1, C),))
    assert able(asked, {"staged": legal_or_eve}) == [B, C]
    more_stages = staged((quorum("first", 1, A),), (quorum("law", 1, A, B),), (quorum("boss", 1, C),))
    assert able(asked, {"staged": more_stages}) == [C]


def test_a_group_that_sits_in_two_stages_is_todays_of_the_same_stage() -> None:
    asked = review(staged((quorum("legal", 1, A),), (quorum("legal", 1, B),)))
    wider = staged((quorum("legal", 1, A),), (quorum("legal", 1, B, C),))
    assert able(asked, {"staged": wider}) == [A, B]


def test_under_a_policy_that_is_gone_nobody_decides() -> None:
    """Else whoever was struck from it would decide again once it is renamed."""
    two = replace(ONE, approvals=2, keeps_removed=False)
    asked, renamed = review(two, by(A)), {"renamed": two}
    with pytest.raises(NotAReviewer, match="The policy 'one', under which this review opened, is not in"):
        check_may_decide(asked, B, renamed)
    with pytest.raises(NotAReviewer):
        check_may_decide(asked, E, renamed, [B])
    with pytest.raises(NotAReviewer):
        check_may_ask(asked, B, renamed)
    assert able(asked, renamed) == waited_for(asked, renamed) == []
    assert is_stuck(asked, renamed)
    with pytest.raises(ReviewIsClosed, match="Already approved"):
        check_may_decide(review(ONE, by(A), closed=Outcome.APPROVED), B, renamed)


def test_who_was_added_by_an_escalation_decides_by_todays_policy_too() -> None:
    policy = replace(ONE, escalation=Escalation(after=None, people=(EVE.id,)))
    asked = replace(review(escalated(policy)), is_escalated=True)
    assert check_may_decide(asked, EVE.id, {"one": policy}) == EVE.id
    with pytest.raises(NotAReviewer):
        check_may_decide(asked, EVE.id, {"one": replace(policy, escalation=None)})


@pytest.mark.parametrize("on_expiry", OnExpiry)
def test_after_the_deadline_nobody_decides_whoever_is_quicker(on_expiry: OnExpiry) -> None:
    end = START + timedelta(hours=1)
    wider = Escalation(
        after=None, people=(EVE.id,), recipients=(Recipient(channel=DESK.channel, address="x"),)
    )
    asked = replace(review(replace(ONE, on_expiry=on_expiry, escalation=wider)), expires_at=end)
    check_answer(asked, replace(by(ANA.id), at=end - timedelta(microseconds=1)))
    late = replace(by(ANA.id), at=end)
    if on_expiry is OnExpiry.ESCALATE:
        check_answer(asked, late)
        asked = replace(asked, is_escalated=True)
    with pytest.raises(ReviewIsClosed, match="expired undecided at 2026-11-21 09:00:00 UTC"):
        check_answer(asked, late)


def test_what_the_clock_approved_nobody_is_said_to_have_approved() -> None:
    end = START + timedelta(seconds=5)
    asked = replace(review(replace(ONE, approvals=2), by(ANA.id), closed=Outcome.APPROVED), expires_at=end)
    with pytest.raises(ReviewIsClosed, match=r"^Approved by its policy at 2026-11-21 08:00:05 UTC"):
        check_open(asked)


# Against brute force

QUORUMS = st.builds(
    quorum, st.sampled_from(["x", "y"]), st.integers(1, 2), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)
).map(lambda one: replace(one, people=tuple(dict.fromkeys(one.people))))
STAGES = st.lists(st.lists(QUORUMS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=2).map(tuple)


def fits(places: list[Quorum], people: list[PersonId]) -> bool:
    """Whether every place finds a person of its own: tried one by one."""
    if not places:
        return True
    first, rest = places[0], places[1:]
    return any(
        fits(rest, [other for other in people if other != person])
        for person in people
        if person in first.people
    )


@given(STAGES, st.sets(st.sampled_from(PEOPLE)), st.sets(st.sampled_from(PEOPLE)))
def test_a_stage_is_met_where_some_assignment_meets_it(
    stages: tuple[tuple[Quorum, ...], ...], approving: set[PersonId], others: set[PersonId]
) -> None:
    policy = staged(*stages)
    made = [by(person) for person in sorted(approving)]
    first = [one for one in stages[0] for _ in range(one.approvals)]
    assert (stage_now(policy, made) != 0) == fits(first, sorted(approving))
    everywhere = [one for stage in stages for one in stage for _ in range(one.approvals)]
    assert can_be_met(policy, (), sorted(others)) == fits(everywhere, sorted(others))


@given(STAGES, st.sets(st.sampled_from(PEOPLE)))
def test_who_is_waited_for_is_of_use(
    stages: tuple[tuple[Quorum, ...], ...], approving: set[PersonId]
) -> None:
    policy = staged(*stages)
    asked = review(policy, *(by(person) for person in sorted(approving)))
    if stage_now(policy, asked.decisions) != 0:
        return
    now = sum(lacks for _, lacks in shortfall_now(asked))
    for person in PEOPLE:
        more = replace(asked, decisions=(*asked.decisions, by(person)))
        then = sum(lacks for _, lacks in shortfall_now(more)) if stage_now(policy, more.decisions) == 0 else 0
        assert (person in waited_for(asked)) == (person not in approving and then < now)


@given(STAGES, st.sets(st.sampled_from(PEOPLE)), st.sets(st.sampled_from(PEOPLE)))
def test_what_is_missing_is_what_those_who_are_able_could_give(
    stages: tuple[tuple[Quorum, ...], ...], approving: set[PersonId], others: set[PersonId]
) -> None:
    stage, more = stages[0], sorted(others - approving)
    lacking = shortfall(stage, sorted(approving), more)
    assert sum(lacks for _, lacks in lacking) == sum(
        lacks for _, lacks in shortfall(stage, sorted(approving))
    )
    missing = [quorum for quorum, lacks in lacking for _ in range(lacks)]
    everywhere = [one for one in stage for _ in range(one.approvals)]
    if fits(everywhere, sorted({*approving, *more})):
        assert fits(missing, more), "what is said to be missing can be given by those who are left"


@pytest.mark.timeout(20)
def test_large_groups_are_counted_at_once() -> None:
    """Decisions are judged, and explained, while everybody else waits."""
    people = [PersonId(f"p{number}") for number in range(3_000)]
    half, rest = quorum("a", 100, *people[:2_000]), quorum("b", 100, *people[1_000:])
    both = staged((half, rest))
    asked = review(both, *(by(person) for person in people[1_000:1_199]))
    for _ in range(5):
        assert sum(lacks for _, lacks in shortfall_now(asked)) == 1
        assert len(waited_for(asked)) == 2_801
        assert not is_stuck(asked)
    steps = [quorum(f"q{n}", 1, people[n], people[n + 1]) for n in range(300)]
    line = staged(tuple(steps))
    assert stage_now(line, [by(person) for person in (*people[1:300], people[0])]) is None


def test_every_refusal_is_a_known_error() -> None:
    for error in (*REFUSALS, NotYourTurn, ConfirmOnPage, Invalid):
        assert issubclass(error, CountersignError)


def test_neither_who_edited_nor_in_whose_place_decides_on_the_edit() -> None:
    edited = replace(by(EVE.id, Verdict.EDIT), person=ANA.id, person_name="Ana")
    policy = Policy(
        name="four eyes", reviewers=(ANA.id, BEN.id, EVE.id), approvals=2, distinct_from=(Party.EDITOR,)
    )
    asked = replace(review(policy), previous=edited)
    for person in (ANA.id, EVE.id):
        with pytest.raises(SelfReview, match="an edit of yours"):
            check_may_decide(asked, person)
    assert check_may_decide(asked, BEN.id) == BEN.id
