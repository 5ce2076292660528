"""This replica among several on one PostgreSQL database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from core.model import Replica
from core.store import replicas
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from core.model import TaskId
    from core.ports import Clock
    from core.store.database import Database
    from core.store.placing import Placing


UNCOVERED = 1_000
"""Tasks that one sweep leaves to jobs; the next comes in seconds."""


class ReplicaRows(Lanes):
    """Implements `core.ports.SharedWorkStore` but for what any work has, and `core.ports.TimeStore`."""

    def __init__(self, database: Database, clock: Clock, *, replica: str | None = None) -> None:
        super().__init__(database, clock, replica=replica)
        self._known_as: Replica | None = None
        self._watch = replicas.Watch()

    @property
    def replica(self) -> str:
        """The id of this one. Raises `RuntimeError` where the store was opened for the only one."""
        return self._place.replica

    @property
    def _place(self) -> Placing:
        if self._placing is None:
            raise RuntimeError("This store belongs to no replica.")
        return self._placing

    def ask_for_room(self, has_room: Callable[[], bool]) -> None:
        """Ask that, in any thread, before this replica is made the holder of work that is stored."""
        self._place.has_room = has_room

    def is_left_to_a_job(self, task: TaskId) -> bool:
        """Of the commit that listeners are being told of."""
        return task in self._commits.left

    def describe(self, *, name: str, release: str, configuration: str) -> None:
        """What the others are to be told of this one, when it is enlisted."""
        self._known_as = Replica(id=self.replica, name=name, release=release, configuration=configuration)

    async def enlist(self, worker: int) -> None:
        """Make known which Procrastinate worker's heartbeat is this replica's."""
        known_as = self._known_as or Replica(id=self.replica, name="", release="", configuration="")
        self._watch.begin(await self._write.run(partial(replicas.enlist, me=known_as, worker=worker)))

    async def reconfigure(self, configuration: str) -> None:
        if self._known_as is not None:
            self._known_as = replace(self._known_as, configuration=configuration)
        await self._write.run(partial(replicas.reconfigure, me=self.replica, configuration=configuration))

    async def others(self) -> Sequence[Replica]:
        """The replicas that live but this one."""
        return await self._read.run(partial(replicas.others, me=self.replica))

    async def time(self) -> tuple[datetime, float, float]:
        return await self._read.run(replicas.time)

    async def beaten(self, worker: int) -> bool:
        """This replica's heartbeat was stored; whether others know it as that."""
        at = await self._read.run(partial(replicas.last_beat, me=self.replica, worker=worker))
        if at is not None:
            self._watch.go_on(at)
        return at is not None

    async def may_judge(self) -> bool:
        return await self._read.run(
            partial(replicas.may_judge, me=self.replica, since=self._watch.since, last=self._watch.last)
        )

    async def take(self, task: TaskId) -> bool:
        """Become the holder of a task with stored work, unless another that lives is; whether this one is."""
        return await self._write.run(
            partial(
                replicas.take, me=self.replica, task_id=task, since=self._watch.since, last=self._watch.last
            )
        )

    async def uncovered(self) -> Sequence[tuple[TaskId, int]]:
        return await self._read.run(
            partial(
                replicas.uncovered,
                me=self.replica,
                since=self._watch.since,
                last=self._watch.last,
                limit=UNCOVERED,
            )
        )

    async def leave(self, task: TaskId) -> None:
        """Hold the task no more; a sweep finds it."""
        await self._write.run(partial(replicas.leave, me=self.replica, task_id=task))

    async def bury(self) -> None:
        await self._write.run(replicas.bury)

    async def retire(self) -> None:
        """Leave what this replica holds to jobs, and forget it."""
        await self._write.run(partial(replicas.retire, me=self.replica))
