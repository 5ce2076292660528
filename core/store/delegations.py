"""Who decides for whom while they are away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, literal_column, select, update

from core.errors import Invalid
from core.model import ABSENCES, LOCAL, Delegation, PersonId
from core.store.rows import micros, moment
from core.store.statements import Statement, p
from core.store.tables import delegation

if TYPE_CHECKING:
    from core.model import Policy
    from core.store.transaction import Row, Transaction

COLUMNS = ("id", "person", "delegate", "until", "made_by", "made_at")
_columns = [delegation.c[name] for name in COLUMNS]
_stands = (delegation.c.until > p("now"), delegation.c.revoked_at.is_(None))
# One at a time: of two who delegate to each other in the same moment, the second has to see the first.
LOCK = Statement(select(func.pg_advisory_xact_lock(literal_column("4004"))))
INSERT = Statement(insert(delegation), COLUMNS)
TO = Statement(
    select(*_columns)
    .where(delegation.c.delegate == p("delegate"), *_stands)
    .order_by(delegation.c.made_at, delegation.c.id)
)
ALL = Statement(select(*_columns).where(*_stands).order_by(delegation.c.made_at, delegation.c.id))
REVOKE = Statement(
    update(delegation)
    .where(
        delegation.c.person == p("person"),
        delegation.c.until > p("now"),
        delegation.c.revoked_at.is_(None),
    )
    .values(revoked_at=p("now"))
)


def delegators(tx: Transaction, policy: Policy, person: PersonId) -> tuple[PersonId, ...]:
    """For whom `person` may decide now, oldest first; a reviewer decides for themselves only."""
    if person == LOCAL or person in policy.reviewers:
        return ()
    return to(tx, person)


def to(tx: Transaction, person: PersonId) -> tuple[PersonId, ...]:
    """Who has delegated to `person`, the first one first."""
    return tuple(PersonId(row[1]) for row in tx.all(TO, delegate=person, now=micros(tx.now)))


def add(tx: Transaction, new: Delegation) -> None:
    """In place of what the person had said before. Raises `Invalid` where it would close a circle."""
    tx.lock(LOCK)
    known = {of.person: of.delegate for of in standing(tx)}
    at = new.delegate
    while at is not None:
        if at == new.person:
            raise Invalid("Your delegate has, directly or through others, delegated to you.")
        at = known.get(at)
    revoke(tx, new.person)
    tx.insert(
        INSERT,
        id=new.id,
        person=new.person,
        delegate=new.delegate,
        until=micros(new.until),
        made_by=new.made_by,
        made_at=micros(new.made_at),
    )
    tx.due.add(ABSENCES)


def revoke(tx: Transaction, person: str) -> bool:
    """The person is back; whether they were away. Idempotent."""
    was_away = tx.run(REVOKE, person=person, now=micros(tx.now)) > 0
    if was_away:
        tx.due.add(ABSENCES)
    return was_away


def standing(tx: Transaction) -> list[Delegation]:
    """All that are in force now, oldest first."""
    return [_delegation(row) for row in tx.all(ALL, now=micros(tx.now))]


def _delegation(row: Row) -> Delegation:
    return Delegation(
        id=row[0],
        person=PersonId(row[1]),
        delegate=None if row[2] is None else PersonId(row[2]),
        until=moment(row[3]),
        made_by=PersonId(row[4]),
        made_at=moment(row[5]),
    )
