"""Personal tokens as hashes, and the random keys that the database keeps for us."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.dialects import postgresql

from core.store.rows import credential_of, micros
from core.store.statements import Statement, p
from core.store.tables import credential
from core.store.tables import secret as secret_table

if TYPE_CHECKING:
    from core.model import Credential
    from core.store.transaction import Transaction

LONGEST_SESSION = timedelta(days=60)
"""No session lasts as long (web.auth)."""

_columns = (credential.c.id, credential.c.person, credential.c.token_hash, credential.c.created_at)
_valid = credential.c.revoked_at.is_(None)
_names = tuple(column.name for column in _columns)
INSERT = Statement(insert(credential), _names)
BY_HASH = Statement(select(*_columns).where(credential.c.token_hash == p("hash"), _valid))
# A session that was ended is a row of its own, by its hash, as a token is that was revoked at once.
_ended = credential.alias()
_is_ended = exists(_ended.c.id).where(_ended.c.token_hash == p("session"))
BY_ID = Statement(select(*_columns).where(credential.c.id == p("id"), _valid, ~_is_ended))
END_SESSION = Statement(postgresql.insert(credential).on_conflict_do_nothing(), (*_names, "revoked_at"))
# Such a row is revoked as it is made; of tokens it stays known that there were any.
FORGET_SESSIONS = Statement(
    delete(credential).where(
        credential.c.revoked_at == credential.c.created_at, credential.c.revoked_at < p("before")
    )
)
REVOKE = Statement(
    update(credential).where(credential.c.person == p("person"), _valid).values(revoked_at=p("now"))
)
SECRET = Statement(select(secret_table.c.value).where(secret_table.c.name == p("name")))
INSERT_SECRET = Statement(insert(secret_table), ("name", "value"))
REPLACE_SECRET = Statement(
    update(secret_table).where(secret_table.c.name == p("name")).values(value=p("value"))
)


def by_hash(tx: Transaction, token_hash: str) -> Credential | None:
    row = tx.one(BY_HASH, hash=token_hash)
    return None if row is None else credential_of(row)


def by_id(tx: Transaction, credential_id: str, session: str) -> Credential | None:
    row = tx.one(BY_ID, id=credential_id, session=session)
    return None if row is None else credential_of(row)


def end_session(tx: Transaction, credential_id: str, session: str) -> None:
    began = by_id(tx, credential_id, session)
    if began is not None:
        at = micros(tx.now)
        tx.send(
            END_SESSION,
            id=session[: len(began.id)],
            person=began.person,
            token_hash=session,
            created_at=at,
            revoked_at=at,
        )


def forget_sessions(tx: Transaction) -> None:
    """Those that were ended and would be over by now."""
    tx.run(FORGET_SESSIONS, before=micros(tx.now - LONGEST_SESSION))


def add(tx: Transaction, new: Credential) -> None:
    tx.insert(
        INSERT,
        id=new.id,
        person=new.person,
        token_hash=new.token_hash,
        created_at=micros(new.created_at),
    )


def revoke(tx: Transaction, person: str) -> int:
    return tx.run(REVOKE, person=person, now=micros(tx.now))


def secret(tx: Transaction, name: str) -> bytes:
    """The 32 random bytes of this name, made now where there are none."""
    row = tx.one(SECRET, name=name)
    if row is not None:
        return bytes(row[0])
    value = secrets.token_bytes(32)
    tx.insert(INSERT_SECRET, name=name, value=value)
    return value


def write_something(tx: Transaction) -> None:
    """A real change of a row that nobody reads, to learn whether the disk takes it."""
    secret(tx, "probe")
    tx.run(REPLACE_SECRET, name="probe", value=secrets.token_bytes(32))


def write_nothing(tx: Transaction) -> None:
    """Beginning and committing is the whole test."""
