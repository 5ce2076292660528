"""One of several processes on one database, and what it hears of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.model.names import ChannelName, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What other replicas did, as far as it is known: a reason to look at what is stored, never the truth."""

    tasks: frozenset[TaskId] = frozenset()
    """Those that moved."""
    cancelled: frozenset[TaskId] = frozenset()
    """Those of them that nobody is to run any more."""
    due: frozenset[ChannelName] = frozenset()
    """As `Listener.committed` has it."""
    groups: frozenset[str] = frozenset()
    """Groups of people that changed where they are kept, as their platform calls them."""
    is_whole: bool = True
    """False where hints were lost: anything may have moved, and anything may be due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One of several processes on one database."""

    id: str
    name: str
    """For people: where it runs."""
    release: str
    configuration: str
    """A mark of what all are to be configured alike."""
