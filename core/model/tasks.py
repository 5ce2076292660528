"""A piece of work: as it is handed in, as it stands, in lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from core.model.checkpoints import Point
from core.model.names import LOCAL, LOCAL_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from core.model.deliveries import Recipient
    from core.model.names import Json, PersonId, ReviewId, TaskId
    from core.model.reviews import Outcome


class Status(StrEnum):
    """Where a task stands. The words are a public contract."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_FOR_REVIEW = "waiting_for_review"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a submitter hands in; `service.submit` checks it."""

    input: Json
    submitter: PersonId
    flow: str | None = None
    """None is the flow `draft`."""
    policy: str | None = None
    """One of those that the flow lets submitters choose; None is the flow's own."""
    title: str | None = None
    """None is the start of the input."""
    on_behalf_of: str | None = None
    callback_url: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    idempotency_key: str | None = None
    """Unique per submitter: the same key again gives the first task, or `KeyReused` if anything differs."""
    tell: Recipient | None = None
    """Where in a chat its submitter is to hear how it ended."""
    traceparent: str | None = None
    """The W3C trace context of the request that it came with, unchecked; only tracing looks at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of work as it stands. `attempt` is 0 until the first one starts."""

    id: TaskId
    flow: str
    title: str
    status: Status
    outcome: Outcome | None
    """That of the last closed review: approved, rejected or expired; None before."""
    attempt: int
    review: ReviewId | None
    """The open review, or None."""
    input: Json
    draft: Json
    """What the last opened review showed; None before."""
    final_result: Json
    error: str | None
    submitter: PersonId
    submitter_name: str
    on_behalf_of: str | None
    callback_url: str | None
    metadata: Mapping[str, Json]
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    """When it completed, failed or was cancelled."""
    parent: TaskId | None = None
    """The task that this one was forked from, at its checkpoint `parent_checkpoint`."""
    parent_checkpoint: int | None = None
    node: str | None = None
    """Where it stands in its flow, and what it does or waits for there."""
    point: Point = Point.RUN
    policy: str | None = None
    """The one that its submitter chose, for reviews whose node names none; None is the flow's."""
    tell: Recipient | None = None
    """Where in a chat its submitter is to hear how it ended."""

    def canceller(self, by: str, by_name: str | None) -> str:
        """The name of who called it off: an administrator's is kept with it; besides them only its submitter
        may, and whoever sits at the machine."""
        return LOCAL_NAME if by == LOCAL else by_name or self.submitter_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A task that was made of a checkpoint of another, as the other's page lists it."""

    task: TaskId
    checkpoint: int
    by_name: str
    status: Status
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks to list; None means any."""

    status: Status | None = None
    submitter: PersonId | None = None
    flow: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Some tasks, newest first, and where the next page begins (None at the end)."""

    tasks: tuple[Task, ...]
    cursor: str | None
