"""Who comes into a group from outside may decide on what is open, too: each review's policy is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, literal_column, select, update

from core import amendments
from core.store.policies import policy_of, policy_text
from core.store.statements import Statement, p
from core.store.tables import review, task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.model import PersonId
    from core.store.transaction import Transaction

ROUNDS = 3
"""Of looking for texts to be told: a decision that was waited for may have left one more."""

_has_policy = and_(review.c.closed_at.is_(None), review.c.policy == p("old"))
# There are few, each on thousands of reviews.
POLICIES = Statement(
    select(review.c.policy)
    .where(review.c.closed_at.is_(None), review.c.policy.like(literal_column("'%\"outside\"%'")))
    .distinct()
)
# A decision may write the policy of its review as well, by what it has read behind this lock.
LOCK = Statement(
    select(task.c.id)
    .where(task.c.id.in_(select(review.c.task_id).where(_has_policy)))
    .order_by(task.c.id)
    .with_for_update()
)
REPLACE = Statement(update(review).where(_has_policy).values(policy=p("new")))


def admit(tx: Transaction, members: Mapping[str, Sequence[PersonId]]) -> int:
    """How many open reviews heard of somebody new. Idempotent."""
    told = 0
    for _ in range(ROUNDS):
        wider = _wider(tx, members)
        for old, new in wider.items():
            tx.lock(LOCK, old=old)
            told += tx.run(REPLACE, old=old, new=new)
        if not wider:
            break
    return told


def _wider(tx: Transaction, members: Mapping[str, Sequence[PersonId]]) -> dict[str, str]:
    """The texts that do not know somebody yet, and what they are to be."""
    texts = [text for (text,) in tx.all(POLICIES)]
    wider = {text: policy_text(amendments.admitted(policy_of(text), members)) for text in texts}
    return {old: new for old, new in wider.items() if old != new}
