"""When the timekeeper looks again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.model import ReviewId, Timer, TimerKind
from core.timekeeper import SWEEP, Timekeeper
from tests.world import START, Board, StoppedClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

DUE_AT = START + timedelta(minutes=1)
ONE = Timer(review=ReviewId("a" * 32), kind=TimerKind.REMINDER, number=1, due_at=DUE_AT)


class OneTimer(Board):
    """A store with one timer; `late` is how long its answers take, `is_broken` that it fires nothing."""

    def __init__(self, clock: StoppedClock, *, is_broken: bool = False) -> None:
        super().__init__()
        self.clock = clock
        self.is_broken = is_broken
        self.late = timedelta(0)
        self.left = [ONE]
        self.tries = 0
        self.asked = 0

    async def due_timers(self, limit: int) -> Sequence[Timer]:
        del limit
        now = self.clock.now()
        self.clock.advance(self.late)
        return [timer for timer in self.left if timer.due_at <= now]

    async def next_timer(self) -> datetime | None:
        self.asked += 1
        self.change()
        return min((timer.due_at for timer in self.left), default=None)

    async def fire(self, timer: Timer, **_: object) -> bool:
        self.tries += 1
        if self.is_broken:
            raise RuntimeError
        self.left.remove(timer)
        self.change()
        return True


async def test_a_timer_that_falls_due_while_we_look_fires_at_once() -> None:
    clock = StoppedClock(DUE_AT - timedelta(seconds=1))
    store = OneTimer(clock)
    store.late = timedelta(seconds=1)
    async with Timekeeper(store, clock, {}, {}):
        await store.until(lambda: not store.left)
    assert clock.now() - DUE_AT <= timedelta(seconds=2)


async def test_a_timer_that_cannot_fire_is_tried_again_at_the_sweep() -> None:
    clock = StoppedClock(DUE_AT)
    store = OneTimer(clock, is_broken=True)
    async with Timekeeper(store, clock, {}, {}):
        await store.until(lambda: store.asked)
        assert store.tries == 1
        store.is_broken = False
        clock.advance(SWEEP)
        await store.until(lambda: not store.left)
