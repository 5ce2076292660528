"""One attempt before its reviewers, and what the flow that asked hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from core.model.checkpoints import Point
from core.model.decisions import Decision, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from core.model.names import Json, PersonId, ReviewId
    from core.model.policies import Policy
    from core.model.tasks import Task
    from core.model.timers import Timer


class Outcome(StrEnum):
    """What the policy makes of all decisions on one review."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    """Closed undecided, because its task was cancelled or taken back; never a task's `outcome`."""
    EDITED = "edited"
    """Closed by an edit that others have yet to approve, in the next attempt; never a task's `outcome`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Somebody is looking at a review, until then. It binds nobody: others may decide meanwhile."""

    person: PersonId
    name: str
    """As it was when they said so."""
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Somebody is not reminded of a review before then, and is then."""

    person: PersonId
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a review, for the flow that asked."""

    review: ReviewId
    outcome: Outcome
    """Approved, rejected or expired."""
    draft: Json
    """What reviewers were shown."""
    content: Json
    """What stands approved: the last edit, or the draft."""
    comment: str | None
    """The last decision's; where several people rejected, all that gave a reason, a line each, with names."""
    reviewers: tuple[str, ...]
    """Names of those who decided, in order."""
    attempt: int
    is_edited: bool
    """Whether `content` is a reviewer's and not what the flow had made."""

    @property
    def is_approved(self) -> bool:
        return self.outcome is Outcome.APPROVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier attempt put before reviewers."""

    attempt: int
    draft: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """One attempt put before reviewers under one policy, as it stands now."""

    id: ReviewId
    task: Task
    attempt: int
    node: str
    policy: Policy
    """As it was when the review opened, widened by its escalation once that has happened."""
    draft: Json
    outcome: Outcome
    opened_at: datetime
    closed_at: datetime | None
    superseded_by: int | None
    """The attempt that replaced this one first: by a review of its own, or by a resume from before it.

    An approval is replaced only where the same is asked anew.
    """
    decisions: tuple[Decision, ...]
    """In the order in which they became durable."""
    previous: Decision | None = None
    """The rejection, or the edit, that led to this attempt, if one did."""
    before_previous: tuple[Decision, ...] = ()
    """The other rejections of the same review, before that one: several may have to reject."""
    point: Point = Point.REVIEW
    """Why the flow asked at `node`."""
    expires_at: datetime | None = None
    """By when it has to be decided."""
    is_escalated: bool = False
    kept: Policy | None = None
    """Where it has escalated, the policy as it was before, which its row keeps."""
    claims: tuple[Claim, ...] = ()
    """Who is looking, whoever began first coming first; one for each person. None once it is closed."""
    snoozes: tuple[Snooze, ...] = ()
    """Who wants to be reminded later; one for each person. None once it is closed."""
    questions: int = 0
    """How many were asked about it."""
    earlier: Earlier | None = None
    """What the same was asked of before, for a card, which shows what has changed; None elsewhere."""
    cancelled_by: str | None = None
    """Name of whom its task was called off by, where that closed it."""
    taken_back_by: str | None = None
    """Name of who resumed its task from before it, where that closed it."""
    next_call: Timer | None = None
    """What next calls people to it, for a card; None elsewhere, or where nothing does (`core.reminding`)."""
    stuck: str | None = None
    """For a card or a thread, that nothing can approve it as things are; None elsewhere, or where something
    can (`core.explaining`)."""
    remedy: str | None = None
    """What helps where it is `stuck`: `do this, or do that`."""

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def is_by_the_clock(self) -> bool:
        """Whether the deadline closed it, and no decision: where it escalates, people may decide after it."""
        closed, end = self.closed_at, self.expires_at
        is_late = closed is not None and end is not None and closed >= end
        return is_late and all(made.at != closed for made in self.decisions)

    @property
    def led(self) -> tuple[Decision, ...]:
        """Every rejection, or the edit, that led to this attempt, oldest first."""
        return () if self.previous is None else (*self.before_previous, self.previous)

    @property
    def edit(self) -> Json:
        """The last edit; None where nobody edited."""
        edits = [decision.content for decision in self.decisions if decision.verdict is Verdict.EDIT]
        return edits[-1] if edits else None

    @property
    def content(self) -> Json:
        """What stands: the edit where one is approved, else the draft."""
        edit = self.edit if self.outcome is Outcome.APPROVED else None
        return self.draft if edit is None else edit


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReview:
    """The open review of a task, for whoever knows the task; and what they saw of it, if they say."""

    task: str
    review: str | None = None
    attempt: int | None = None

    def is_meant(self, review: ReviewRequest) -> bool:
        """Whether that review of the task can be the one they saw."""
        return self.review in {None, review.id} and self.attempt in {None, review.attempt}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReview:
    """A review about to open."""

    id: ReviewId
    policy: Policy
    point: Point = Point.REVIEW
    checkpoint: int = 0
    """The number of the task's last checkpoint before it: which visit of the node asked."""
    is_hopeless: bool = False
    """Whether its policy leaves too few who may decide on this submitter's task."""
