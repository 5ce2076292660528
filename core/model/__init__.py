"""The words of the workflow as values. All times are aware and in UTC.

Each is imported from here; where they stand is for readers:
    names.py people.py              ids, channels, JSON; who hands in and who decides
    tasks.py checkpoints.py         a piece of work; where it stands in its flow
    policies.py flows.py            what the configuration says of reviews and of flows
    reviews.py decisions.py         an attempt before reviewers; one reviewer's answer
    questions.py timers.py          what else happens to a review that waits
    history.py deliveries.py        what is told of a task; what is shown to whom
    chats.py                        what a chat platform sends; what is asked of one person there
    replicas.py texts.py            one of several processes; how values are written
"""

from __future__ import annotations

from core.model.chats import Asks, ChatUpdate, Dialog
from core.model.checkpoints import Checkpoint, Point, Position, Step, StoredCheckpoint, cause_of
from core.model.decisions import Decision, NewDecision, Verdict
from core.model.deliveries import Delivery, DeliveryState, Notice, Recipient
from core.model.flows import FlowSettings, ModelEndpoint
from core.model.history import Piece, StoredEvent, Story
from core.model.names import (
    ABSENCES,
    LEASES,
    LOCAL,
    LOCAL_NAME,
    TIMERS,
    TRACEPARENT,
    ChannelName,
    DeliveryId,
    Json,
    MessageRef,
    PersonId,
    QuestionId,
    ReviewId,
    TaskId,
)
from core.model.people import Credential, Delegation, Person, name_of
from core.model.policies import (
    Assurance,
    Escalation,
    OnExpiry,
    Party,
    Policy,
    Quorum,
    ReasonRule,
    WorkingHours,
)
from core.model.questions import NewQuestion, Question, Reply
from core.model.replicas import Hint, Replica
from core.model.reviews import Answer, Claim, Earlier, NewReview, OpenReview, Outcome, ReviewRequest, Snooze
from core.model.tasks import FINAL, Fork, Status, Submission, Task, TaskFilter, TaskPage
from core.model.texts import clock_name, text_of, timestamp
from core.model.timers import Timer, TimerKind

__all__ = [
    "ABSENCES",
    "FINAL",
    "LEASES",
    "LOCAL",
    "LOCAL_NAME",
    "TIMERS",
    "TRACEPARENT",
    "Answer",
    "Asks",
    "Assurance",
    "ChannelName",
    "ChatUpdate",
    "Checkpoint",
    "Claim",
    "Credential",
    "Decision",
    "Delegation",
    "Delivery",
    "DeliveryId",
    "DeliveryState",
    "Dialog",
    "Earlier",
    "Escalation",
    "FlowSettings",
    "Fork",
    "Hint",
    "Json",
    "MessageRef",
    "ModelEndpoint",
    "NewDecision",
    "NewQuestion",
    "NewReview",
    "Notice",
    "OnExpiry",
    "OpenReview",
    "Outcome",
    "Party",
    "Person",
    "PersonId",
    "Piece",
    "Point",
    "Policy",
    "Position",
    "Question",
    "QuestionId",
    "Quorum",
    "ReasonRule",
    "Recipient",
    "Replica",
    "Reply",
    "ReviewId",
    "ReviewRequest",
    "Snooze",
    "Status",
    "Step",
    "StoredCheckpoint",
    "StoredEvent",
    "Story",
    "Submission",
    "Task",
    "TaskFilter",
    "TaskId",
    "TaskPage",
    "Timer",
    "TimerKind",
    "Verdict",
    "WorkingHours",
    "cause_of",
    "clock_name",
    "name_of",
    "text_of",
    "timestamp",
]
