"""Facts about one task, in the past tense. Their stored names and fields are a public contract."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from core.model import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSubmitted:
    """The task is stored and will run."""

    submitter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """Attempt 1 began, or a rejection led to the next."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResumed:
    """Work goes on after a review, in the same attempt."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRetried:
    """A node failed and will run again; `retry` counts from 1."""

    node: str
    retry: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished:
    """A node did its work, or a review's own `apply` did; its checkpoint has that number."""

    node: str
    action: str | None
    checkpoint: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionUnmatched:
    """A node's action has no successor, so the flow ends, as PocketFlow ends it."""

    node: str
    action: str
    choices: list[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReported:
    """A node at work says how far it is; `fraction` from 0 to 1, or None where it cannot say."""

    node: str
    fraction: float | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStreamed:
    """More of the text that a node is making; the pieces of one visit, in order, are the whole."""

    node: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRewound:
    """Somebody resumed the task from a checkpoint; what came after that is superseded.

    `edited` names the keys of the state that they changed.
    """

    checkpoint: int
    node: str | None
    attempt: int
    by: str
    by_name: str
    edited: list[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskForked:
    """This task was made of a checkpoint of another one, `parent`."""

    parent: str
    checkpoint: int
    by: str
    by_name: str
    edited: list[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequested:
    """An attempt was put before reviewers; everything that a decision needs is stored."""

    review: str
    attempt: int
    draft: Json
    node: str | None = None
    """Where in its flow, and why there: one of `Point`. The first release did not store them."""
    point: str | None = None
    policy: str | None = None
    """By name, and by the hash that `countersign policy check` and explain give. Older rows have neither."""
    policy_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecorded:
    """One reviewer answered. Whether that closes the review, the next event says."""

    review: str
    reviewer: str
    reviewer_name: str
    verdict: str
    comment: str | None
    via: str
    content: Json = None
    """What an edit put in place of the draft; `diff` says what it changed (None: too long to tell)."""
    diff: str | None = None
    person: str | None = None
    """For whom, where a delegate decided; None is for themselves."""
    person_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionWithdrawn:
    """A reviewer took their answer back, or gave another one in the next event; the review is open still."""

    review: str
    reviewer: str
    reviewer_name: str
    via: str
    by: str | None = None
    """Who took it back, where that is not who gave it: a delegate, or for whom a delegate decided."""
    by_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsCarried:
    """Approvals of the attempt before count for this review, too, by its policy."""

    review: str
    reviewers: list[Json]
    """Their names."""
    decisions: list[Json] = field(default_factory=list)
    """What they said, each with the fields of `DecisionRecorded` and `at`. Older rows have only the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsDropped:
    """Answers that did not count when the review closed: of people who are no reviewers any more."""

    review: str
    people: list[Json]
    """Names of those whose answers they were, also where a delegate gave them."""
    ids: list[Json]
    """Who they are in the configuration, in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewerReminded:
    """Those who have not decided were reminded of an open review."""

    review: str
    attempt: int
    people: list[Json]
    """Names of who is asked; at least one of them can decide now."""
    ids: list[Json] = field(default_factory=list)
    """Who they are in the configuration, in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewClaimed:
    """Somebody is looking at an open review, or still is. It binds nobody, and their own decision ends it.

    `until` is RFC 3339 in UTC, as everywhere.
    """

    review: str
    attempt: int
    person: str
    person_name: str
    until: str
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEnded:
    """Somebody looks no more: they said so (`released`), or their time is over (`expired`)."""

    review: str
    person: str
    person_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderSnoozed:
    """Somebody wants to be reminded of an open review then, and not before; None: with everybody again."""

    review: str
    person: str
    person_name: str
    until: str | None
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAsked:
    """A reviewer wants to know something of the submitter before deciding; the review stays open.

    `submitter` and `submitter_name` say who is asked.
    """

    review: str
    attempt: int
    question: str
    text: str
    person: str
    person_name: str
    submitter: str
    submitter_name: str
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswered:
    """What the submitter, or an administrator in their place, said to a question.

    `asked_by` and `asked_by_name` say who wanted to know.
    """

    review: str
    attempt: int
    question: str
    text: str
    person: str
    person_name: str
    asked_by: str
    asked_by_name: str
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewEscalated:
    """More people may decide on an open review; `reason` is one sentence."""

    review: str
    attempt: int
    people: list[Json]
    reason: str
    ids: list[Json] = field(default_factory=list)
    """As of `ReviewerReminded`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewStuck:
    """An open review can be met by nobody any more; `reason` is one sentence."""

    review: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewApproved:
    """The review event: enough reviewers approved."""

    review: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRejected:
    """The review event: a reviewer rejected."""

    review: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewExpired:
    """The review event: nobody decided in time. `outcome` is what the policy makes of that."""

    review: str
    attempt: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewEdited:
    """The review event: an edit that others have yet to approve; it is the next attempt's draft."""

    review: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted:
    """The flow ended. After a rejection the result is None."""

    final_result: Json
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """The task ended without a result; `error` is one sentence."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelled:
    """Somebody called the task off: its submitter, or an administrator, who is named."""

    by: str
    by_name: str | None = None


Event: TypeAlias = (
    TaskSubmitted
    | AttemptStarted
    | TaskResumed
    | NodeRetried
    | NodeFinished
    | ActionUnmatched
    | ProgressReported
    | TextStreamed
    | TaskRewound
    | TaskForked
    | ReviewRequested
    | DecisionRecorded
    | DecisionWithdrawn
    | DecisionsCarried
    | DecisionsDropped
    | ReviewerReminded
    | ReviewClaimed
    | ClaimEnded
    | ReminderSnoozed
    | QuestionAsked
    | QuestionAnswered
    | ReviewEscalated
    | ReviewStuck
    | ReviewApproved
    | ReviewRejected
    | ReviewExpired
    | ReviewEdited
    | TaskCompleted
    | TaskFailed
    | TaskCancelled
)

EVENTS: tuple[type[Event], ...] = (
    TaskSubmitted,
    AttemptStarted,
    TaskResumed,
    NodeRetried,
    NodeFinished,
    ActionUnmatched,
    ProgressReported,
    TextStreamed,
    TaskRewound,
    TaskForked,
    ReviewRequested,
    DecisionRecorded,
    DecisionWithdrawn,
    DecisionsCarried,
    DecisionsDropped,
    ReviewerReminded,
    ReviewClaimed,
    ClaimEnded,
    ReminderSnoozed,
    QuestionAsked,
    QuestionAnswered,
    ReviewEscalated,
    ReviewStuck,
    ReviewApproved,
    ReviewRejected,
    ReviewExpired,
    ReviewEdited,
    TaskCompleted,
    TaskFailed,
    TaskCancelled,
)

FINAL: tuple[type[Event], ...] = (TaskCompleted, TaskFailed, TaskCancelled)
"""After one of these nothing happens to a task any more, unless somebody resumes it from a checkpoint."""


def kind(event: Event | type[Event]) -> str:
    """The stored name: `ReviewRequested` is `review_requested`."""
    return _KINDS[event if isinstance(event, type) else type(event)]


_KINDS = {cls: re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower() for cls in EVENTS}
