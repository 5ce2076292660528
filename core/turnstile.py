"""Submissions a few at a time, so that a decision stands behind a few of them and not behind a flood."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from core.errors import Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CALM = 32
"""Submissions that are no flood: while no more are here none waits, and their commits hold what they can."""
AT_ONCE = 4
"""Submissions that are stored at once in a flood: the loop's and the writer's work on them is what a decision
that comes now waits for. Measured on PostgreSQL: at 64 it waits four times as long (median), and a flood is
through in half the time, as its commits hold more."""
BESIDE_DECISIONS = 1
"""The same while somebody decides; not none, or people who decide could keep all others out."""
LINGER = timedelta(milliseconds=100)
"""How long after a decision somebody decides still: the next one is on its way, and would stand behind what
was let in between. Measured on SQLite, one decision after the other in a flood: half the median."""
REST = timedelta(milliseconds=10)
"""Between one submission and the next while somebody decides: without it every decision stands behind one.
Measured on SQLite, one decision after the other in a flood: the median 1.1 times that at rest, not 1.8; still
some 90 submissions a second are stored."""
WAITING = 1_000
"""Submissions that may wait for their turn, each with up to a megabyte; beyond, they are refused."""
PATIENCE = timedelta(seconds=5)
"""The longest that one waits for its turn. All have theirs in a second or two where the database answers;
where somebody decides all the while, half of so many are told to come back."""
LONG = timedelta(seconds=1)
"""An outage that cost one so long would cost those behind it the same again."""
FULL = "Too many tasks are being submitted at once; try again."


class Turnstile:
    """Submissions have their turn in the order they came; decisions wait for none."""

    def __init__(self, *, calm: int = CALM) -> None:
        self._calm = calm
        self._submissions = self._decisions = 0
        self._lingers_until = 0.0
        self._rests_until = 0.0
        """Both by the loop's time."""
        self._alarm: asyncio.TimerHandle | None = None
        """Rings once the rest is over, for those who wait."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def submission(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it; raises `Overloaded` where too many wait, or for too long.

        Where a turn ends with the database gone for long, those who wait are told the same.
        """
        await self._turn()
        began = _now()
        try:
            yield
        except StoreUnavailable as outage:
            if _now() - began > LONG.total_seconds():
                self._refuse(outage)
            raise
        finally:
            self._end_turn()

    @contextmanager
    def decision(self) -> Iterator[None]:
        """Fewer submissions are let in meanwhile, and for a moment after it."""
        self._decisions += 1
        try:
            yield
        finally:
            self._decisions -= 1
            self._lingers_until = _now() + LINGER.total_seconds()
            self._let_in()

    async def _turn(self) -> None:
        if not self._waiting and self._has_room:
            self._submissions += 1
            return
        if len(self._waiting) >= WAITING:
            raise Overloaded(FULL)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise Overloaded(FULL) from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """The turn may have come in the very moment."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif not turn.cancelled() and turn.exception() is None:
            self._end_turn()

    @property
    def _has_room(self) -> bool:
        if self._submissions + len(self._waiting) < self._calm:
            return True
        now = _now()
        if self._decisions or now < self._lingers_until:
            return self._submissions < BESIDE_DECISIONS and now >= self._rests_until
        return self._submissions < AT_ONCE

    def _end_turn(self) -> None:
        self._submissions -= 1
        self._rests_until = _now() + REST.total_seconds()
        self._let_in()

    def _let_in(self) -> None:
        """When somebody comes, and when a turn, a decision or a rest ends: for whoever goes on waiting one of
        them is still to come."""
        while self._waiting and self._has_room:
            turn = self._waiting.popleft()
            if not turn.done():
                self._submissions += 1
                turn.set_result(None)
        if self._waiting and not self._submissions and self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_at(self._rests_until, self._go_on)

    def _go_on(self) -> None:
        self._alarm = None
        self._let_in()

    def _refuse(self, outage: StoreUnavailable) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(outage.again())


def _now() -> float:
    """By the loop's time."""
    return asyncio.get_running_loop().time()
