"""A task's checkpoints: looked at, and resumed from, in place or as a fork."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from core.errors import Invalid, NotAnAdmin
from core.ids import new_id
from core.model import TaskId
from core.submissions import MAX_NAME, check_json, check_text, checked_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from core.flow import FlowDefinition
    from core.model import Fork, Json, Person, PersonId, StoredCheckpoint, Task
    from core.ports import CheckpointStore

log = structlog.get_logger()

CHECKPOINTS = 100
"""The most at a time: each may hold megabytes."""


class Checkpoints:
    """What web calls."""

    def __init__(
        self,
        store: CheckpointStore,
        flows: Mapping[str, FlowDefinition],
        *,
        known: Callable[[PersonId], Person],
        may_resume: Callable[[PersonId], bool],
    ) -> None:
        """`known` raises for somebody whom the configuration lacks."""
        self._store = store
        self._flows = flows
        self._known = known
        self._may_resume = may_resume

    async def of_task(
        self, task_id: str, *, before: int | None = None, limit: int = CHECKPOINTS
    ) -> Sequence[StoredCheckpoint]:
        """A task's newest checkpoints below the number `before`, oldest first, each with its whole state.

        They are fewer than `limit` where their states are large; where there are no more, they reach down to
        0, the task as submitted. Raises `NotFound`.
        """
        most = max(1, min(limit, CHECKPOINTS))
        return await self._store.checkpoints(checked_id(task_id, "task"), before=before, limit=most)

    async def one(self, task_id: str, number: int) -> StoredCheckpoint:
        """Raises `NotFound`."""
        return await self._store.checkpoint(checked_id(task_id, "task"), number)

    async def forks(self, task_id: str) -> Sequence[Fork]:
        """The newest hundred tasks that were made of checkpoints of this one, oldest first. Raises `NotFound`
        for an id that is none."""
        return await self._store.forks(checked_id(task_id, "task"))

    async def resume(
        self,
        task_id: str,
        person: PersonId,
        *,
        checkpoint: int,
        state: Mapping[str, Json] | None = None,
        node: str | None = None,
        fork: bool = False,
        key: str | None = None,
    ) -> Task:
        """Go on from a checkpoint: in place, or with `fork` as a new task of this person's.

        `state` is laid over the checkpoint's, key by key; `node` is where to go on instead of where the
        flow went. In place what came after is superseded, and open reviews among it are closed. This can
        lead past reviews, so it is for those whom `[admins]` lists. A request that is repeated with the same
        idempotency `key` does nothing again.
        Raises `NotFound`, `NotAnAdmin`, `TaskIsRunning`, `Invalid`, `KeyReused`, `Unavailable`.
        """
        if not self._may_resume(person):
            raise NotAnAdmin("Only those whom [admins] lists may resume a task from a checkpoint.")
        edits = dict(state or {})
        check_text(key, "Idempotency-Key", MAX_NAME)
        check_json(edits, "state")
        task = await self._store.task(checked_id(task_id, "task"))
        await self._check_goes_on(task, checkpoint, node)
        by = self._known(person)
        if fork:
            made = await self._store.fork(
                task_id, number=checkpoint, edits=edits, node=node, by=by, child=TaskId(new_id()), key=key
            )
        else:
            made = await self._store.rewind(
                task_id, number=checkpoint, edits=edits, node=node, by=by, key=key
            )
        log.info("task_resumed", task_id=task_id, checkpoint=checkpoint, by=person, into=made.id)
        return made

    async def _check_goes_on(self, task: Task, checkpoint: int, node: str | None) -> None:
        """Raise `Invalid` where the task would fail at once: the flow, or the node to go on with, is gone."""
        if task.flow not in self._flows:
            raise Invalid(f"The flow {task.flow!r} is not configured any more.")
        graph = self._flows[task.flow].graph
        places, known = graph.places, ", ".join(sorted(graph.named()))
        if node is not None and node not in places:
            raise Invalid(f"The flow {task.flow!r} has no node {node!r}; it has: {known}.")
        following = (await self._store.checkpoint(task.id, checkpoint)).following if node is None else None
        if following is not None and following not in places:
            raise Invalid(
                f"Checkpoint {checkpoint} leads to {following!r}, and the flow {task.flow!r} has no node of "
                f"that name any more; name the `node` to go on with. It has: {known}."
            )
