"""What several replicas share out: who serves which channel and hears what, and what they tell each other."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from core.leases import Alone, InTurn, Leases
from core.outbox import Outbox, rest
from core.ports import TakesOver
from core.stopping import CUT_OFF, together
from core.store.hints import Hints
from core.store.leases import LeaseRows
from core.store.postgresql import conninfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

    from core.measures import Deliveries
    from core.model import ChannelName, Hint, Policy, StoredEvent
    from core.ports import Channel, Clock, Held, Turns
    from core.store.database import Database
    from core.store.sql import SqlStore


class Neighbours:
    """Passes on which user groups and channels changed: Slack tells one replica, and each asks for itself.

    `changed` says whether a group of ours has its members from there: people come and go in every channel
    that the app is in, and the others hear of none but these.
    """

    def __init__(self, changed: Callable[[str], bool]) -> None:
        self._changed = changed
        self.hints: Hints | None = None
        """None where there are no others."""

    def group_changed(self, group: str) -> None:
        if self._changed(group) and self.hints is not None:
            self.hints.group_changed(group)

    def committed(self, _events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        """What is stored says nothing of groups."""

    def heard(self, hint: Hint) -> None:
        for group in hint.groups:
            self._changed(group)


def ignored(_group: str) -> bool:
    """No group is asked for."""
    return False


async def shared_out(
    stack: AsyncExitStack,
    store: SqlStore,
    database: Database,
    clock: Clock,
    *,
    replica: str | None,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outboxes:
    """What shows cards and notices: an outbox for each channel, on the replica whose turn it is."""

    store: SqlStore
    clock: Clock
    turns: Turns
    policies: Mapping[str, Policy]
    ending: Callable[[], timedelta]
    """How long sends may still take that are under way when a turn ends."""
    show: Callable[[Outbox], Callable[[], None]]
    """Told of an outbox when its turn begins; what it returns is called at the end."""
    measures: Mapping[ChannelName, Deliveries]
    """They outlive a turn."""

    def of(self, channels: Iterable[Channel]) -> AbstractAsyncContextManager[None]:
        """While inside, each of these is served, here or elsewhere."""
        return together(
            self.turns.holding(f"outbox {channel.name}", partial(self.turn, channel)) for channel in channels
        )

    @asynccontextmanager
    async def turn(self, channel: Channel, held: Held) -> AsyncIterator[None]:
        """An outbox for this channel, for one turn."""
        if not self.turns.is_alone and isinstance(channel, TakesOver):
            channel.taken_over()
        outbox = Outbox(
            self.store,
            [channel if self.turns.is_alone else InTurn(channel, held)],
            self.clock,
            policies=self.policies,
            grace=lambda: min(self.ending(), max(held.left - CUT_OFF, timedelta(0))),
            rest=rest,
            measures=self.measures,
        )
        ignore, hide = self.store.listen(outbox), self.show(outbox)
        try:
            async with outbox:
                yield
        finally:
            ignore()
            hide()
