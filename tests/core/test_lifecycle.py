"""The life of a task, walked whole."""

from __future__ import annotations

import pytest

from core.errors import TaskIsClosed
from core.events import (
    EVENTS,
    AttemptStarted,
    DecisionRecorded,
    Event,
    NodeRetried,
    ReviewApproved,
    ReviewRejected,
    ReviewRequested,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskResumed,
    TaskSubmitted,
)
from core.lifecycle import TRANSITIONS, after
from core.model import Status

ONE_OF_EACH: dict[type[Event], Event] = {
    TaskSubmitted: TaskSubmitted(submitter="sam"),
    AttemptStarted: AttemptStarted(attempt=1),
    TaskResumed: TaskResumed(attempt=1),
    NodeRetried: NodeRetried(node="n", retry=1, error="e"),
    ReviewRequested: ReviewRequested(review="r", attempt=1, draft="d"),
    DecisionRecorded: DecisionRecorded(
        review="r", reviewer="ana", reviewer_name="Ana", verdict="approve", comment=None, via="web"
    ),
    ReviewApproved: ReviewApproved(review="r", attempt=1),
    ReviewRejected: ReviewRejected(review="r", attempt=1),
    TaskCompleted: TaskCompleted(final_result="x", outcome="approved"),
    TaskFailed: TaskFailed(error="e"),
    TaskCancelled: TaskCancelled(by="sam"),
}
P, R, W, C, F, X = Status
ALLOWED = {
    (P, AttemptStarted): R,
    (P, TaskFailed): F,
    (P, TaskCancelled): X,
    (R, AttemptStarted): R,
    (R, TaskResumed): R,
    (R, NodeRetried): R,
    (R, ReviewRequested): W,
    (R, TaskCompleted): C,
    (R, TaskFailed): F,
    (R, TaskCancelled): X,
    (W, DecisionRecorded): W,
    (W, ReviewApproved): R,
    (W, ReviewRejected): R,
    (W, TaskFailed): F,
    (W, TaskCancelled): X,
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


def test_nothing_follows_a_final_status_and_something_every_other() -> None:
    for status in Status:
        assert bool(TRANSITIONS[status]) != status.is_final


def test_several_events_happen_in_turn_or_not_at_all() -> None:
    started, asked = ONE_OF_EACH[AttemptStarted], ONE_OF_EACH[ReviewRequested]
    assert after(Status.PENDING, started, asked) is Status.WAITING_FOR_REVIEW
    assert after(Status.PENDING) is Status.PENDING
    with pytest.raises(TaskIsClosed):
        after(Status.PENDING, asked, started)


def test_the_refusal_is_for_people() -> None:
    with pytest.raises(TaskIsClosed, match=r"^The task is completed; nothing can change it any more\.$"):
        after(Status.COMPLETED, ONE_OF_EACH[TaskCancelled])
