"""Stored work: where a runner takes a task up, and how it moves it on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import recovery, replicas, reviews, steps, tasks
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from core.model import Json, Position, Step, TaskId


class WorkRows(Lanes):
    """Implements `core.ports.FlowStore`, and `core.ports.WorkStore` but for `forget_old`."""

    async def position(self, task_id: str) -> Position | None:
        """Where a runner takes the task up; None where no work is stored for it, or another replica holds it.

        Just after a submission or decision it is known without a read. Should another server have moved
        the task on since, the runner's first step is refused, as any overtaken one.
        """
        known = self._commits.positions.pop(task_id, None)
        if known is not None:
            return known
        replica = None if self._placing is None else self._placing.replica
        return await self._read.run(partial(tasks.position, task_id=task_id, replica=replica))

    async def step(self, step: Step) -> int:
        """The task's new version. Raises `StaleRun` where something else moved it on."""
        self._commits.positions.pop(step.task, None)
        return await self._write.run(partial(steps.store_step, step=step))

    async def fail(self, task_id: str, error: str, *, version: int | None = None) -> None:
        """End a task that cannot be run; one that has ended stays as it is.

        Raises `StaleRun` where it is not at this `version` any more: something else moved it on.
        """
        await self._write.run(partial(steps.fail, task_id=task_id, error=error, version=version))

    async def last_approved(self, task_id: str) -> Json:
        """What the task's last approved review approved; None where there is none."""
        return await self._read.run(partial(reviews.last_approved, task_id=task_id))

    async def recover(self) -> Sequence[str]:
        """Once at start: count the nodes found begun, and fail the tasks of those found so three times."""
        return await self._write.run(recovery.recover)

    async def put_back(self) -> None:
        """Once at a stop in good order: `recover` is not to count the nodes that are begun."""
        await self._write.run(recovery.put_back)

    async def runnable(self) -> Sequence[tuple[TaskId, datetime | None]]:
        """Every task with stored work that is to be run here, oldest first, and when (None: now)."""
        if self._placing is not None:
            return await self._read.run(partial(replicas.held, me=self._placing.replica))
        return await self._read.run(tasks.runnable)
