"""Where a task stands in its flow: what is stored of it, and what a runner stores next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from core.events import Event
    from core.model.deliveries import Recipient
    from core.model.names import Json, TaskId
    from core.model.reviews import NewReview, ReviewRequest
    from core.model.tasks import Status, Task


class Point(StrEnum):
    """What a task does, or waits for, at the node where it stands."""

    RUN = "run"
    REVIEW = "review"
    """A ReviewNode that parked."""
    BEFORE = "before"
    """Parked by `interrupt_before`, or sent there with the word that it may go on."""
    AFTER = "after"
    """Parked by `interrupt_after`: the node has run, and its action is in the last checkpoint."""
    INSIDE = "inside"
    """The node itself asked for a review, and runs again with the answer."""
    LEAVE = "leave"
    """A nested flow whose nodes have run and whose `post` has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is stored after a node: enough to go on from there."""

    node: str
    action: str | None
    attempt: int
    state: str
    """The `shared` dict as JSON text."""
    following: str | None = None
    """The node to go on with; None where the flow ends."""
    point: Point = Point.RUN
    """What is to be done there."""
    frames: str | None = None
    """What `prep` of each flow around that node returned, outermost first, as JSON text; None: nothing."""
    cause: str = ""
    """What led to this run of the node, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint as it can be looked at and resumed from."""

    task: TaskId
    number: int
    """From 1; 0 is the task as submitted, before its first node."""
    node: str | None
    action: str | None
    attempt: int
    state: Mapping[str, Json]
    following: str | None
    point: Point
    cause: str
    at: datetime
    schema: int
    parent: int | None
    """The checkpoint that it followed; None for number 0."""
    superseded: bool
    """On a branch that was left by resuming from an earlier checkpoint."""
    changes: Mapping[str, tuple[Json, Json]]
    """The keys of the state that differ from the parent's, with the value there and here (None: absent)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a task with stored work stands, as a runner takes it up."""

    task: Task
    version: int
    """Rises with every stored change of the task: what a runner's next `Step` compares with."""
    seq: int
    """The number of the task's newest event."""
    node: str | None
    """The node to go on with, as a path through nested flows (`outer/inner`); None is the flow's start."""
    point: Point = Point.RUN
    action: str | None = None
    """Of the last checkpoint."""
    frames: tuple[Json, ...] = ()
    """What `prep` of each flow around `node` returned, outermost first."""
    cause: str = ""
    """Why the task goes on, where a person or a submission is the reason."""
    state: Mapping[str, Json] | None
    """The `shared` dict after the last checkpoint; None before the first."""
    checkpoints: int
    schema: int = 1
    """Of how the state was stored."""
    begun: bool
    """`node` was begun and not finished: by a crash, or because it runs somewhere."""
    starts: int
    """How many starts of the service in a row found this node begun."""
    tries: int
    """How often this node failed."""
    due_at: datetime | None
    """Not to be run earlier."""
    review: ReviewRequest | None
    """The closed review that `node` asked for, whose outcome is to be applied."""
    answers: tuple[ReviewRequest, ...] = ()
    """The closed reviews that this visit of the node asked for, in order; `review` is the last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a runner stores in one transaction; `StaleRun` unless `version` is still the task's."""

    task: TaskId
    version: int
    seq: int
    """The number of the newest event at `version`; that of the first of `events` is one more."""
    status: Status
    """The task's status after `events`."""
    callback_url: str | None = None
    """The task's; it hears of what the events say."""
    tell: Recipient | None = None
    """The task's; it hears of the last one."""
    checkpoints: tuple[Checkpoint, ...] = ()
    first_checkpoint: int
    """The number of the first of `checkpoints`; they count from 1."""
    events: tuple[Event, ...] = ()
    attempt: int
    node: str | None
    """Where the flow goes on; None once it ended."""
    point: Point = Point.RUN
    begun: bool = False
    starts: int = 0
    tries: int = 0
    due_at: datetime | None = None
    review: NewReview | None = None
    """The review that a `ReviewRequested` among the events opens."""


def cause_of(node: str, action: str | None) -> str:
    """Why a node runs that another's action led to, as a checkpoint says it."""
    return f"{node}: {action or 'default'}"
