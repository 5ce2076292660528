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
    TextStreamed,
)
from core.lifecycle import TRANSITIONS, after
from core.model import Status
from tests.core.one_of_each import ONE_OF_EACH

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
