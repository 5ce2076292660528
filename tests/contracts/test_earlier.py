"""With which earlier draft a card compares its own, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.changes import is_compared
from core.model import Earlier, Point, Policy, ReviewRequest, Verdict
from tests.contracts.steps import parked, recorded, submitted
from tests.world import ANA, BEN, DESK

if TYPE_CHECKING:
    from core.store.sql import SqlStore

BOTH = Policy(name="both", reviewers=(ANA.id, BEN.id), approvals=2, recipients=(DESK,))


@pytest.mark.parametrize(
    ("point", "verdict", "compared"),
    [
        (Point.REVIEW, Verdict.REJECT, True),
        (Point.REVIEW, Verdict.EDIT, True),
        (Point.INSIDE, Verdict.EDIT, True),
        (Point.INSIDE, Verdict.REJECT, False),
    ],
)
async def test_what_a_node_asks_itself_is_compared_with_an_edit_of_it_only(
    store: SqlStore, point: Point, verdict: Verdict, compared: bool
) -> None:
    """It may be another question each time."""
    task = await submitted(store)
    first = await parked(store, task.id, BOTH, draft="ten", point=point)
    content = "twelve" if verdict is Verdict.EDIT else None
    await recorded(store, first, ANA, verdict, content=content)
    second = await parked(store, task.id, BOTH, attempt=2, draft="twelve", point=point)
    (card,) = [one for one in await store.deliveries(task.id) if one.review == second]
    shown, _ = await store.delivery_content(card)
    assert isinstance(shown, ReviewRequest)
    assert shown.earlier == (Earlier(attempt=1, draft="ten") if compared else None)
    assert is_compared(await store.review(second)) == compared


async def test_of_many_reviews_each_is_read_with_its_own_in_one_go(store: SqlStore) -> None:
    """That of its own task and place, and the last of them."""
    opened = []
    for number in range(110):
        task = await submitted(store)
        drafts = ["same"] if number % 3 == 0 else [f"{number}, {one}" for one in range(1 + number % 3)]
        for attempt, draft in enumerate(drafts, 1):
            review = await parked(store, task.id, BOTH, attempt=attempt, draft=draft)
            if attempt < len(drafts):
                await recorded(store, review, ANA, Verdict.REJECT)
        opened.append(review)
    found = await store.earlier(opened)
    assert found == {
        review: Earlier(attempt=number % 3, draft=f"{number}, {number % 3 - 1}")
        for number, review in enumerate(opened)
        if number % 3
    }


async def test_another_place_of_the_flow_is_another_thing(store: SqlStore) -> None:
    task = await submitted(store)
    first = await parked(store, task.id, BOTH, draft="ten", point=Point.REVIEW)
    await recorded(store, first, ANA, Verdict.REJECT)
    second = await parked(store, task.id, BOTH, attempt=2, draft="twelve", point=Point.INSIDE)
    assert await store.earlier([first, second]) == {}
