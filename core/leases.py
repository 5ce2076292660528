"""What exactly one replica does at a time: taken, renewed, and given up in time where that fails.

A lease expires by the database's clock. Its holder counts from before it asked, by a clock of its own that
nobody sets, and ends its work before another one may begin: whoever is cut off from the database stops by
itself. One that was frozen stops when it wakes; what it still had under way is harmless when done twice.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from core.errors import Unavailable
from core.model import LEASES
from core.stopping import cut_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager

    from core.model import ChannelName, Delivery, Hint, MessageRef, Notice, ReviewRequest, StoredEvent
    from core.ports import Channel, Clock, Held, LeaseStore, Turns

log = structlog.get_logger()

LASTS = timedelta(seconds=10)
EVERY = timedelta(seconds=3)
"""Between two renewals, and at most between two looks whether one is free."""
MARGIN = timedelta(seconds=2)
"""So long before its end a holder that could not renew begins to stop: work may take a second to end."""
AGAIN = timedelta(milliseconds=500)
"""Before the next try of a renewal that the database was not there for."""
AFTER_A_FAILURE = timedelta(seconds=5)
"""Before the next turn of a replica whose work could not begin: others may be luckier."""


def seconds() -> float:
    """Goes on while the machine sleeps, where the system can tell."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Lease:
    """One that is held; implements `Held`."""

    __slots__ = ("_seconds", "name", "token", "until")

    def __init__(self, name: str, token: int, until: float, seconds: Callable[[], float]) -> None:
        self.name = name
        self.token = token
        self.until = until
        """By this replica's own clock."""
        self._seconds = seconds

    @property
    def left(self) -> timedelta:
        return timedelta(seconds=max(self.until - self._seconds(), 0.0))


class ForEver:
    """Of a service that is alone on its database."""

    left = timedelta(days=1)


class Alone:
    """For SQLite, where there is one service: it is always its turn."""

    is_alone = True

    @asynccontextmanager
    async def holding(
        self, name: str, work: Callable[[Held], AbstractAsyncContextManager[object]]
    ) -> AsyncIterator[None]:
        del name
        async with work(ForEver()):
            yield


class InTurn:
    """A channel that posts nothing once the turn is over, also where nobody could say so in time."""

    def __init__(self, channel: Channel, held: Held) -> None:
        self._channel = channel
        self._held = held
        self.name = channel.name
        self.spacing = channel.spacing

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        self._check()
        return await self._channel.post(delivery, content, thread=thread)

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        self._check()
        await self._channel.update(delivery, content, message=message)

    def _check(self) -> None:
        if not self._held.left:
            raise Unavailable("Another replica serves this channel now.")


class Leases:
    """Give it to the store as a listener. `replica` is this one's id; `seconds` a clock that nobody sets."""

    is_alone = False

    def __init__(
        self, store: LeaseStore, replica: str, clock: Clock, *, seconds: Callable[[], float] = seconds
    ) -> None:
        self._clock = clock
        self._store = store
        self._replica = replica
        self._seconds = seconds
        self._waiting: set[asyncio.Event] = set()

    def committed(self, _events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        """What this replica gives up is for others."""

    def heard(self, hint: Hint) -> None:
        if LEASES in hint.due or not hint.is_whole:
            for waiting in self._waiting:
                waiting.set()

    @asynccontextmanager
    async def holding(
        self, name: str, work: Callable[[Held], AbstractAsyncContextManager[object]]
    ) -> AsyncIterator[None]:
        turn = _Turn(name, work, self._store, self._replica, self._clock, self._seconds, self._waiting)
        await turn.begin()
        try:
            yield
        finally:
            await turn.end()


class _Turn:
    """The turns of this replica in one thing."""

    def __init__(
        self,
        name: str,
        work: Callable[[Held], AbstractAsyncContextManager[object]],
        store: LeaseStore,
        replica: str,
        clock: Clock,
        seconds: Callable[[], float],
        waiting: set[asyncio.Event],
    ) -> None:
        self._name = name
        self._work = work
        self._store = store
        self._replica = replica
        self._clock = clock
        self._seconds = seconds
        self._waiting = waiting
        self._lease: Lease | None = None
        self._doing = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Once around here, so that a start that fails is told to who starts."""
        try:
            await self._take()
        except Unavailable as error:
            self._postponed(error)
        self._task = asyncio.create_task(self._run(), name=f"lease {self._name}")

    async def end(self) -> None:
        if self._task is not None:
            await cut_off([self._task])
        await self._give_up()

    async def _run(self) -> None:
        while True:
            pause = EVERY
            try:
                if self._lease is None:
                    pause = await self._take()
                else:
                    pause = await self._renew(self._lease)
            except Unavailable as error:
                self._postponed(error)
                pause = AGAIN
            except Exception as error:  # noqa: BLE001 - another replica may do what this one cannot
                log.error("turn_failed", lease=self._name, error=type(error).__name__)  # noqa: TRY400 - it may quote secrets
                pause = AFTER_A_FAILURE
            await self._pause(pause)

    def _postponed(self, error: Unavailable) -> None:
        log.warning("lease_postponed", lease=self._name, reason=str(error))

    async def _pause(self, wait: timedelta) -> None:
        """Shorter where somebody gives it up, or where what is held must end."""
        end = None if self._lease is None else self._lease.left - MARGIN
        wait = wait if end is None else max(min(wait, end), timedelta(0))
        freed = asyncio.Event()
        alarm = self._clock.call_at(self._clock.now() + wait, freed.set)
        if self._lease is None:
            self._waiting.add(freed)
        try:
            await freed.wait()
        finally:
            alarm.cancel()
            self._waiting.discard(freed)

    async def _take(self) -> timedelta:
        """Begin if it is free; how long to wait before the next look."""
        asked = self._seconds()
        found = await self._store.take(self._name, self._replica, LASTS)
        if isinstance(found, timedelta):
            return min(found, EVERY)
        until = asked + LASTS.total_seconds()
        self._lease = lease = Lease(self._name, found, until, self._seconds)
        log.info("lease_taken", lease=self._name, token=found)
        try:
            await self._doing.enter_async_context(self._work(lease))
        except BaseException:
            await self._give_up()
            raise
        # To begin may have taken its time.
        return timedelta(0) if lease.left < LASTS - EVERY else EVERY

    async def _renew(self, lease: Lease) -> timedelta:
        if lease.left <= MARGIN:
            await self._lose()
            return AGAIN
        asked = self._seconds()
        try:
            async with asyncio.timeout((lease.left - MARGIN).total_seconds()):
                renewed = await self._store.renew(self._name, self._replica, lease.token, LASTS)
        except TimeoutError:
            renewed = False
        if not renewed:
            await self._lose()
            return timedelta(0)
        lease.until = asked + LASTS.total_seconds()
        return EVERY

    async def _lose(self) -> None:
        log.warning("lease_lost", lease=self._name)
        self._lease = None
        await self._stop_doing()

    async def _give_up(self) -> None:
        """End the work, then let others begin; where that cannot be said, they begin at the lease's end."""
        await self._stop_doing()
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            async with asyncio.timeout(1):
                await self._store.release(self._name, self._replica, lease.token)
        except (Unavailable, TimeoutError) as error:
            log.warning("lease_not_released", lease=self._name, error=type(error).__name__)

    async def _stop_doing(self) -> None:
        doing, self._doing = self._doing, AsyncExitStack()
        try:
            await doing.aclose()
        except Exception as error:  # noqa: BLE001 - what could not end in order has ended all the same
            log.error("turn_ended_badly", lease=self._name, error=type(error).__name__)  # noqa: TRY400 - it may quote secrets


if TYPE_CHECKING:
    # The checker's word that they are what they say.
    _turns: tuple[type[Turns], type[Turns]] = (Alone, Leases)
    _held: tuple[type[Held], type[Held]] = (ForEver, Lease)
