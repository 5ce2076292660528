"""core/gathering.py: what could not be stored for want of the database is gathered still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.defects import Broke
from core.errors import StaleRun, StoreUnavailable
from core.events import AttemptStarted
from core.gathering import Gathering
from core.model import Checkpoint
from core.store.sql import SqlStore
from tests.contracts.steps import submitted

if TYPE_CHECKING:
    from core.model import Json, Step
    from core.store.database import Database
    from tests.world import StoppedClock


class Faulty:
    """A store that notes what it is to keep, once its faults are over."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = [*faults]
        self.steps: list[Step] = []

    async def step(self, step: Step) -> int:
        if self.faults:
            raise self.faults.pop(0)
        self.steps.append(step)
        return step.version + 1

    async def last_approved(self, task_id: str) -> Json:
        raise NotImplementedError


async def gathered(database: Database, clock: StoppedClock, store: Faulty) -> Gathering:
    async with SqlStore(database, clock) as real:
        position = await real.position((await submitted(real)).id)
    assert position is not None
    made = Gathering(store, position)
    made.note(AttemptStarted(attempt=1))
    for number in range(2):
        made.keep(Checkpoint(node=f"n{number}", action=None, attempt=1, state="{}"))
    return made


async def test_an_outage_is_no_defect_and_loses_nothing(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    store = Faulty(StoreUnavailable("locked"), StaleRun("overtaken"), ValueError("a defect"))
    made = await gathered(sqlite_database, clock, store)
    for refused in (StoreUnavailable, StaleRun, Broke):
        with pytest.raises(refused):
            await made.store(1, "n1")
    await made.store(1, "n1")
    await made.store(1, "n2")
    first, second = store.steps
    assert [one.node for one in first.checkpoints] == ["n0", "n1"]
    assert [*first.events] == [AttemptStarted(attempt=1)]
    assert (second.checkpoints, second.events, second.version) == ((), (), first.version + 1)
    assert second.first_checkpoint == first.first_checkpoint + 2
    assert second.seq == first.seq + 1
