"""What exactly one replica does at a time, on PostgreSQL: who holds what, and until when by its clock."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from sqlalchemy import func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from core.model import LEASES
from core.store.lane import Lane
from core.store.statements import Statement, p, since_1970
from core.store.tables import lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from core.model import ChannelName
    from core.ports import Clock
    from core.store.database import Database
    from core.store.transaction import Transaction

# Of the moment, not of the transaction, whose beginning may be older. The only clock that all replicas share.
_now = since_1970(func.clock_timestamp())
_new = insert(lease).values(
    name=p("name"), holder=p("holder"), token=literal_column("1"), expires_at=_now + p("micros")
)
TAKE = Statement(
    _new.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": _new.excluded.holder,
            "token": lease.c.token + literal_column("1"),
            "expires_at": _new.excluded.expires_at,
        },
        # One's own may be there still: its answer was lost on the way, or came too late to be of use.
        where=or_(lease.c.expires_at <= _now, lease.c.holder == _new.excluded.holder),
    ).returning(lease.c.token),
    ("name", "holder", "token", "expires_at"),
)
_held = (lease.c.name == p("name"), lease.c.holder == p("holder"))
RENEW = Statement(
    update(lease)
    .where(*_held, lease.c.token == p("token"), lease.c.expires_at > _now)
    .values(expires_at=_now + p("micros"))
)
TERM = Statement(select(lease.c.token).where(*_held, lease.c.expires_at > _now))
RELEASE = Statement(
    update(lease)
    .where(*_held, lease.c.token == p("token"), lease.c.expires_at > _now)
    .values(expires_at=literal_column("0"))
)
# Nobody has more than that from now on, who asked earlier: the clock was set back, or is another server's.
SHORTEN = Statement(
    update(lease)
    .where(lease.c.name == p("name"), lease.c.expires_at > _now + p("micros"))
    .values(expires_at=_now + p("micros"))
)
LEFT = Statement(
    select(lease.c.expires_at - _now).where(lease.c.name == p("name"), lease.c.holder != p("holder"))
)


def take(tx: Transaction, name: str, holder: str, lasts: timedelta) -> int | timedelta:
    """The token of a new holder, higher than any before; or how long another one's lease lasts still.

    What this one holds already it takes anew.
    """
    left = tx.one(LEFT, name=name, holder=holder)
    if left is None or left[0] <= 0:
        found = tx.changed(TAKE, name=name, holder=holder, micros=_micros(lasts))
        if found:
            return int(found[0][0])
        left = tx.one(LEFT, name=name, holder=holder)
    elif left[0] > _micros(lasts):
        tx.run(SHORTEN, name=name, micros=_micros(lasts))
        return lasts
    return timedelta(microseconds=0 if left is None else max(left[0], 0))


def renew(tx: Transaction, name: str, holder: str, token: int, lasts: timedelta) -> bool:
    """False where it has expired, whether or not another one has taken it."""
    return tx.run(RENEW, name=name, holder=holder, token=token, micros=_micros(lasts)) == 1


def release(tx: Transaction, name: str, holder: str, token: int | None) -> None:
    """Anybody may take it now. The row stays, for the next token is to be higher.

    What is sent names its term also where the holder could not: on a connection that stalls it may arrive
    when the holder has begun another.
    """
    if token is None:
        held = tx.one(TERM, name=name, holder=holder)
        if held is None:
            return
        token = held[0]
    if tx.run(RELEASE, name=name, holder=holder, token=token):
        tx.due.add(LEASES)


def _micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


class LeaseRows:
    """`async with` it: implements `core.ports.LeaseStore` on a connection of its own.

    A flood of submissions, for which the writer is late, must not cost a replica its leases. `committed` is
    told of what is released.
    """

    def __init__(
        self, database: Database, clock: Clock, committed: Callable[[set[ChannelName]], None]
    ) -> None:
        self._lane = Lane(
            database,
            clock,
            writes=True,
            committed=lambda _events, due, _positions, _left: committed(due),
            name="leases",
        )

    async def __aenter__(self) -> Self:
        self._lane.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._lane.stop(within=timedelta(seconds=1))

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        return await self._lane.run(partial(take, name=name, holder=holder, lasts=lasts))

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        return await self._lane.run(partial(renew, name=name, holder=holder, token=token, lasts=lasts))

    async def release(self, name: str, holder: str, token: int | None) -> None:
        await self._lane.run(partial(release, name=name, holder=holder, token=token))
