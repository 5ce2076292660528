"""What is to happen to a review that waits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from core.model.names import ReviewId


class TimerKind(StrEnum):
    """What falls due."""

    REMINDER = "reminder"
    ESCALATION = "escalation"
    EXPIRY = "expiry"
    STUCK = "stuck"
    """The review can be met by nobody; due as soon as that is known."""
    CLAIM = "claim"
    """The first of those who are looking has looked long enough; one for a review, as is the next."""
    SNOOZE = "snooze"
    """The first of those who put their reminder off is to be reminded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Something that is to happen to an open review; `number` tells those of one kind apart, from 1."""

    review: ReviewId
    kind: TimerKind
    number: int
    due_at: datetime
