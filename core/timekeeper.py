"""Lets what falls due on open reviews happen: reminders, escalations, expiry; has cards say what comes next.

It holds no truth: timers are rows, and what fell due while nobody looked happens at the next look.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Self

import structlog

from core.calling import Calls
from core.defects import defect
from core.errors import Refused, Unavailable
from core.model import ABSENCES, TIMERS
from core.outages import Outage
from core.stopping import cut_off

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime
    from types import TracebackType

    from core.model import ChannelName, Hint, Person, PersonId, Policy, StoredEvent, Timer
    from core.ports import Alarm, Clock, TimerStore

log = structlog.get_logger()

AT_ONCE = 64
"""Timers read in one go."""
SWEEP = timedelta(seconds=1)
"""How often timers are looked at that nobody told us of: of another server, or after the clock was set."""
PAUSE = timedelta(seconds=1)
"""Before the next try where the database cannot be asked."""
BROKEN = timedelta(seconds=30)
"""Before the next try of a timer that did not happen for a defect."""


class Timekeeper:
    """`async with` it; give it to the store as a listener."""

    def __init__(
        self,
        store: TimerStore,
        clock: Clock,
        people: Mapping[PersonId, Person],
        policies: Mapping[str, Policy],
    ) -> None:
        """`people` and `policies` are those in force now."""
        self._store = store
        self._clock = clock
        self._people = people
        self._policies = policies
        self._wake = asyncio.Event()
        self._waits = False
        self._alarm: Alarm | None = None
        self._task: asyncio.Task[None] | None = None
        self._put_off: dict[Timer, datetime] = {}
        """Timers that did not happen although they were due, and when to try them again."""
        self._calls = Calls(store)
        self._outage = Outage("timers_postponed")

    async def __aenter__(self) -> Self:
        self._calls = Calls(self._store)  # whoever kept the time meanwhile has seen to what was said then
        self._wake.set()
        self._task = asyncio.create_task(self._run(), name="timekeeper")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            await cut_off([self._task])

    def committed(self, _events: Sequence[StoredEvent], due: AbstractSet[ChannelName]) -> None:
        """Look at timers that were set just now; nearly all reviews have none."""
        self._note(due)

    def heard(self, hint: Hint) -> None:
        self._note(hint.due if hint.is_whole else {TIMERS, ABSENCES})

    def _note(self, due: AbstractSet[ChannelName]) -> None:
        if ABSENCES in due:
            self._calls.absent()
        if not due.isdisjoint((ABSENCES, TIMERS)):
            self._wake.set()

    def look(self) -> None:
        """Something was changed that no event tells of."""
        self._wake.set()

    @property
    def is_at_rest(self) -> bool:
        """Whether all that was due has happened; False before the first look."""
        return self._waits and not self._wake.is_set()

    async def _run(self) -> None:
        while True:
            self._waits = True
            await self._wake.wait()
            self._waits = False
            self._wake.clear()
            try:
                await self._fire_due()
                if self._calls.is_wanted:
                    await self._look_for_moved_calls()
                    self._wake.set()
                self._outage.over()
            except Unavailable as error:
                self._outage.failed(error)
                self._wake_at(self._clock.now() + PAUSE)
            except Exception as error:  # noqa: BLE001 - a defect must not end the loop: nothing would expire until the next start
                log.error("timekeeper_broke", **defect(error))
                self._wake_at(self._clock.now() + BROKEN)

    async def _look_for_moved_calls(self) -> None:
        """A defect there must not hold up what falls due: the cards say it with their next change."""
        try:
            await self._calls.step()
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            log.error("calls_not_shown", **defect(error))
            self._calls.give_up()

    async def _fire_due(self) -> None:
        now = self._clock.now()
        self._put_off = {timer: at for timer, at in self._put_off.items() if now < at <= now + BROKEN}
        while (following := await self._store.next_timer()) is not None and following <= self._clock.now():
            found = await self._store.due_timers(AT_ONCE + len(self._put_off))
            due = [timer for timer in found if timer not in self._put_off]
            if not due:
                # One that stays due is broken: it is tried again later, and holds up no other.
                following = None
                break
            for timer in due:
                if (wait := await self._fire(timer)) is not None:
                    self._put_off[timer] = self._clock.now() + wait
        soon = self._clock.now() + SWEEP
        self._wake_at(soon if following is None else min(soon, following))

    async def _fire(self, timer: Timer) -> timedelta | None:
        """None where it is done with, else how long to wait with it."""
        facts = {"review_id": timer.review, "kind": timer.kind.value, "number": timer.number}
        try:
            fired = await self._store.fire(timer, policies=self._policies, people=self._people)
        except Refused as error:
            # Somebody else was first, in the same moment; the next look says what is left.
            log.info("timer_overtaken", reason=str(error), **facts)
            return SWEEP
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a defect in one timer must not hold up the others
            log.error("timer_broke", **facts, **defect(error))
            return BROKEN
        if fired:
            log.info("timer_fired", due_at=timer.due_at.isoformat(), **facts)
        return None

    def _wake_at(self, at: datetime) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._clock.call_at(at, self._wake.set)
