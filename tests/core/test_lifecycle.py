"""The life of a task, walked whole."""

from __future__ import annotations

import pytest

from core.errors import TaskIsClosed
from core.events import (
    EVENTS,
    ActionUnmatched,
    AttemptStarted,
    ClaimEnded,
    DecisionRecorded,
    DecisionsCarried,
    DecisionsDropped,
    DecisionWithdrawn,
    Event,
    NodeFinished,
    NodeRetried,
    ProgressReported,
    QuestionAnswered,
    QuestionAsked,
    ReminderSnoozed,
    ReviewApproved,
    ReviewClaimed,
    ReviewEdited,
    ReviewerReminded,
    ReviewEscalated,
    ReviewExpired,
    ReviewRejected,
    ReviewRequested,
    ReviewStuck,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskForked,
    TaskResumed,
    TaskRewound,
    TaskSubmitted,
    TextStreamed,
)
from core.lifecycle import TRANSITIONS, after
from core.model import Status

ONE_OF_EACH: dict[type[Event], Event] = {
    TaskSubmitted: TaskSubmitted(submitter="sam"),
    AttemptStarted: AttemptStarted(attempt=1),
    TaskResumed: TaskResumed(attempt=1),
    NodeRetried: NodeRetried(node="n", retry=1, error="e"),
    NodeFinished: NodeFinished(node="n", action="default", checkpoint=1),
    ActionUnmatched: ActionUnmatched(node="n", action="lft", choices=["left", "right"]),
    ProgressReported: ProgressReported(node="n", fraction=0.5, text="half way"),
    TextStreamed: TextStreamed(node="n", text="more"),
    TaskRewound: TaskRewound(
        checkpoint=2, node="n", attempt=2, by="ana", by_name="Ana", edited=["processed_output"]
    ),
    TaskForked: TaskForked(parent="p", checkpoint=2, by="ana", by_name="Ana", edited=[]),
    ReviewRequested: ReviewRequested(review="r", attempt=1, draft="d"),
    DecisionRecorded: DecisionRecorded(
        review="r",
        reviewer="ana",
        reviewer_name="Ana",
        verdict="edit",
        comment=None,
        via="web",
        content={"text": "mine"},
        diff="--- draft",
    ),
    ReviewApproved: ReviewApproved(review="r", attempt=1),
    ReviewRejected: ReviewRejected(review="r", attempt=1),
    ReviewEdited: ReviewEdited(review="r", attempt=1),
    ReviewExpired: ReviewExpired(review="r", attempt=1, outcome="expired"),
    DecisionWithdrawn: DecisionWithdrawn(review="r", reviewer="ana", reviewer_name="Ana", via="web"),
    DecisionsCarried: DecisionsCarried(review="r", reviewers=["Ana"]),
    DecisionsDropped: DecisionsDropped(review="r", people=["Ana"], ids=["ana"]),
    ReviewerReminded: ReviewerReminded(review="r", attempt=1, people=["Ana"]),
    ReviewClaimed: ReviewClaimed(
        review="r", attempt=1, person="ana", person_name="Ana", until="2026-11-21T08:15:00Z", via="web"
    ),
    ClaimEnded: ClaimEnded(review="r", person="ana", person_name="Ana", reason="released"),
    ReminderSnoozed: ReminderSnoozed(review="r", person="ana", person_name="Ana", until=None, via="web"),
    QuestionAsked: QuestionAsked(
        review="r",
        attempt=1,
        question="q",
        text="Why?",
        person="ana",
        person_name="Ana",
        submitter="sam",
        submitter_name="Sam",
        via="web",
    ),
    QuestionAnswered: QuestionAnswered(
        review="r",
        attempt=1,
        question="q",
        text="So.",
        person="sam",
        person_name="Sam",
        asked_by="ana",
        asked_by_name="Ana",
        via="web",
    ),
    ReviewEscalated: ReviewEscalated(review="r", attempt=1, people=["Ana"], reason="Late."),
    ReviewStuck: ReviewStuck(review="r", attempt=1, reason="Nobody."),
    TaskCompleted: TaskCompleted(final_result="x", outcome="approved"),
    TaskFailed: TaskFailed(error="e"),
    TaskCancelled: TaskCancelled(by="sam"),
}
P, R, W, C, F, X = Status
ALLOWED = {
    (P, TaskForked): P,
    (P, AttemptStarted): R,
    (P, TaskFailed): F,
    (P, TaskCancelled): X,
    (R, AttemptStarted): R,
    (R, TaskResumed): R,
    (R, NodeRetried): R,
    (R, NodeFinished): R,
    (R, ActionUnmatched): R,
    (R, ProgressReported): R,
    (R, TextStreamed): R,
    (R, ReviewRequested): W,
    (R, TaskCompleted): C,
    (R, TaskFailed): F,
    (R, TaskCancelled): X,
    (W, DecisionRecorded): W,
    (W, ReviewApproved): R,
    (W, ReviewRejected): R,
    (W, ReviewEdited): R,
    (W, ReviewExpired): R,
    (W, DecisionWithdrawn): W,
    (W, DecisionsCarried): W,
    (W, DecisionsDropped): W,
    (W, ReviewerReminded): W,
    (W, ReviewClaimed): W,
    (W, ClaimEnded): W,
    (W, ReminderSnoozed): W,
    (W, QuestionAsked): W,
    (W, QuestionAnswered): W,
    (W, ReviewEscalated): W,
    (W, ReviewStuck): W,
    (W, TaskRewound): R,
    (W, TaskFailed): F,
    (W, TaskCancelled): X,
    (C, TaskRewound): R,
    (F, TaskRewound): R,
    (X, TaskRewound): R,
}


def test_there_is_one_of_each_event() -> None:
    assert set(ONE_OF_EACH) == set(EVENTS)
    assert set(TRANSITIONS) == set(Status)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_pair_leads_where_it_should_or_is_refused(status: Status, kind: type[Event]) -> None:
    wanted = ALLOWED.get((status, kind))
    if wanted is None:
        with pytest.raises(TaskIsClosed, match=str(status)):
            after(status, ONE_OF_EACH[kind])
    else:
        assert after(status, ONE_OF_EACH[kind]) is wanted


def test_a_final_status_is_left_by_going_back_to_a_checkpoint_and_by_nothing_else() -> None:
    for status in Status:
        assert (set(TRANSITIONS[status]) == {TaskRewound}) == status.is_final


def test_what_runs_is_not_taken_back_under_its_runner() -> None:
    assert {status for status in Status if TaskRewound in TRANSITIONS[status]} == {W, C, F, X}


def test_several_events_happen_in_turn_or_not_at_all() -> None:
    started, asked = ONE_OF_EACH[AttemptStarted], ONE_OF_EACH[ReviewRequested]
    assert after(Status.PENDING, started, asked) is Status.WAITING_FOR_REVIEW
    assert after(Status.PENDING) is Status.PENDING
    with pytest.raises(TaskIsClosed):
        after(Status.PENDING, asked, started)


def test_the_refusal_is_for_people() -> None:
    with pytest.raises(TaskIsClosed, match=r"^The task is completed, so this cannot happen any more\.$"):
        after(Status.COMPLETED, ONE_OF_EACH[TaskCancelled])
