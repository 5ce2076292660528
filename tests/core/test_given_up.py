"""A segment that a defect ended says where its task stood then: what was moved on since is not failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.defects import Broke
from core.flow import FlowRunner
from core.store.sql import SqlStore
from tests.contracts.steps import submitted
from tests.world import THEIRS, draft_flows

if TYPE_CHECKING:
    from core.model import Step
    from core.store.database import Database
    from tests.world import StoppedClock


class Breaking(SqlStore):
    """Takes so many steps."""

    left = 0
    refused = 0

    async def step(self, step: Step) -> int:
        if not self.left:
            self.refused += 1
            raise ZeroDivisionError("a defect")
        self.left -= 1
        return await super().step(step)


@pytest.mark.parametrize("steps", [0, 1])  # as its node begins, and as its review is opened
async def test_a_defect_tells_at_which_version_its_task_was_left(
    sqlite_database: Database, clock: StoppedClock, steps: int
) -> None:
    async with Breaking(sqlite_database, clock) as store:
        task = await submitted(store)
        before = await store.position(task.id)
        assert before is not None
        store.left = steps
        with pytest.raises(Broke) as broke:
            await FlowRunner(store, draft_flows(processor=THEIRS), clock).run(task.id)
        assert broke.value.version == before.version + steps
        assert type(broke.value.__cause__) is ZeroDivisionError, "it was no node's, which is tried again"
        assert store.refused == 1
