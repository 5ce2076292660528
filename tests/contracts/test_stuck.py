"""Reviews that too few are left for, however they became so: they ask more people, or say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.events import ReviewEscalated, ReviewStuck
from core.model import LOCAL, Escalation, Outcome, Party, Person, Policy, Quorum, Verdict
from tests.contracts.steps import decide, fired, parked, recorded, waiting
from tests.world import ANA, BEN, CY

if TYPE_CHECKING:
    from core.events import Event
    from core.store.sql import SqlStore

BOTH = (Party.SUBMITTER, Party.EDITOR)
ALONE = Policy(name="alone", reviewers=(ANA.id,), distinct_from=BOTH)
WIDER = Escalation(after=timedelta(hours=1), people=(CY.id,))


async def told(store: SqlStore, review: str, *kinds: type[Event]) -> list[type[Event]]:
    task = (await store.review(review)).task.id
    return [type(stored.event) for stored in await store.events(task, 0) if isinstance(stored.event, kinds)]


async def edited(store: SqlStore, policy: Policy, editor: Person = ANA, *approving: Person) -> str:
    """The review that opens because others have to approve somebody's edit."""
    first = await waiting(store, policy)
    for person in approving:
        await recorded(store, first, person)
    closed = await recorded(store, first, editor, Verdict.EDIT, content="another draft")
    assert closed.outcome is Outcome.EDITED
    return await parked(store, closed.task.id, policy, attempt=2, draft="another draft")


async def test_an_edit_that_nobody_but_its_editor_could_approve_says_so(store: SqlStore) -> None:
    review = await edited(store, ALONE)
    assert await fired(store) == [("stuck", 1)]
    assert await told(store, review, ReviewStuck) == [ReviewStuck]
    assert await fired(store) == []


async def test_an_edit_that_nobody_but_its_editor_could_approve_asks_more_people(store: SqlStore) -> None:
    review = await edited(store, replace(ALONE, escalation=WIDER))
    assert await fired(store) == [("stuck", 1)]
    assert await told(store, review, ReviewEscalated, ReviewStuck) == [ReviewEscalated]
    assert (await recorded(store, review, CY)).outcome is Outcome.APPROVED


async def test_an_edit_that_others_can_approve_says_nothing(store: SqlStore) -> None:
    review = await edited(store, replace(ALONE, reviewers=(ANA.id, BEN.id)))
    assert await fired(store) == []
    assert (await recorded(store, review, BEN)).outcome is Outcome.APPROVED


async def test_the_edit_of_an_attempt_before_bars_nobody_once_it_was_rejected(store: SqlStore) -> None:
    policy = replace(ALONE, reviewers=(ANA.id, BEN.id), approvals=2)
    second = await edited(store, policy)
    assert await fired(store) == [("stuck", 1)]
    task = (await recorded(store, second, BEN, Verdict.REJECT)).task.id
    third = await parked(store, task, policy, attempt=3)
    assert await fired(store) == []
    assert await told(store, third, ReviewStuck) == [ReviewStuck], "that of attempt 2"


async def test_one_who_is_left_after_an_edit_is_too_few_for_two_stages(store: SqlStore) -> None:
    """Nothing is carried over Ben's edit, and Ana cannot meet both stages."""
    policy = Policy(
        name="carries",
        reviewers=(ANA.id, BEN.id),
        approvals=2,
        stages=(
            (Quorum(name="first", people=(ANA.id, BEN.id), approvals=1),),
            (Quorum(name="last", people=(ANA.id, BEN.id), approvals=1),),
        ),
        carries=True,
        distinct_from=BOTH,
    )
    review = await edited(store, policy, BEN, ANA)
    assert await fired(store) == [("stuck", 1)]
    assert (await store.review(review)).decisions == ()


async def test_whoever_sits_at_the_machine_is_never_too_few(store: SqlStore) -> None:
    """In open mode the policy's people are not asked."""
    review = await edited(store, ALONE, Person(id=LOCAL, name="local"))
    assert await fired(store) == []
    local = await recorded(store, review, Person(id=LOCAL, name="local"))
    assert local.outcome is Outcome.APPROVED


async def test_an_answer_taken_back_that_cannot_be_given_again_makes_it_known(store: SqlStore) -> None:
    """Ana is struck, and what she said was kept, until she takes it back."""
    policy = Policy(name="two", reviewers=(ANA.id, BEN.id), approvals=2)
    today = {"two": replace(policy, reviewers=(BEN.id,))}
    review = await waiting(store, policy)
    await recorded(store, review, ANA)
    _, refusal = await store.withdraw(review, ANA, via="web", policies=today)
    assert refusal is None
    assert await fired(store, policies=today) == [("stuck", 1)]
    assert await told(store, review, ReviewStuck) == [ReviewStuck]


@pytest.mark.parametrize("escalates", [True, False])
async def test_a_rejection_of_several_that_leaves_too_few_makes_it_known(
    store: SqlStore, escalates: bool
) -> None:
    policy = Policy(
        name="both",
        reviewers=(ANA.id, BEN.id),
        approvals=2,
        rejections=2,
        escalation=WIDER if escalates else None,
    )
    review = await waiting(store, policy)
    await recorded(store, review, ANA, Verdict.REJECT)
    assert await fired(store) == [("stuck", 1)]
    assert await told(store, review, ReviewEscalated, ReviewStuck) == [
        ReviewEscalated if escalates else ReviewStuck
    ]
    await recorded(store, review, ANA)
    found, refusal = await decide(store, review, BEN)
    assert (found.outcome, refusal) == (Outcome.APPROVED, None)
