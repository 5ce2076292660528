"""One process runs all the work of its database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self

import structlog

from core.engines.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.model import TaskId
    from core.ports import Clock, Engine, Runner, WorkStore

log = structlog.get_logger()

FORGET = timedelta(hours=1)
"""How often what is kept for a while only is dropped: that reads whole tables, and decisions wait for it."""


class LocalEngine(Segments):
    """Whatever is stored and runnable is its own."""

    def __init__(
        self,
        runner: Runner,
        store: WorkStore,
        clock: Clock,
        *,
        limit: int = 64,
        grace: Callable[[], timedelta] = timedelta,
    ) -> None:
        super().__init__(runner, store, clock, limit=limit, grace=grace)
        self._work = store
        self._forget_at = clock.now()
        self._is_counted = False
        """Whether what was found begun has been counted, and was not taken up yet."""

    async def __aenter__(self) -> Self:
        """What was found begun counts towards being given up; then everything that was left is taken up."""
        for task_id in await self._work.recover():
            log.error("task_failed_as_poison", task_id=task_id)
        self._is_counted = True
        return await super().__aenter__()

    async def _leave(self, tasks: Sequence[TaskId]) -> None:
        if tasks or self._is_counted:
            self._is_counted = False
            await self._work.put_back()

    async def _upkeep(self) -> None:
        self._is_counted = False
        now = self._clock.now()
        if now >= self._forget_at:
            await self._work.forget_old()
            self._forget_at = now + FORGET


if TYPE_CHECKING:
    # The checker's word that it is one.
    _: type[Engine] = LocalEngine
