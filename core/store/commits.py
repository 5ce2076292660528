"""What is told of commits, on the event loop, and what is kept of them for a moment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from core.defects import defect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from core.model import ChannelName, Hint, Position, StoredEvent
    from core.ports import Listener

log = structlog.get_logger()

POSITIONS = 128
"""Positions kept; each holds its task's input and state, and more than run at once are not needed."""


class Commits:
    """Of one process, and as far as it knows of those of other replicas."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self.positions: dict[str, Position] = {}
        """Of tasks that were just given work and are most likely taken up at once."""
        self.left: AbstractSet[str] = frozenset()
        """Tasks whose work was left to a job by the commit that is being told of."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Undone by the result."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def tell(
        self,
        events: Sequence[StoredEvent],
        due: set[ChannelName],
        positions: Sequence[Position],
        left: AbstractSet[str],
    ) -> None:
        newest = {str(event.task): event.seq for event in events}
        for task in newest:
            self.positions.pop(task, None)
        # In one group a task may have been moved on again, and a runner would be refused with the older.
        now = [position for position in positions if newest.get(position.task.id) == position.seq]
        for position in now[: POSITIONS - len(self.positions)]:
            self.positions[position.task.id] = position
        self.left = left
        for listener in tuple(self._listeners):
            try:
                listener.committed(events, due)
            except Exception as error:  # noqa: BLE001 - who waits for an answer must get it: what is told here is stored
                log.error("listener_broke", listener=type(listener).__name__, **defect(error))
        self.left = frozenset()

    def overhear(self, hint: Hint) -> None:
        if hint.is_whole:
            for task in hint.tasks:
                self.positions.pop(task, None)
        else:
            self.positions.clear()
        for listener in tuple(self._listeners):
            try:
                listener.heard(hint)
            except Exception as error:  # noqa: BLE001 - the others are to hear it all the same
                log.error("listener_broke", listener=type(listener).__name__, **defect(error))
