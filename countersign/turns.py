"""What several replicas share out: who serves which channel and hears what, and what they tell each other."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from core.leases import Alone, InTurn, Leases
from core.outbox import Outbox, rest
from core.ports import TakesOver
from core.stopping import CUT_OFF
from core.store.database import conninfo
from core.store.hints import Hints
from core.store.leases import LeaseRows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AsyncExitStack

    from core.measures import Deliveries
    from core.model import ChannelName, Hint, Policy, StoredEvent
    from core.ports import Channel, Clock, Held, Turns
    from core.store.database import Database
    from core.store.sql import SqlStore


class Neighbours:
    """Passes on which Slack user groups changed: Slack tells one replica, and each asks for itself."""

    def __init__(self, changed: Callable[[str], object]) -> None:
        self._changed = changed
        self.hints: Hints | None = None
        """None where there are no others."""

    def group_changed(self, group: str) -> None:
        self._changed(group)
        if self.hints is not None:
            self.hints.group_changed(group)

    def committed(self, _events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        """What is stored says nothing of groups."""

    def heard(self, hint: Hint) -> None:
        for group in hint.groups:
            self._changed(group)


def ignored(_group: str) -> None:
    """No group is asked for."""


async def shared_out(
    stack: AsyncExitStack,
    store: SqlStore,
    database: Database,
    replica: str | None,
    clock: Clock,
    neighbours: Neighbours,
) -> Turns:
    """Who does what only one does at a time; where there may be others, they are told of our commits."""
    if replica is None:
        return Alone()
    hints = await stack.enter_async_context(Hints(conninfo(database), replica, store.overheard))
    store.listen(hints)
    store.listen(neighbours)
    neighbours.hints = hints
    rows = LeaseRows(database, clock, lambda due: hints.committed((), due))
    leases = Leases(await stack.enter_async_context(rows), replica, clock)
    store.listen(leases)
    return leases


@asynccontextmanager
async def served(
    store: SqlStore,
    policies: Mapping[str, Policy],
    clock: Clock,
    ending: Callable[[], timedelta],
    taking: Turns,
    show: Callable[[Outbox], Callable[[], None]],
    measures: Mapping[ChannelName, Deliveries],
    channel: Channel,
    held: Held,
) -> AsyncIterator[None]:
    """An outbox for this channel, for one turn.

    Its `measures` outlive it; `show` is told of it, and what it returns is called at the end.
    """
    if not taking.is_alone and isinstance(channel, TakesOver):
        channel.taken_over()
    outbox = Outbox(
        store,
        [channel if taking.is_alone else InTurn(channel, held)],
        clock,
        policies=policies,
        grace=lambda: min(ending(), max(held.left - CUT_OFF, timedelta(0))),
        rest=rest,
        measures=measures,
    )
    ignore, hide = store.listen(outbox), show(outbox)
    try:
        async with outbox:
            yield
    finally:
        ignore()
        hide()
