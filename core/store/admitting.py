"""Who comes into a group from outside may decide on what is open, too: each review's policy is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal_column, select, update

from core import amendments
from core.store.policies import policy_of, policy_text
from core.store.statements import Statement, p
from core.store.tables import review

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.model import PersonId
    from core.store.transaction import Transaction

# There are few, each on thousands of reviews.
POLICIES = Statement(
    select(review.c.policy)
    .where(review.c.closed_at.is_(None), review.c.policy.like(literal_column("'%\"outside\"%'")))
    .distinct()
)
REPLACE = Statement(
    update(review).where(review.c.closed_at.is_(None), review.c.policy == p("old")).values(policy=p("new"))
)


def admit(tx: Transaction, members: Mapping[str, Sequence[PersonId]]) -> int:
    """How many open reviews heard of somebody new. Idempotent."""
    told = 0
    for (text,) in tx.all(POLICIES):
        wider = policy_text(amendments.admitted(policy_of(text), members))
        if wider != text:
            told += tx.run(REPLACE, old=text, new=wider)
    return told
