"""Tasks as they are handed in, listed and followed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.errors import Overloaded
from core.store import history, steps, submissions, tasks
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.model import PersonId, StoredEvent, Story, Submission, Task, TaskFilter, TaskId, TaskPage
    from core.ports import Sequel


SUBMISSIONS_WAITING = 1_000
"""Submissions are refused while so many units wait for the writer, long before decisions are: each may
hold a megabyte, and a reviewer's answer is worth more than the next task."""


class TaskRows(Lanes):
    """Implements `core.ports.EventStore`, and what `core.ports.Store` says of whole tasks."""

    async def create(
        self,
        task_id: TaskId,
        submission: Submission,
        *,
        title: str,
        name: str,
        sequel: Sequel | None = None,
    ) -> tuple[Task, bool]:
        if self._write.waiting >= SUBMISSIONS_WAITING:
            raise Overloaded("Too many tasks are being submitted at once; try again.")
        return await self._write.run(
            partial(
                submissions.create, task_id=task_id, new=submission, title=title, name=name, sequel=sequel
            )
        )

    async def task(self, task_id: str) -> Task:
        return await self._read.run(partial(tasks.one, task_id=task_id))

    async def tasks(self, wanted: TaskFilter, *, cursor: tuple[int, str] | None, limit: int) -> TaskPage:
        return await self._read.run(partial(tasks.page, wanted=wanted, cursor=cursor, limit=limit))

    async def cancel(self, task_id: str, person: PersonId, *, admin_name: str | None = None) -> Task:
        return await self._write.run(
            partial(steps.cancel, task_id=task_id, person=person, admin_name=admin_name)
        )

    async def events(self, task_id: str, after: int) -> Sequence[StoredEvent]:
        return await self._read.run(partial(history.events_after, task=task_id, after=after))

    async def last_numbers(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, int]:
        return await self._read.run(partial(history.last_numbers, tasks=task_ids))

    async def story(self, task_id: str) -> Story:
        return await self._read.run(partial(history.story, task=task_id))
