"""With which earlier draft a card compares its own, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
