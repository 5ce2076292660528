"""Keeps the members of groups from outside: asks their sources again and again, trusts no answer for ever.

A source that does not answer takes nobody's word at once: its last answer is good for `stale_after`. After
that, and before its first answer, nobody is in the group. It never is everybody.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Self

import structlog

from core.defects import defect
from core.errors import Unavailable
from core.stopping import cut_off
from countersign.membership import LONGEST_PAUSE
from countersign.sources import Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from core.ports import Alarm, Clock
    from countersign.membership import Ask
    from countersign.sources import Source

log = structlog.get_logger()

AGAIN = timedelta(seconds=30)
"""Before a source is asked anew that did not answer."""
GAP = timedelta(seconds=3)
"""Between two questions that Slack's events call for: 20 a minute (docs.slack.dev, Tier 2)."""
PAGE = 1_000
"""Of so many members each is a call more, and the gap longer by `A_PAGE`: half of what Slack permits of
conversations.members (Tier 4, 100 a minute)."""
A_PAGE = timedelta(seconds=1)
SWEEP = timedelta(seconds=30)
"""How often the time is looked at, for the machine's clock may be set."""
PAUSE = timedelta(seconds=5)
"""Before the next try where members could not be put in force."""


class Standing(Enum):
    """What is known of a group's members."""

    UNKNOWN = "unknown"
    """Nothing yet, and it is too early to say that nothing will be."""
    KNOWN = "known"
    CLOSED = "closed"
    """Nobody, for the source has not answered for too long."""


@dataclass(slots=True, kw_only=True, eq=False)
class Watched:
    """One source, and what it said."""

    source: Source
    since: datetime
    next_at: datetime
    members: tuple[str, ...] = ()
    answered_at: datetime | None = None
    asked_at: datetime | None = None
    asking: asyncio.Task[None] | None = None
    not_before: datetime | None = None
    """It asked to be left alone until then."""
    is_wanted: bool = False
    """Something changed there while it was being asked."""
    reason: str | None = None
    """Why it gave no answer; None where it did."""
    is_closed: bool = False

    def standing(self, now: datetime) -> Standing:
        """A clock that was set back makes no answer younger."""
        if abs(now - (self.answered_at or self.since)) >= self.source.stale_after:
            return Standing.CLOSED
        return Standing.UNKNOWN if self.answered_at is None else Standing.KNOWN

    def is_due(self, now: datetime) -> bool:
        latest = now + max(self.source.refresh, LONGEST_PAUSE)
        return self.asking is None and not now < self.next_at <= latest

    @property
    def ends_at(self) -> datetime:
        """When it is closed, if nothing is answered before."""
        return (self.answered_at or self.since) + self.source.stale_after


class Keeper:
    """`async with` it; `run` it beside everything else."""

    def __init__(self, sources: Mapping[str, Source], ask: Ask, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._watched: dict[str, Watched] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._alarm: Alarm | None = None
        self._answers = 0
        self._waits = False
        self.watch(sources)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        await cut_off(list(self._running))

    def watch(self, sources: Mapping[str, Source]) -> None:
        """From now on these. What is known of a group stays known where its source is the same."""
        before, now = self._watched, self._clock.now()
        self._watched = {}
        for group, source in sources.items():
            known = before.pop(group, None)
            if known is None or known.source != source:
                _stop(known)
                known = Watched(source=source, since=now, next_at=now)
            else:
                known.next_at = min(known.next_at, now + source.refresh)
            newcomers = set(source.candidates) - set(known.source.candidates)
            known.source = source
            self._watched[group] = known
            if newcomers:
                self._want(known)
        for gone in before.values():
            _stop(gone)
        self._wake.set()

    @property
    def is_at_rest(self) -> bool:
        """Whether `run` has asked and put in force all that is due; False before `run`."""
        return self._waits and not self._wake.is_set() and not self._running

    def members(self) -> dict[str, tuple[str, ...]]:
        """Of each group, in its source's words; of those that are known now."""
        now = self._clock.now()
        return {
            group: of.members for group, of in self._watched.items() if of.standing(now) is Standing.KNOWN
        }

    def unknown(self) -> frozenset[str]:
        """Groups of which nothing is known yet, and may soon be."""
        now = self._clock.now()
        return frozenset(g for g, of in self._watched.items() if of.standing(now) is Standing.UNKNOWN)

    def closed(self) -> frozenset[str]:
        """Groups of nobody, for their source has not answered for too long."""
        now = self._clock.now()
        return frozenset(g for g, of in self._watched.items() if of.standing(now) is Standing.CLOSED)

    def changed(self, address: str) -> bool:
        """Slack says that somebody came into this user group or channel, or left it: ask at once.

        Whether a group has its members from there; where none has, nobody is asked.
        """
        found = [
            of
            for of in self._watched.values()
            if (of.source.kind, of.source.address) == (Kind.SLACK, address)
        ]
        for of in found:
            self._want(of)
        self._wake.set()
        return bool(found)

    def _want(self, of: Watched) -> None:
        of.is_wanted = True
        self._hurry(of)

    async def answered(self, within: timedelta) -> None:
        """Return once every source that was never asked has been, or after so long."""
        self._ask_due()
        first = [
            of.asking for of in self._watched.values() if of.asking and not (of.answered_at or of.reason)
        ]
        if first:
            await asyncio.wait(first, timeout=within.total_seconds())

    async def run(self, put: Callable[[], Awaitable[object]]) -> None:
        """Ask for ever. `put` is called whenever something may be otherwise: it puts `members` in force."""
        shown: object = None
        while True:
            self._wake.clear()
            self._ask_due()
            self._note_closed()
            seen = self._seen()
            if seen != shown:
                shown = seen if await _done(put) else None
            self._wake_at(self._clock.now() + PAUSE if shown is None else self._next())
            self._waits = True
            await self._wake.wait()
            self._waits = False

    def _seen(self) -> object:
        """Every answer counts, also the same: a review may have opened meanwhile under what was before."""
        now = self._clock.now()
        return self._answers, {group: (of.source, of.standing(now)) for group, of in self._watched.items()}

    def _ask_due(self) -> None:
        now = self._clock.now()
        for group, of in self._watched.items():
            if of.is_due(now):
                of.asked_at, of.is_wanted = now, False
                of.asking = asyncio.create_task(self._asked(of), name=f"group {group}")
                self._running.add(of.asking)
                of.asking.add_done_callback(self._running.discard)

    async def _asked(self, of: Watched) -> None:
        try:
            members = await self._ask(of.source)
        except Unavailable as error:
            self._failed(of, str(error), error.retry_after)
        except Exception as error:  # noqa: BLE001 - a defect must not end the asking: the group would stay as it is until it is closed
            log.error("group_broke", group=of.source.group, **defect(error))
            self._failed(of, type(error).__name__, AGAIN)
        else:
            self._answered(of, members)
        self._wake.set()

    def _answered(self, of: Watched, members: tuple[str, ...]) -> None:
        now, of.asking = self._clock.now(), None
        if of.reason is not None:
            log.info("group_answers_again", group=of.source.group, members=len(members))
        of.members, of.answered_at, of.reason, of.is_closed = members, now, None, False
        of.not_before, of.next_at = None, now + of.source.refresh
        self._answers += 1
        self._hurry(of)

    def _failed(self, of: Watched, reason: str, pause: timedelta) -> None:
        now, of.asking = self._clock.now(), None
        of.not_before = of.next_at = now + max(AGAIN, min(pause, LONGEST_PAUSE))
        if reason != of.reason:
            until = of.ends_at.isoformat() if of.standing(now) is Standing.KNOWN else None
            log.warning("group_not_answered", group=of.source.group, reason=reason, trusted_until=until)
        of.reason = reason
        self._hurry(of)

    def _hurry(self, of: Watched) -> None:
        """Ask soon where that is wanted, but no more often than it may be."""
        if of.is_wanted and of.asking is None:
            now = self._clock.now()
            gap = GAP + len(of.members) // PAGE * A_PAGE
            soonest = [now, of.not_before or now, now if of.asked_at is None else of.asked_at + gap]
            of.next_at = min(of.next_at, max(soonest))

    def _note_closed(self) -> None:
        now = self._clock.now()
        for group, of in self._watched.items():
            if of.standing(now) is Standing.CLOSED and not of.is_closed:
                of.is_closed = True
                log.warning("group_closed", group=group, reason="Its source has not answered for too long.")

    def _next(self) -> datetime | None:
        now = self._clock.now()
        times = [of.next_at for of in self._watched.values() if of.asking is None]
        times += [of.ends_at for of in self._watched.values() if of.ends_at > now]
        return min([now + SWEEP, *times]) if self._watched else None

    def _wake_at(self, at: datetime | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None
        if at is not None and at <= self._clock.now():
            self._wake.set()  # at once: it is at rest at no moment between
        elif at is not None:
            self._alarm = self._clock.call_at(at, self._wake.set)


async def _done(put: Callable[[], Awaitable[object]]) -> bool:
    try:
        await put()
    except Unavailable as error:
        log.warning("groups_not_put_in_force", reason=str(error))
        return False
    except Exception as error:  # noqa: BLE001 - the next try may go well; who is struck is struck already
        log.error("groups_not_put_in_force", **defect(error))
        return False
    return True


def _stop(watched: Watched | None) -> None:
    if watched is not None and watched.asking is not None:
        watched.asking.cancel()
