"""Cards name no longer who was struck from a policy, on either database: which are shown anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.model import Policy
from core.reconsidering import Reconsidering
from core.store.sql import SqlStore
from tests.contracts.steps import waiting
from tests.world import ANA, BEN, CY, DESK, SAM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.model import ReviewId
    from core.store.database import Database
    from tests.world import StoppedClock

ONE = Policy(name="one", reviewers=(ANA.id, BEN.id), recipients=(DESK,))
TWO = replace(ONE, name="two")
MANY = replace(ONE, name="many", reviewers=(ANA.id, BEN.id, CY.id), approvals=2)
ALL = {policy.name: policy for policy in (ONE, TWO, MANY)}
STRUCK = replace(ONE, reviewers=(ANA.id,))


@dataclass
class Server:
    """One process: what its file says, and when it looks at what is open."""

    store: SqlStore
    in_force: dict[str, Policy] = field(default_factory=lambda: dict(ALL))

    def __post_init__(self) -> None:
        self.looking = Reconsidering(self.store, policies=self.in_force)

    async def reads(self, *policies: Policy, settles: bool = True) -> None:
        """The file says this of those policies from now on."""
        changed = {policy.name for policy in policies if self.in_force.get(policy.name) != policy}
        self.in_force.update({policy.name: policy for policy in policies})
        await self.looking.look_over(changed_here=changed if settles else (), settles=settles)


@dataclass
class Cards:
    """A card of each policy, and which were raised since one looked last."""

    store: SqlStore
    reviews: dict[str, ReviewId]
    seen: dict[str, int] = field(default_factory=dict)

    async def raised(self) -> list[str]:
        now = {}
        for name, review in self.reviews.items():
            task = (await self.store.review(review)).task.id
            (card,) = [one for one in await self.store.deliveries(task) if one.review is not None]
            now[name] = card.version
        before, self.seen = self.seen, now
        return [name for name in now if now[name] != before.get(name, 1)]


@pytest.fixture
async def cards(any_database: Database, clock: StoppedClock) -> AsyncIterator[Cards]:
    """Open reviews under policies that were looked over once."""
    async with SqlStore(any_database, clock) as store:
        made = {name: await waiting(store, policy) for name, policy in ALL.items()}
        await store.looked_over(ALL, ())
        yield Cards(store, made)


async def test_only_the_cards_of_which_somebody_was_struck_are_shown_anew_and_once(cards: Cards) -> None:
    server = Server(cards.store)
    await server.reads(*ALL.values())
    assert await cards.raised() == []
    await server.reads(STRUCK)
    assert await cards.raised() == ["one"]
    await server.reads(STRUCK)
    await server.looking.look_over()
    assert await cards.raised() == []


async def test_so_are_they_once_somebody_is_back(cards: Cards) -> None:
    server = Server(cards.store)
    await server.reads(STRUCK)
    await cards.raised()
    await server.reads(ONE)
    assert await cards.raised() == ["one"]


async def test_who_is_new_in_a_policy_and_when_it_reminds_changes_no_open_card(cards: Cards) -> None:
    server = Server(cards.store)
    await server.reads(replace(ONE, reviewers=(ANA.id, BEN.id, CY.id)))
    await server.reads(replace(ONE, reminders=(timedelta(hours=1),)))
    await server.reads(replace(ONE, reviewers=(BEN.id, ANA.id)))
    assert await cards.raised() == []
    await server.reads(STRUCK)
    await cards.raised()
    await server.reads(replace(STRUCK, reminders=(timedelta(hours=1),)))
    assert await cards.raised() == [], "nor of one that was struck before"


async def test_a_review_that_becomes_stuck_and_one_whose_policy_is_gone_are_shown_anew(cards: Cards) -> None:
    server = Server(cards.store)
    await server.reads(replace(MANY, reviewers=(SAM.id,)))
    del server.in_force["two"]
    await server.looking.look_over()
    assert await cards.raised() == ["two", "many"]
    await server.reads(TWO)
    assert await cards.raised() == ["two"]


async def test_a_start_shows_what_the_file_says_otherwise_than_before_it(cards: Cards) -> None:
    await Server(cards.store, ALL | {"one": STRUCK}).looking.look_over()
    assert await cards.raised() == ["one"]
    await Server(cards.store, ALL | {"one": STRUCK}).looking.look_over()
    await Server(
        cards.store, ALL | {"one": STRUCK, "two": replace(TWO, reminders=(timedelta(hours=1),))}
    ).looking.look_over()
    assert await cards.raised() == []
    await Server(cards.store, ALL).looking.look_over()
    assert await cards.raised() == ["one", "two"], "whom a process named that is gone, nobody knows"


async def test_of_several_servers_the_last_that_reads_the_file_has_the_cards_shown(cards: Cards) -> None:
    first, second = Server(cards.store), Server(cards.store)
    await first.reads(STRUCK, settles=False)
    assert await cards.raised() == [], "the other may be who shows them"
    await second.reads(STRUCK)
    assert await cards.raised() == ["one"]
    await first.looking.look_over()
    assert await cards.raised() == []


async def test_of_servers_that_are_started_anew_one_after_the_other_too(cards: Cards) -> None:
    await Server(cards.store, ALL | {"one": STRUCK}).looking.look_over(settles=False)
    assert await cards.raised() == []
    await Server(cards.store, ALL | {"one": STRUCK}).looking.look_over()
    assert await cards.raised() == ["one"], "and nothing under what was not changed"
