"""Whatever happens to a source: who may decide is whom its last answer named, for as long as that is good."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest

from core.errors import Forbidden, Unavailable
from core.model import PersonId, ReviewId
from countersign.composition import flows
from countersign.configuration import configuration
from countersign.outside import Keeper
from countersign.reloading import FIRST_ANSWERS, Live, Reloader
from tests.world import eventually, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from core.store.database import Database
    from countersign.sources import Source
    from tests.world import StoppedClock, World

NAMES = ("ana", "ben", "cy", "eve", "fay")
STALE = timedelta(minutes=15)
"""What holds where the file says nothing; it is asked every 5 minutes."""
FILE = (
    "".join(f'[people.{name}]\nname = "{name.title()}"\n' for name in (*NAMES, "sam"))
    + '[groups.legal]\nurl = "http://localhost:9/legal"\n[groups.all]\ngroups = ["legal"]\n'
    + '[policies.default]\nreviewers = ["all", "eve"]\napprovals = { all = 5, eve = 1 }\n'
)
STARTS, STEPS = 3, 25


class Lists:
    """A source that answers or does not, and notes when it answered what."""

    def __init__(self, clock: StoppedClock) -> None:
        self.clock = clock
        self.names: tuple[str, ...] = ("ana",)
        self.is_up = True
        self.last: tuple[datetime, tuple[str, ...]] | None = None

    async def ask(self, source: Source) -> tuple[str, ...]:
        assert source.group == "legal"
        if not self.is_up:
            raise Unavailable("down", retry_after=timedelta(0))
        self.last = self.clock.now(), self.names
        return self.names

    @property
    def good(self) -> set[str]:
        if self.last is None or self.clock.now() - self.last[0] >= STALE:
            return set()
        return set(self.last[1])


@dataclass
class Running:
    """One start of the server."""

    world: World
    keeper: Keeper
    reloader: Reloader
    clock: StoppedClock

    async def step(self, chance: Random, lists: Lists) -> None:
        """Something happens: to the list, to the source, to the file, or only to the time."""
        match chance.randrange(6):
            case 0 | 1:
                lists.names = tuple(chance.sample(NAMES, chance.randrange(len(NAMES) + 1)))
            case 2:
                lists.is_up = not lists.is_up
            case 3:
                assert await self.reloader.reload()
        for _ in range(chance.randrange(12)):
            self.clock.advance(seconds=chance.choice([30, 60, 90]))
            await self.at_rest()

    async def at_rest(self) -> None:
        """Whatever is due is asked, and put in force."""

        async def quiet() -> bool:
            await self.world.store.next_timer()
            return self.keeper.is_at_rest

        await eventually(quiet)

    async def may(self, review: str) -> set[str]:
        """Who is not refused for who they are."""
        found = set()
        for name in NAMES:
            try:
                await self.world.service.check_may_decide(review, PersonId(name))
            except Forbidden:
                continue
            found.add(name)
        return found


@asynccontextmanager
async def started(
    file: Path, database: Database, clock: StoppedClock, lists: Lists
) -> AsyncIterator[Running]:
    """As `serve` puts it together."""
    live = Live(configuration(file, {}))
    now = live.configuration
    known = flows(now)
    async with (
        Keeper(live.read.outside, lists.ask, clock) as keeper,
        whole_core(database, clock, flows=known, people=now.people, in_force=now.policies) as world,
        asyncio.TaskGroup() as tasks,
    ):
        await keeper.answered(FIRST_ANSWERS)
        live.replace(live.read, keeper.members())
        reloader = Reloader(
            lambda: configuration(file, {}), live, known, world.service, look=list, keeper=keeper
        )
        running = tasks.create_task(keeper.run(reloader.members_changed))
        yield Running(world, keeper, reloader, clock)
        running.cancel()


@pytest.mark.parametrize("number", range(6))
async def test_who_may_decide_is_whom_the_last_good_answer_names(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock, number: int
) -> None:
    chance, lists = Random(number), Lists(clock)  # noqa: S311 - to be repeatable
    file = tmp_path / "countersign.toml"
    file.write_text(FILE)
    reviews: list[ReviewId] = []
    seen: set[frozenset[str]] = set()
    for _ in range(STARTS):
        lists.last = None
        async with started(file, sqlite_database, clock, lists) as server:
            await server.at_rest()
            for _ in range(STEPS):
                if chance.random() < 0.2:
                    task = await server.world.submit("x")
                    reviews.append(await server.world.open_review(task.id))
                await server.step(chance, lists)
                for review in reviews:
                    assert await server.may(review) == lists.good | {"eve"}
                seen.add(frozenset(lists.good))
    assert len(seen) > 3
