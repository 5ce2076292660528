"""Under which policies what is open was last looked over, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from core import reconsidering
from core.model import LOCAL, Policy, Submission, TaskId, TimerKind
from core.reconsidering import Reconsidering
from core.store.sql import SqlStore
from tests.contracts.steps import new_id, parked, recorded, submitted, waiting
from tests.world import ANA, BEN, DESK, PATIENCE, eventually

if TYPE_CHECKING:
    import pytest

    from core.store.database import Database
    from core.store.transaction import Transaction
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
        assert await store.policies_changed(BOTH, ()) == frozenset(), "what was noted of it stays"


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
        await store.looked_over(BOTH, ("two",), again=("one", "two"))
        assert await store.policies_changed(BOTH, ()) == frozenset({"one"}), "of two stays noted what was"


async def test_while_others_judge_otherwise_cards_are_shown_anew_for_what_changed_here_alone(
    any_database: Database, clock: StoppedClock
) -> None:
    """Else a group that people come to and leave would have all cards changed each time."""
    in_force = {
        name: Policy(
            name=name, reviewers=(ANA.id, BEN.id), approvals=2, recipients=(DESK,), keeps_removed=False
        )
        for name in ("one", "two")
    }
    async with SqlStore(any_database, clock) as store:
        opened = {name: await waiting(store, policy) for name, policy in in_force.items()}
        for review in opened.values():
            await recorded(store, review, policies=in_force)

        async def versions() -> dict[str, int]:
            tasks = {name: (await store.review(review)).task.id for name, review in opened.items()}
            return {name: (await store.deliveries(task))[0].version for name, task in tasks.items()}

        before = await versions()
        looking = Reconsidering(store, policies=in_force)
        await looking.unsettle()
        await looking.look_over(changed_here={"one"}, settles=False)
        assert await versions() == {"one": before["one"] + 1, "two": before["two"]}
        await looking.look_over()
        assert await versions() == {"one": before["one"] + 2, "two": before["two"] + 1}, "once they do not"


async def test_while_others_judge_otherwise_a_first_look_is_to_be_taken_once_more(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        looking = Reconsidering(store, policies=BOTH)
        await looking.look_over(settles=False)
        assert await store.policies_changed(BOTH, ()) == frozenset(BOTH)
        await looking.look_over()
        assert not await looking.is_due()


async def test_whether_a_look_is_due_is_asked_without_a_transaction_that_may_write(
    any_database: Database, clock: StoppedClock
) -> None:
    """Every replica asks every five seconds, and PostgreSQL gives such a one a number, and logs its end."""
    async with SqlStore(any_database, clock) as store:
        looking = Reconsidering(store, policies=BOTH)
        assert await looking.is_due()
        await looking.look_over()
        before = sum(store.lanes["write"].groups.counts)
        assert not await looking.is_due()
        assert await Reconsidering(store, policies={"one": ONE}).is_due()
        assert not await Reconsidering(store, policies={"one": ONE}).is_due(besides={"two"})
        assert sum(store.lanes["write"].groups.counts) == before


async def test_what_changed_here_waits_too_until_it_is_known_who_is_in_it(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        await waiting(store, TWO)
        await store.looked_over(BOTH, ())
        now = Reconsidering(store, policies={"one": ONE, "two": replace(TWO, reviewers=())})
        assert await now.look_over(besides={"two"}, changed_here={"two"}) == 0
        assert await now.look_over(changed_here={"two"}) == 1


async def test_what_was_handed_in_at_the_machine_is_its_to_decide_whoever_is_named(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        new = Submission(input="x", submitter=LOCAL, flow="draft")
        task, _ = await store.create(TaskId(new_id()), new, title="x", name="local")
        review = await parked(store, task.id, ONE)
        now = Reconsidering(store, policies={"one": replace(ONE, reviewers=())})
        assert await now.look_over() == 0
        assert await store.timers(review) == []


async def test_pages_on_which_no_review_is_concerned_are_turned(
    any_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconsidering, "AT_A_TIME", 2)
    async with SqlStore(any_database, clock) as store:
        for policy in (ONE, ONE, ONE, TWO):
            await waiting(store, policy)
            clock.advance(seconds=1)
        now = Reconsidering(store, policies={"one": ONE, "two": replace(TWO, reviewers=())})
        assert await now.under({"two"}) == 1


async def test_what_was_about_to_be_opened_under_the_old_policy_is_looked_at_too(
    any_database: Database, clock: StoppedClock
) -> None:
    """A segment has asked for its policy in the moment before another is in force."""
    async with SqlStore(any_database, clock) as store:
        await store.looked_over({"one": ONE}, ())
        task = await submitted(store)
        begun, go = threading.Event(), threading.Event()

        def hold(_: Transaction) -> None:
            begun.set()
            go.wait(PATIENCE)

        holding = asyncio.ensure_future(store._write.run(hold))
        await asyncio.to_thread(begun.wait, PATIENCE)
        opening = asyncio.ensure_future(parked(store, task.id, ONE))
        await eventually(partial(_waiting, store, 1))
        now = Reconsidering(store, policies={"one": replace(ONE, reviewers=())})
        looking = asyncio.ensure_future(now.look_over())
        await eventually(partial(_waiting, store, 2))
        go.set()
        await asyncio.gather(holding, looking)
        assert [timer.kind for timer in await store.timers(await opening)] == [TimerKind.STUCK]


async def _waiting(store: SqlStore, many: int) -> bool:
    return store._write.waiting >= many
