"""What falls due on open reviews."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import firing, timers
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from core.model import Person, PersonId, Policy, Timer


class TimerRows(Lanes):
    """Implements `core.ports.TimerStore`, and the timers of one review."""

    async def due_timers(self, limit: int) -> Sequence[Timer]:
        return await self._read.run(partial(timers.due, limit=limit))

    async def next_timer(self) -> datetime | None:
        return await self._read.run(timers.next_due)

    async def timers(self, review_id: str) -> Sequence[Timer]:
        return await self._read.run(partial(timers.of_review, review=review_id))

    async def fire(
        self, timer: Timer, *, policies: Mapping[str, Policy], people: Mapping[PersonId, Person]
    ) -> bool:
        return await self._write.run(partial(firing.fire, timer=timer, policies=policies, people=people))
