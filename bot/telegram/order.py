"""What one person says, in the order in which they said it: what they said last is to stand.

Of an approval that the database refused for now, and its withdrawal a second later, the second may be tried
again first, or while the first is being tried still: nothing would be taken back, and the approval counted
after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from core.errors import Unavailable

if TYPE_CHECKING:
    import asyncio

    from telegram import Update

    from core.ports import Alarm, Clock

HELD_UP = timedelta(minutes=10)
"""What cannot be handled for longer may be held up by something else than the database."""


class OutOfTurn(Unavailable):
    """It waits for what the same person said before."""


class Waiting(NamedTuple):
    """An update that is put off: by whom (None: nothing waits for it), and since when."""

    user: int | None
    since: timedelta


class PutOff:
    """What is to be handled later; whoever handles it says when it is. Each replica knows its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[int, Waiting] = {}
        """By the ids of updates."""

    def __contains__(self, update: Update) -> bool:
        return update.update_id in self._waiting

    def add(self, update: Update, *, holds_up: bool) -> None:
        """Again keeps its time. `holds_up`: what the same person says after it waits for it."""
        user = update.effective_user
        known = self._waiting.get(update.update_id)
        since = self._clock.steady() if known is None else known.since
        self._waiting[update.update_id] = Waiting(user.id if holds_up and user is not None else None, since)

    def renew(self, update_id: int) -> None:
        """The database is away: that time does not count."""
        if (known := self._waiting.get(update_id)) is not None:
            self._waiting[update_id] = known._replace(since=self._clock.steady())

    def discard(self, update_id: int) -> None:
        """It is handled."""
        self._waiting.pop(update_id, None)

    def check_turn(self, update: Update) -> None:
        """Raise `OutOfTurn` where something waits still that the same person said before.

        By Telegram's ids, which count up (Bot API, Update): of two that fail at once either may be put off
        first.
        """
        user, too_long_ago = update.effective_user, self._clock.steady() - HELD_UP
        if user is not None and any(
            update_id < update.update_id and waiting.user == user.id and waiting.since > too_long_ago
            for update_id, waiting in self._waiting.items()
        ):
            raise OutOfTurn("What this person said before is not handled yet.")


@dataclass(slots=True)
class Said:
    """By one person: it waits to be handed out, or is tried since."""

    update: Update
    about: str | None
    """The review that a press is about, as its button says; None where it may be any."""
    since: timedelta | None = None


@dataclass(slots=True)
class Speaker:
    """What one person has under way."""

    said: dict[int, Said] = field(default_factory=dict)
    """By the ids of updates, which count up."""
    alarm: Alarm | None = None
    """Rings where what others wait for has been tried for too long."""

    def hush(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


class Line:
    """Hands updates out, each once what the same person said before has been tried."""

    def __init__(self, queue: asyncio.Queue[object], clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._speakers: dict[int, Speaker] = {}
        """By people."""
        self._is_closed = False

    def put(self, update: Update) -> None:
        user = update.effective_user
        if user is None:
            self._queue.put_nowait(update)
            return
        speaker = self._speakers.setdefault(user.id, Speaker())
        said = speaker.said
        is_latest = not said or update.update_id > next(reversed(said))
        said[update.update_id] = Said(update, _about(update))
        if not is_latest:
            speaker.said = dict(sorted(said.items()))
        if not (self._is_closed and len(said) > 1):
            self._go_on(speaker)

    def tried(self, update: Update) -> None:
        """It is handled, or put off."""
        user = update.effective_user
        if user is None or (speaker := self._speakers.get(user.id)) is None:
            return
        speaker.said.pop(update.update_id, None)
        if not speaker.said:
            speaker.hush()
            del self._speakers[user.id]
        elif not self._is_closed:
            self._go_on(speaker)

    def close(self) -> None:
        """Hand out nothing more of what waits, nor what comes to wait behind it: it is stored."""
        self._is_closed = True
        for speaker in self._speakers.values():
            speaker.hush()

    def _go_on(self, speaker: Speaker) -> None:
        """In one pass, which ends at the first that all after it wait for: thousands may have piled up.

        Two presses on different reviews are none of each other's.
        """
        now = oldest = self._clock.steady()
        waited_for: set[str] = set()
        for each in speaker.said.values():
            is_free = not waited_for if each.about is None else each.about not in waited_for
            if each.since is None and is_free:
                each.since = now
                self._queue.put_nowait(each.update)
            if each.since is not None:
                if now - each.since >= HELD_UP:
                    continue
                oldest = min(oldest, each.since)
            if each.about is None:
                break
            waited_for.add(each.about)
        speaker.hush()
        if any(each.since is None for each in speaker.said.values()):
            # What it waits for may be tried for ever, and this person say nothing more.
            at = self._clock.now() + (oldest + HELD_UP - now)
            speaker.alarm = self._clock.call_at(at, partial(self._go_on, speaker))


def _about(update: Update) -> str | None:
    """A button that nobody of ours made decides nothing, whatever it stands before."""
    query = update.callback_query
    return None if query is None else (query.data or "").partition(".")[0]
