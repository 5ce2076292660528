"""A task's events as they are stored, and as they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from core.events import Event
    from core.model.names import TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """A numbered fact about one task; `seq` starts at 1 and rises by 1."""

    task: TaskId
    seq: int
    at: datetime
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What a follower of a task learns at once."""

    events: Sequence[StoredEvent]
    """In their order; at least one."""
    is_last: bool
    """Whether nothing comes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is told of a task's events to whoever comes to look."""

    seq: int
    """The newest event's number; 0 where there is no such task."""
    turns: tuple[StoredEvent, ...]
    """Reviews that were asked, decisions, resumes and forks."""
    said: tuple[StoredEvent, ...]
    """Progress and text since the last event of another kind: what the node at work has said lately."""
