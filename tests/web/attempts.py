"""A house whose tasks say themselves what each attempt is to be, so that a second one differs as wanted."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from core.definitions import definition
from core.inforce import InForce
from core.model import Verdict
from tests.web.policy_house import POLICIES, PolicyHouse
from tests.world import ANA, EVE, flow_settings, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AsyncExitStack

    from core.model import Json, Person
    from core.store.database import Database
    from tests.world import StoppedClock


async def told(task_input: Json, shared: Mapping[str, Json]) -> Json:
    """The input is the drafts, one for each attempt; the last one serves for all after it."""
    assert isinstance(task_input, list)
    attempt = shared["attempt"]
    assert isinstance(attempt, int)
    return task_input[min(attempt, len(task_input)) - 1]


class Attempts(PolicyHouse):
    """Each of `POLICIES` has a flow of its name; `default`'s is `draft`."""

    async def rejected(
        self,
        *drafts: Json,
        comment: str | None = "Name the date, please",
        flow: str = "draft",
        by: tuple[Person, ...] = (ANA,),
    ) -> tuple[str, str]:
        """A task of Sam's whose attempt before the last of the drafts was rejected; and its open review."""
        task = await self.world.submit(list(drafts), flow=flow, title="Opening hours")
        for attempt in range(1, len(drafts)):
            review = await self.open_review(task.id, attempt)
            for person in by:
                await self.service.decide(review, person.id, Verdict.REJECT, comment=comment, via="web")
        return task.id, await self.open_review(task.id, len(drafts))


@asynccontextmanager
async def house_of_attempts(
    database: Database, clock: StoppedClock, stack: AsyncExitStack
) -> AsyncIterator[Attempts]:
    names = {"draft" if name == "default" else name: name for name in POLICIES}
    flows = {
        name: definition(
            flow_settings(name, policy=policy, processor="python:tests.web.attempts:told"), POLICIES, None
        )
        for name, policy in names.items()
    }
    in_force = dict(POLICIES)
    known = InForce(in_force)  # as a server has them, which reads them anew
    async with whole_core(database, clock, flows=flows, in_force=known, admins=(EVE.id,)) as world:
        made = Attempts(world, stack, in_force)
        await made.start(WebSettings(port=0))
        yield made
