"""Under which policies what is open was last looked over, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from core.model import Policy
from core.store.sql import SqlStore
from tests.world import ANA, BEN

if TYPE_CHECKING:
    from core.store.database import Database
    from tests.world import StoppedClock

ONE, TWO = Policy(name="one", reviewers=(ANA.id,)), Policy(name="two", reviewers=(ANA.id, BEN.id))
BOTH = {"one": ONE, "two": TWO}


async def test_what_is_new_gone_or_changed_has_to_be_looked_at(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        assert await store.policies_changed(BOTH, ()) is None, "nothing is known of before"
        await store.looked_over(BOTH, ())
        assert await store.policies_changed(BOTH, ()) == frozenset()
        changed = {"one": replace(ONE, reviewers=(BEN.id,)), "three": replace(TWO, name="three")}
        assert await store.policies_changed(changed, ()) == frozenset({"one", "two", "three"})
        await store.looked_over(changed, ())
        assert await store.policies_changed(changed, ()) == frozenset()
        assert await store.policies_changed(BOTH, ()) == frozenset({"one", "two", "three"})


async def test_it_outlives_the_process(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        await store.looked_over(BOTH, ())
    async with SqlStore(any_database, clock) as again:
        assert await again.policies_changed(BOTH, ()) == frozenset()


async def test_what_is_not_known_yet_is_left_alone(any_database: Database, clock: StoppedClock) -> None:
    """Who is in a group from outside may come to be known some time after the start."""
    async with SqlStore(any_database, clock) as store:
        await store.looked_over(BOTH, ("two",))
        assert await store.policies_changed(BOTH, ()) == frozenset({"two"})
        assert await store.policies_changed(BOTH, ("two",)) == frozenset()
        await store.looked_over(BOTH, ())
        wider = {"one": ONE, "two": replace(TWO, reviewers=(ANA.id,))}
        assert await store.policies_changed(wider, ("two",)) == frozenset()
        await store.looked_over(wider, ("two",))
        assert await store.policies_changed(wider, ()) == frozenset({"two"}), "it was not looked at"


async def test_what_is_to_be_looked_at_again_has_changed_for_every_later_look(
    any_database: Database, clock: StoppedClock
) -> None:
    """A policy that is gone, too: what is open under it is nobody's to decide."""
    async with SqlStore(any_database, clock) as store:
        await store.looked_over(BOTH, ())
        only = {"one": ONE}
        await store.looked_over(only, (), again=("two",))
        assert await store.policies_changed(only, ()) == frozenset({"two"})
        assert await store.policies_changed(BOTH, ()) == frozenset({"two"})
        await store.looked_over(BOTH, ("two",), again=("one", "two"))
        assert await store.policies_changed(BOTH, ("two",)) == frozenset({"one"})
        await store.looked_over(BOTH, ())
        assert await store.policies_changed(BOTH, ()) == frozenset()
