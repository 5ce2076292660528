"""What a task is resumed from, in place or as a fork."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import checkpoints, resuming, tasks
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.model import Fork, Json, Person, StoredCheckpoint, Task, TaskId


class CheckpointRows(Lanes):
    """Implements `core.ports.CheckpointStore` but for the task itself."""

    async def checkpoints(
        self, task_id: str, *, before: int | None, limit: int
    ) -> Sequence[StoredCheckpoint]:
        """The newest below `before`, oldest first, down to 0, the task as submitted. Raises `NotFound`."""
        return await self._read.run(
            lambda tx: checkpoints.of_task(tx, tasks.one(tx, task_id), before=before, limit=limit)
        )

    async def checkpoint(self, task_id: str, number: int) -> StoredCheckpoint:
        return await self._read.run(lambda tx: checkpoints.one(tx, tasks.one(tx, task_id), number))

    async def rewind(
        self,
        task_id: str,
        *,
        number: int,
        edits: Mapping[str, Json],
        node: str | None,
        by: Person,
        key: str | None = None,
    ) -> Task:
        return await self._write.run(
            partial(resuming.rewind, task_id=task_id, number=number, edits=edits, node=node, by=by, key=key)
        )

    async def fork(
        self,
        task_id: str,
        *,
        number: int,
        edits: Mapping[str, Json],
        node: str | None,
        by: Person,
        child: TaskId,
        key: str | None = None,
    ) -> Task:
        return await self._write.run(
            partial(
                resuming.fork,
                task_id=task_id,
                number=number,
                edits=edits,
                node=node,
                by=by,
                child=child,
                key=key,
            )
        )

    async def forks(self, task_id: str) -> Sequence[Fork]:
        """The newest of those made of this task, oldest first."""
        return await self._read.run(partial(resuming.forks, task_id=task_id))
