"""The life of a task as one table: status and event give the next status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import TaskIsClosed
from core.events import (
    ActionUnmatched,
    AttemptStarted,
    ClaimEnded,
    DecisionRecorded,
    DecisionsCarried,
    DecisionsDropped,
    DecisionWithdrawn,
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
from core.model import Status

if TYPE_CHECKING:
    from core.events import Event

TRANSITIONS: dict[Status, dict[type[Event], Status]] = {
    Status.PENDING: {
        TaskForked: Status.PENDING,
        AttemptStarted: Status.RUNNING,
        TaskFailed: Status.FAILED,
        TaskCancelled: Status.CANCELLED,
    },
    Status.RUNNING: {
        AttemptStarted: Status.RUNNING,
        TaskResumed: Status.RUNNING,
        NodeRetried: Status.RUNNING,
        NodeFinished: Status.RUNNING,
        ActionUnmatched: Status.RUNNING,
        ProgressReported: Status.RUNNING,
        TextStreamed: Status.RUNNING,
        ReviewRequested: Status.WAITING_FOR_REVIEW,
        TaskCompleted: Status.COMPLETED,
        TaskFailed: Status.FAILED,
        TaskCancelled: Status.CANCELLED,
    },
    Status.WAITING_FOR_REVIEW: {
        DecisionRecorded: Status.WAITING_FOR_REVIEW,
        DecisionWithdrawn: Status.WAITING_FOR_REVIEW,
        DecisionsCarried: Status.WAITING_FOR_REVIEW,
        DecisionsDropped: Status.WAITING_FOR_REVIEW,
        ReviewerReminded: Status.WAITING_FOR_REVIEW,
        ReviewClaimed: Status.WAITING_FOR_REVIEW,
        ClaimEnded: Status.WAITING_FOR_REVIEW,
        ReminderSnoozed: Status.WAITING_FOR_REVIEW,
        QuestionAsked: Status.WAITING_FOR_REVIEW,
        QuestionAnswered: Status.WAITING_FOR_REVIEW,
        ReviewEscalated: Status.WAITING_FOR_REVIEW,
        ReviewStuck: Status.WAITING_FOR_REVIEW,
        ReviewApproved: Status.RUNNING,
        ReviewRejected: Status.RUNNING,
        ReviewExpired: Status.RUNNING,
        ReviewEdited: Status.RUNNING,
        TaskRewound: Status.RUNNING,
        TaskFailed: Status.FAILED,
        TaskCancelled: Status.CANCELLED,
    },
    # Final for the flow and for reviewers; only somebody who resumes it from a checkpoint goes on.
    Status.COMPLETED: {TaskRewound: Status.RUNNING},
    Status.FAILED: {TaskRewound: Status.RUNNING},
    Status.CANCELLED: {TaskRewound: Status.RUNNING},
}


def after(status: Status, *events: Event) -> Status:
    """The status once `events` have happened in turn; raises `TaskIsClosed` where one cannot happen."""
    for event in events:
        try:
            status = TRANSITIONS[status][type(event)]
        except KeyError:
            raise TaskIsClosed(_refusal(status)) from None
    return status


def _refusal(status: Status) -> str:
    """For the person who asked for the change."""
    if status.is_final:
        return f"The task is {status}, so this cannot happen any more."
    return f"The task is {status}; this cannot happen now."
