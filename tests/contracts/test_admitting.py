"""Members of groups from outside come into open reviews, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from core.errors import NotAReviewer
from core.events import ReviewApproved, ReviewEscalated
from core.model import Escalation, Outcome, Policy, Quorum
from tests.contracts.steps import decide, fired, recorded, waiting
from tests.world import ANA, BEN, CY, EVE

if TYPE_CHECKING:
    from core.store.sql import SqlStore
    from tests.world import StoppedClock

LEGAL = Policy(name="legal", reviewers=(), outside=("legal",))
BOTH = Policy(
    name="both",
    reviewers=(CY.id,),
    approvals=2,
    stages=(
        (
            Quorum(name="legal", people=(), approvals=1, outside=("legal",)),
            Quorum(name="ops", people=(CY.id,), approvals=1),
        ),
    ),
    outside=("legal",),
)


async def test_who_comes_in_may_decide_on_what_is_open(store: SqlStore) -> None:
    review = await waiting(store, LEGAL)
    today = {"legal": replace(LEGAL, reviewers=(ANA.id,))}
    _, refusal = await decide(store, review, policies=today)
    assert isinstance(refusal, NotAReviewer)
    assert await store.admit({"legal": [ANA.id]}) == 1
    assert await store.admit({"legal": [ANA.id]}) == 0
    assert await store.waiting_for(ANA.id, everybody=False, policies=today, limit=9) != []
    found = await recorded(store, review, policies=today)
    assert (found.outcome, found.policy.reviewers) == (Outcome.APPROVED, (ANA.id,))


async def test_only_into_the_quorums_of_their_group(store: SqlStore) -> None:
    review = await waiting(store, BOTH)
    assert await store.admit({"legal": [ANA.id], "other": [BEN.id]}) == 1
    ((legal, ops),) = (await store.review(review)).policy.stages
    assert (legal.people, ops.people) == ((ANA.id,), (CY.id,))


async def test_a_closed_review_stays_what_it_was_and_so_does_one_without_such_groups(store: SqlStore) -> None:
    plain = await waiting(store)
    closed = await waiting(store, replace(LEGAL, reviewers=(BEN.id,)))
    await recorded(store, closed, BEN)
    assert await store.admit({"legal": [ANA.id], "default": [EVE.id]}) == 0
    assert (await store.review(closed)).policy.reviewers == (BEN.id,)
    assert EVE.id not in (await store.review(plain)).policy.reviewers


async def test_nor_does_a_closed_one_change_where_an_open_one_has_the_same_policy(store: SqlStore) -> None:
    policy = replace(LEGAL, reviewers=(BEN.id,))
    closed, still_open = await waiting(store, policy), await waiting(store, policy)
    await recorded(store, closed, BEN)
    assert await store.admit({"legal": [ANA.id]}) == 1
    assert (await store.review(closed)).policy.reviewers == (BEN.id,)
    assert (await store.review(still_open)).policy.reviewers == (BEN.id, ANA.id)


async def test_nobody_is_taken_away(store: SqlStore) -> None:
    review = await waiting(store, replace(LEGAL, reviewers=(BEN.id,)))
    assert await store.admit({"legal": []}) == 0
    assert await store.admit({"legal": [ANA.id]}) == 1
    assert (await store.review(review)).policy.reviewers == (BEN.id, ANA.id)


async def test_who_is_asked_by_an_escalation_may_come_from_outside(
    store: SqlStore, clock: StoppedClock
) -> None:
    wider = Escalation(after=timedelta(hours=1), outside=("board",))
    review = await waiting(store, replace(BOTH, escalation=wider))
    assert await store.admit({"board": [EVE.id]}) == 1
    clock.advance(hours=1)
    await fired(store)
    escalated = await store.review(review)
    assert escalated.is_escalated
    assert all(EVE.id in quorum.people for quorum in escalated.policy.stages[0])
    assert await store.admit({"board": [BEN.id]}) == 1
    assert all(BEN.id in quorum.people for quorum in (await store.review(review)).policy.stages[0])
    events = [stored.event for stored in await store.events(escalated.task.id, 0)]
    assert [event.ids for event in events if isinstance(event, ReviewEscalated)] == [[EVE.id]]


async def test_a_word_that_counts_again_closes_what_it_decides(store: SqlStore) -> None:
    policy = replace(LEGAL, name="two", reviewers=(ANA.id, BEN.id), approvals=2, keeps_removed=False)
    review = await waiting(store, policy)
    gone = {"two": replace(policy, reviewers=(BEN.id,))}
    await recorded(store, review, ANA, policies={"two": policy})
    assert (await recorded(store, review, BEN, policies=gone)).outcome is Outcome.OPEN
    await store.mark_stuck([review])
    due = await store.due_timers(9)
    for timer in due:
        assert await store.fire(timer, policies={"two": policy}, people={})
    found = await store.review(review)
    assert (found.outcome, len(found.decisions)) == (Outcome.APPROVED, 2)
    events = [stored.event for stored in await store.events(found.task.id, 0)]
    assert isinstance(events[-1], ReviewApproved)
