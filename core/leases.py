"""What exactly one replica does at a time: taken, renewed, and given up in time where that fails.

A lease expires by the database's clock. Its holder counts from before it asked, by a clock of its own that
nobody sets, and ends its work before another one may begin: whoever is cut off from the database stops by
itself. One that was frozen stops when it wakes; what it still had under way is harmless when done twice.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from core.clock import seconds
from core.defects import defect
from core.errors import Unavailable
from core.model import LEASES
from core.outages import Outage
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


class Lease:
    """One that is held; implements `Held`."""

    __slots__ = ("_is_lost", "_seconds", "name", "token", "until")

    def __init__(self, name: str, token: int, until: float, seconds: Callable[[], float]) -> None:
        self.name = name
        self.token = token
        self.until = until
        """By this replica's own clock."""
        self._seconds = seconds
        self._is_lost = False

    @property
    def left(self) -> timedelta:
        return timedelta(seconds=max(self.until - self._seconds(), 0.0))

    @property
    def may_begin(self) -> bool:
        return bool(self.left) and not self._is_lost

    def lose(self) -> None:
        """Others have it, or soon."""
        self._is_lost = True
        log.warning("lease_lost", lease=self.name)


class ForEver:
    """Of a service that is alone on its database."""

    left = timedelta(days=1)
    may_begin = True


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
        if not self._held.may_begin:
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
        self._freed = asyncio.Event()
        """Set when somebody has given up a lease since this one was asked for last."""
        self._waiting = waiting
        self._lease: Lease | None = None
        self._may_hold = False
        """Whether the database may say that it is this replica's: also where no answer came to its asking."""
        self._term: int | None = None
        """The token of what it may hold; None where no answer came."""
        self._outage = Outage("lease_postponed", lease=name)
        self._doing = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Once around here, so that a start that fails is told to who starts."""
        self._waiting.add(self._freed)
        try:
            await self._take()
        except Unavailable as error:
            self._outage.failed(error)
        except BaseException:  # cancelled, too: what has begun is ended
            await self.end()
            raise
        self._task = asyncio.create_task(self._run(), name=f"lease {self._name}")

    async def end(self) -> None:
        self._waiting.discard(self._freed)
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
                self._outage.failed(error)
                pause = AGAIN
            except Exception as error:  # noqa: BLE001 - the work is anybody's: whatever it raises, others may do what this one cannot, and nobody else would take the next turn here
                self._broke("turn_failed", error)
                # Nor at once when another gives it up: both may fail, each as soon as the other has.
                await self._pause(AFTER_A_FAILURE, asyncio.Event())
                continue
            await self._pause(pause, self._freed if self._lease is None else asyncio.Event())

    def _broke(self, event: str, error: Exception) -> None:
        """Without the error's words: chat clients quote addresses with tokens in them."""
        log.error(event, lease=self._name, **defect(error))

    async def _pause(self, wait: timedelta, over: asyncio.Event) -> None:
        """Shorter where it is `over` before, or where what is held must end."""
        end = None if self._lease is None else self._lease.left - MARGIN
        wait = wait if end is None else max(min(wait, end), timedelta(0))
        alarm = self._clock.call_at(self._clock.now() + wait, over.set)
        try:
            await over.wait()
        finally:
            alarm.cancel()

    async def _take(self) -> timedelta:
        """Begin if it is free; how long to wait before the next look."""
        asked = self._seconds()
        self._freed.clear()
        self._may_hold, self._term = True, None
        found = await self._store.take(self._name, self._replica, LASTS)
        self._outage.over()
        if isinstance(found, timedelta):
            self._may_hold = False
            return min(found, EVERY)
        until = asked + LASTS.total_seconds()
        self._term = found
        self._lease = lease = Lease(self._name, found, until, self._seconds)
        log.info("lease_taken", lease=self._name, token=found)
        try:
            await self._begin_work(lease)
        except BaseException:  # cancelled, too: who does not do the work may not keep the lease
            await self._give_up()
            raise
        # To begin may have taken its time.
        return timedelta(0) if lease.left < LASTS - EVERY else EVERY

    async def _begin_work(self, lease: Lease) -> None:
        """Keep the lease while that takes its time; raises `Unavailable` where it cannot be kept."""
        self._check(lease)
        entering = self._enter(lease, self._doing)
        beginning = asyncio.create_task(entering, name=f"beginning {self._name}")
        try:
            pause = EVERY
            while not beginning.done():
                over = asyncio.Event()
                beginning.add_done_callback(lambda _, over=over: over.set())  # type: ignore[misc]  # mypy does not infer a lambda with defaults
                await self._pause(pause, over)
                if not beginning.done():
                    pause = await self._kept(lease)
        except BaseException:  # cancelled, too: what has just broken is told all the same
            await cut_off([beginning])
            raise
        beginning.result()

    async def _enter(self, lease: Lease, doing: AsyncExitStack) -> None:
        """Work that would not be cut off ends as soon as it has begun: nobody else would end it."""
        async with AsyncExitStack() as begun:
            await begun.enter_async_context(self._work(lease))
            if doing is self._doing:
                doing.push_async_exit(begun.pop_all())

    async def _kept(self, lease: Lease) -> timedelta:
        """How long to wait before the next renewal. Raises `Unavailable` where it is lost."""
        self._check(lease)
        try:
            if await self._renewed(lease):
                return EVERY
        except Unavailable as error:
            self._outage.failed(error)
            return AGAIN
        raise self._lost(lease)

    def _check(self, lease: Lease) -> None:
        """The database may have answered so late that there is nothing left of it."""
        if lease.left <= MARGIN:
            raise self._lost(lease)

    def _lost(self, lease: Lease) -> Unavailable:
        lease.lose()
        return Unavailable("The lease ended before the work could begin.")

    async def _renew(self, lease: Lease) -> timedelta:
        if lease.left <= MARGIN:
            await self._lose(lease)
            return AGAIN
        if not await self._renewed(lease):
            await self._lose(lease)
            return timedelta(0)
        return EVERY

    async def _renewed(self, lease: Lease) -> bool:
        """False where others may have it, or soon."""
        asked = self._seconds()
        try:
            async with asyncio.timeout((lease.left - MARGIN).total_seconds()):
                renewed = await self._store.renew(self._name, self._replica, lease.token, LASTS)
        except TimeoutError:
            return False
        self._outage.over()
        if renewed:
            lease.until = asked + LASTS.total_seconds()
        return renewed

    async def _lose(self, lease: Lease) -> None:
        """Begin nothing more, then end the work.

        Another may be at work already where the database says so before our clock does: its own was set
        forward, or a standby took over that had not heard of the last renewals. What is under way has the
        time that it would have had all the same: cut off, a card would be posted and nobody would know of it,
        so that the other one posts it again for certain.
        """
        lease.lose()
        await self._end()

    async def _give_up(self) -> None:
        """End the work, then let others begin; where that cannot be said, they begin at the lease's end."""
        await self._end()
        if not self._may_hold:
            return
        try:
            async with asyncio.timeout(1):
                # Behind an asking that was cut off: the store does one after the other.
                await self._store.release(self._name, self._replica, self._term)
            self._may_hold = False
        except (Unavailable, TimeoutError) as error:
            log.warning("lease_not_released", lease=self._name, error=type(error).__name__)

    async def _end(self) -> None:
        """End the work and, by this replica's clock, the lease: what would not stop shows nothing more."""
        try:
            await self._stop_doing()
        finally:
            if self._lease is not None:
                self._lease.until = self._seconds()
                self._lease = None

    async def _stop_doing(self) -> None:
        doing, self._doing = self._doing, AsyncExitStack()
        try:
            await doing.aclose()
        except Exception as error:  # noqa: BLE001 - the work is anybody's: what could not end in order has ended all the same, and the lease is still to be given up
            self._broke("turn_ended_badly", error)


if TYPE_CHECKING:
    # The checker's word that they are what they say.
    _turns: tuple[type[Turns], type[Turns]] = (Alone, Leases)
    _held: tuple[type[Held], type[Held]] = (ForEver, Lease)
