"""What was put before reviewers in the same place of a flow before: with that a card, or a page, compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal_column, select

from core.changes import is_compared
from core.jsontext import from_json
from core.model import Earlier, ReviewId
from core.store.statements import Statement, p
from core.store.tables import review

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from core.model import ReviewRequest
    from core.store.transaction import Transaction

AT_ONCE = 100
"""Reviews that one `MANY` asks for: as many as an inbox shows."""


def _before(count: int) -> Select[tuple[object, ...]]:
    """Of so many reviews the last before each, also where somebody has resumed the task from before it."""
    before = review.alias("before")
    # Each by the index: of a join PostgreSQL read all reviews.
    found = (
        select(before.c[name])
        .where(
            before.c.task_id == review.c.task_id,
            before.c.node == review.c.node,
            before.c.point == review.c.point,
            before.c.attempt < review.c.attempt,
        )
        .order_by(before.c.event_seq.desc())
        .limit(literal_column("1"))
        .correlate(review)
        .scalar_subquery()
        for name in ("attempt", "draft")
    )
    return select(review.c.id, *found).where(review.c.id.in_([p(f"review{n}") for n in range(count)]))


ONE, MANY = Statement(_before(1)), Statement(_before(AT_ONCE))


def of_one(tx: Transaction, of: ReviewRequest) -> Earlier | None:
    """None also where there is nothing to compare."""
    return _found(tx, [of.id], ONE, 1).get(of.id) if is_compared(of) else None


def of_many(tx: Transaction, reviews: Sequence[ReviewId]) -> dict[ReviewId, Earlier]:
    """Nothing of those before which there was none."""
    found: dict[ReviewId, Earlier] = {}
    for start in range(0, len(reviews), AT_ONCE):
        found |= _found(tx, reviews[start : start + AT_ONCE], MANY, AT_ONCE)
    return found


def _found(
    tx: Transaction, reviews: Sequence[ReviewId], statement: Statement, count: int
) -> dict[ReviewId, Earlier]:
    asked = enumerate([*reviews, *[""] * (count - len(reviews))])
    rows = tx.all(statement, **{f"review{number}": review_id for number, review_id in asked})
    return {
        ReviewId(review_id): Earlier(attempt=attempt, draft=from_json(draft))
        for review_id, attempt, draft in rows
        if attempt is not None
    }
