"""A house whose flows ask as policies can: in stages, with reasons, by a deadline."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from core.definitions import definition
from core.model import Assurance, Escalation, OnExpiry, Party, Policy, Quorum, ReasonRule
from tests.web.web_house import House
from tests.world import ANA, BEN, CY, DESK, EVE, PEOPLE, SAM, flow_settings, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AsyncExitStack

    from core.store.database import Database
    from tests.world import StoppedClock

LEGAL = Quorum(name="legal", people=(ANA.id, BEN.id), approvals=1)
OPS = Quorum(name="ops", people=(CY.id,), approvals=1)
STAGED = Policy(
    name="staged",
    reviewers=(ANA.id, BEN.id, CY.id),
    approvals=2,
    stages=((LEGAL,), (OPS,)),
    deadline=timedelta(hours=8),
    reminders=(timedelta(hours=1),),
    on_expiry=OnExpiry.REJECT,
)
POLICIES = {
    policy.name: policy
    for policy in (
        Policy(name="default", reviewers=(ANA.id,)),
        Policy(name="two", reviewers=(ANA.id, BEN.id, CY.id), approvals=2),
        Policy(name="alone", reviewers=(BEN.id,)),
        STAGED,
        Policy(
            name="why",
            reviewers=(ANA.id,),
            reason=ReasonRule.ON_REJECT,
            quick_reasons=("Too long", 'Say "so"'),
        ),
        Policy(name="edited", reviewers=(ANA.id, BEN.id), distinct_from=(Party.SUBMITTER, Party.EDITOR)),
        Policy(name="stuck", reviewers=(ANA.id, SAM.id), approvals=2),
        Policy(name="always", reviewers=(ANA.id,), reason=ReasonRule.ALWAYS),
        Policy(name="confirm", reviewers=(ANA.id,), assurance=Assurance.CONFIRM),
        Policy(name="destructive", reviewers=(ANA.id,), destructive=True),
        Policy(name="veto", reviewers=(ANA.id, BEN.id, CY.id), rejections=2),
        Policy(
            name="late",
            reviewers=(ANA.id,),
            deadline=timedelta(hours=8),
            on_expiry=OnExpiry.APPROVE,
        ),
        Policy(name="dropping", reviewers=(ANA.id, BEN.id, CY.id), approvals=2, keeps_removed=False),
        Policy(
            name="wider",
            reviewers=(ANA.id, BEN.id),
            approvals=2,
            deadline=timedelta(hours=8),
            escalation=Escalation(after=timedelta(hours=2), people=(EVE.id,), recipients=(DESK,)),
        ),
    )
}


@dataclass
class PolicyHouse(House):
    """With time that a test moves on, and policies that it changes."""

    in_force: dict[str, Policy]

    async def later(self, hours: float) -> None:
        """So much later; what fell due on open reviews has happened."""
        clock: StoppedClock = self.world.clock  # type: ignore[assignment]  # the fixture's own
        clock.advance(timedelta(hours=hours))
        for timer in await self.world.store.due_timers(20):
            await self.world.store.fire(timer, policies=POLICIES, people=PEOPLE)


@asynccontextmanager
async def policy_house(
    database: Database, clock: StoppedClock, stack: AsyncExitStack
) -> AsyncIterator[PolicyHouse]:
    flows = {
        "draft" if name == "default" else name: definition(
            flow_settings("draft" if name == "default" else name, policy=name), POLICIES, None
        )
        for name in POLICIES
    }
    in_force = dict(POLICIES)
    async with whole_core(database, clock, flows=flows, in_force=in_force, admins=(EVE.id,)) as world:
        made = PolicyHouse(world, stack, in_force)
        await made.start(WebSettings(port=0))
        yield made
