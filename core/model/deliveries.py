"""What is shown to whom, and whether it was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from core.model.history import StoredEvent
    from core.model.names import ChannelName, DeliveryId, MessageRef, ReviewId, TaskId
    from core.model.reviews import ReviewRequest
    from core.model.tasks import Task


class DeliveryState(StrEnum):
    """Whether a card reached its recipient."""

    DUE = "due"
    SENT = "sent"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A place in a channel: a Slack channel id, a Telegram chat id, a webhook's URL."""

    channel: ChannelName
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A stored event with its task, as a webhook or a thread in chat tells it."""

    task: Task
    event: StoredEvent
    review: ReviewRequest | None = None
    """In a chat, the review that the event is about, as it stands now; of the end, the task's last one."""
    to_submitter: bool = False
    """Whether it tells whoever handed the task in, in a chat, how it ended."""
    is_answered: bool = False
    """Whether it tells a question that has its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One card (or one notice) to one recipient.

    A card is due again whenever what it should show is newer than what it shows: `version` counts what
    should be shown, `shown` what was. So edits of one card coalesce, and keep their order.
    """

    id: DeliveryId
    task: TaskId
    review: ReviewId | None
    """The review whose card this is; None for a notice."""
    event_seq: int
    """The event that a notice tells, or that opened the card's review."""
    recipient: Recipient
    state: DeliveryState
    message: MessageRef | None
    version: int
    shown: int
    tries: int
    """Failed tries since the last success."""
    due_at: datetime | None
    """When to show it next; None while there is nothing to do."""
    failing_since: datetime | None
    """The first failure or postponement since the last success."""
    error: str | None
    """The last failure since the last success."""
    is_retired: bool = False
    """Whether a newer card of the same review stands in for it: it can only be looked at."""
