"""Under which policies what is open was last looked over: with the same ones there is nothing to look for.

While servers run that judge by other policies it is to be looked over once more, after them: until then no
start takes it for done, whoever crashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from core.store.policies import policy_hash
from core.store.statements import Statement, p
from core.store.tables import looked_over

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from core.model import Policy
    from core.store.transaction import Transaction

AGAIN = ""
"""In place of the hash, of what is to be looked over once more whatever the policies say by then."""
ALL = Statement(select(looked_over.c.policy, looked_over.c.hash))
INSERT = Statement(insert(looked_over), ("policy", "hash"))
DELETE = Statement(delete(looked_over).where(looked_over.c.policy == p("policy")))


def changed(
    tx: Transaction, policies: Mapping[str, Policy], besides: Collection[str]
) -> frozenset[str] | None:
    """The names of those that are new, gone or not what they were, but for `besides`; None where nothing is
    known of before."""
    before = noted(tx)
    if not before:
        return None
    now = _hashes(policies, besides)
    names = {*before, *now} - set(besides)
    return frozenset(name for name in names if before.get(name) != now.get(name))


def note(
    tx: Transaction, policies: Mapping[str, Policy], besides: Collection[str], again: Collection[str] = ()
) -> None:
    """What is open was looked over under these, but for `besides`, of which stays noted what was; `again` are
    to be looked over once more."""
    before, now = noted(tx), _hashes(policies, besides)
    now |= {name: AGAIN for name in again if name not in besides}
    for name, known in before.items():
        if name not in besides and now.get(name) != known:
            tx.run(DELETE, policy=name)
    for name, new in now.items():
        if before.get(name) != new:
            tx.insert(INSERT, policy=name, hash=new)


def noted(tx: Transaction) -> dict[str, str]:
    """Their hashes, by name; `AGAIN` for those that are to be looked over once more."""
    return {row[0]: row[1] for row in tx.all(ALL)}


def _hashes(policies: Mapping[str, Policy], besides: Collection[str]) -> dict[str, str]:
    return {name: policy_hash(policy) for name, policy in policies.items() if name not in besides}
