"""What a segment brings, gathered until it is stored: each time in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.defects import Broke
from core.errors import StaleRun, Unavailable
from core.lifecycle import after
from core.model import Point, Step

if TYPE_CHECKING:
    from datetime import datetime

    from core.events import Event
    from core.model import Checkpoint, NewReview, Position
    from core.ports import StepStore


class Gathering:
    """Knows how far the task is stored; the store refuses what something else was quicker than."""

    __slots__ = ("_checkpoints", "_events", "_seq", "_store", "_stored", "_task", "status", "version")

    def __init__(self, store: StepStore, position: Position) -> None:
        self._store = store
        self._task = position.task
        self.version, self._seq = position.version, position.seq
        """As stored; so is that of the task."""
        self._stored = position.checkpoints
        self._checkpoints: list[Checkpoint] = []
        self._events: list[Event] = []
        self.status = position.task.status
        """As stored."""

    @property
    def newest(self) -> int:
        """The number of the task's last checkpoint, stored or still to be."""
        return self._stored + len(self._checkpoints)

    def note(self, *events: Event) -> None:
        """What has happened, in its order."""
        self._events += events

    def keep(self, checkpoint: Checkpoint) -> None:
        self._checkpoints.append(checkpoint)

    async def store(
        self,
        attempt: int,
        node: str | None,
        *,
        point: Point = Point.RUN,
        begun: bool = False,
        starts: int = 0,
        tries: int = 0,
        due_at: datetime | None = None,
        review: NewReview | None = None,
    ) -> None:
        """Store what has gathered since the last time, and where the task stands now.

        Raises `StaleRun`, `Unavailable`, and `Broke` at whatever else: with what has gathered it would again,
        and no node is to be tried again for it.
        """
        step = Step(
            task=self._task.id,
            version=self.version,
            seq=self._seq,
            status=after(self.status, *self._events),
            callback_url=self._task.callback_url,
            tell=self._task.tell,
            checkpoints=tuple(self._checkpoints),
            first_checkpoint=self._stored + 1,
            events=tuple(self._events),
            attempt=attempt,
            node=node,
            point=point,
            begun=begun,
            starts=starts,
            tries=tries,
            due_at=due_at,
            review=review,
        )
        try:
            self.version = await self._store.step(step)
        except (StaleRun, Unavailable):
            raise
        except Exception as error:
            raise Broke(self.version) from error
        self._seq += len(step.events)
        self.status = step.status
        self._stored += len(step.checkpoints)
        self._checkpoints.clear()
        self._events.clear()
