"""Shows what is stored in the chats and to webhooks, each channel by a loop of its own: a blocked one never
delays another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Self

from core.delivering import ChannelLoop
from core.measures import Deliveries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    from core.model import ChannelName, Hint, Policy, StoredEvent
    from core.ports import Channel, Clock, DeliveryStore

REST = 9
"""After a look that found only what has to wait for its turn, the loop rests so many times as long as that
took, and lets others read."""
LONGEST_REST = 0.25
"""Seconds of such a rest, for which a card may wait."""


async def rest(seconds: float) -> None:
    """After a look that took so long, by the real time."""
    await asyncio.sleep(min(REST * seconds, LONGEST_REST))


async def no_rest(_seconds: float) -> None:
    """For a clock that stands still."""


class Outbox:
    """`async with` it; give it to the store as a listener.

    Asked when it is left, `grace` is how long calls under way may take to end. Cards show no decision that
    does not count by the `policies` in force. `rest` is waited for after a look that found only what has
    to wait for its turn, and told the seconds that it took.
    """

    def __init__(
        self,
        store: DeliveryStore,
        channels: Sequence[Channel],
        clock: Clock,
        *,
        policies: Mapping[str, Policy] = {},
        random: Random | None = None,
        grace: Callable[[], timedelta] = timedelta,
        rest: Callable[[float], Awaitable[object]] = no_rest,
        measures: Mapping[ChannelName, Deliveries] = {},
    ) -> None:
        """`measures` are those of the channels that were served before."""
        self._grace = grace
        chance = random or Random()  # noqa: S311 - jitter, not a secret
        self._loops = {
            channel.name: ChannelLoop(
                store, channel, clock, chance, policies, rest, measures.get(channel.name) or Deliveries()
            )
            for channel in channels
        }

    async def __aenter__(self) -> Self:
        for loop in self._loops.values():
            loop.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(self._grace())

    @property
    def under_way(self) -> int:
        """How many deliveries are being shown at this moment."""
        return sum(loop.under_way for loop in self._loops.values())

    @property
    def is_at_rest(self) -> bool:
        """Whether all that is due by now has been shown, or was tried, and that was noted."""
        return all(loop.is_at_rest for loop in self._loops.values())

    async def stop(self, grace: timedelta) -> None:
        """Begin nothing new; let calls under way end within `grace`, so that their answers are kept."""
        try:
            await asyncio.gather(*(loop.stop(grace) for loop in self._loops.values()))
        except BaseException:
            # Whoever stops it is stopped, perhaps before that began: nobody else knows of what is under way.
            for loop in self._loops.values():
                loop.cancel()
            raise

    @property
    def measures(self) -> Mapping[ChannelName, Deliveries]:
        return {name: loop.measures for name, loop in self._loops.items()}

    def committed(self, _events: Sequence[StoredEvent], due: AbstractSet[ChannelName]) -> None:
        for name in due:
            if loop := self._loops.get(name):
                loop.wake()

    def heard(self, hint: Hint) -> None:
        for name in hint.due if hint.is_whole else self._loops:
            if loop := self._loops.get(name):
                loop.wake()
