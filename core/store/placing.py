"""Where work goes that a unit of work stores: to this replica while it has room, else to a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Placing:
    """Of one replica. Units ask it in the store's threads.

    All units of a group see the same room, so that an engine may get a group more than it has.
    """

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.has_room: Callable[[], bool] = lambda: False
        """Before there is an engine there is none to run anything."""
