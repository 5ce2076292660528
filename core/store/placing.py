"""Where work goes that a unit of work stores: to this replica while it has room, else to a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Placing:
    """Of one replica. Units ask it in the store's threads, the engine on the event loop."""

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.has_room: Callable[[], bool] = lambda: False
        """Before there is an engine there is none to run anything."""
        self._away: set[str] = set()

    def hold(self, task: str) -> bool:
        """Whether this replica is to be the holder of the task's work.

        All units of a group see the same room, so that an engine may get a group more than it has.
        """
        holds = self.has_room()
        if holds:
            self._away.discard(task)
        else:
            self._away.add(task)
        return holds

    def went_away(self, task: str) -> bool:
        """Whether the task's work was left to a job last; forgets it."""
        went = task in self._away
        self._away.discard(task)
        return went
