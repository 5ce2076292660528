"""What one person says, in the order in which they said it: what they said last is to stand.

Of an approval that the database refused for now, and its withdrawal a second later, the second may be tried
again first, or while the first is being tried still: nothing would be taken back, and the approval counted
after it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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


def sender_of(raw: object) -> int | None:
    """Who says that, where an update tells it, as it came."""
    body = (raw.get("callback_query") or raw.get("message")) if isinstance(raw, dict) else None
    sender = body.get("from") if isinstance(body, dict) else None
    user = sender.get("id") if isinstance(sender, dict) else None
    return user if type(user) is int else None


@dataclass(slots=True)
class Said:
    """By one person: it waits to be handed out, or is tried since."""

    update: Update
    about: str | None
    """The review that a press is about, as its button says; None where it may be any."""
    since: timedelta | None = None


class Speaker:
    """What one person has under way."""

    __slots__ = ("_about", "alarm", "is_waiting", "oldest", "said")

    def __init__(self) -> None:
        self.alarm: Alarm | None = None
        self.said: dict[int, Said] = {}
        """By the ids of updates, which count up."""
        self._about: Counter[str | None] = Counter()
        """How much of it is about which review."""
        self.is_waiting = False
        """Whether some of it may wait to be handed out."""
        self.oldest = timedelta(0)
        """Since when the first has been tried of what others wait for."""

    def add(self, one: Said) -> bool:
        """Whether it may be handed out now, as all presses of most people: none of theirs is about the same.

        False is also what only looking at all the others would tell.
        """
        number, said = one.update.update_id, self.said
        self.pop(number)
        is_latest = not said or number > next(reversed(said))
        is_free = one.about is not None and not (self._about[None] or self._about[one.about])
        is_first = is_latest and (not said or is_free) and not self.is_waiting
        said[number] = one
        self._about[one.about] += 1
        if not is_latest:
            self.said = dict(sorted(said.items()))
        self.is_waiting = self.is_waiting or not is_first
        return is_first

    def pop(self, number: int) -> None:
        if (one := self.said.pop(number, None)) is not None:
            self._about[one.about] -= 1
            if not self._about[one.about]:
                del self._about[one.about]

    def hush(self) -> None:
        """There is nothing to be looked at later."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None

    def next(self, now: timedelta) -> list[Update]:
        """What may be handed out by now, which was not before.

        In one pass, which ends at the first that all after it wait for: thousands may have piled up.
        Two presses on different reviews are none of each other's.
        """
        if not self.is_waiting:
            return []
        free: list[Update] = []
        waited_for: set[str] = set()
        self.is_waiting, self.oldest = False, now
        for each in self.said.values():
            is_free = not waited_for if each.about is None else each.about not in waited_for
            if each.since is None and is_free:
                each.since = now
                free.append(each.update)
            self.is_waiting = self.is_waiting or each.since is None
            if each.since is not None:
                if now - each.since >= HELD_UP:
                    continue
                self.oldest = min(self.oldest, each.since)
            if each.about is None:
                self.is_waiting = True
                break
            waited_for.add(each.about)
        return free


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
        one = Said(update, _about(update))
        is_first = speaker.add(one)
        if self._is_closed and len(speaker.said) > 1:
            return
        if is_first:
            one.since = self._clock.steady()
            self._queue.put_nowait(update)
        else:
            self._go_on(speaker)

    def tried(self, update: Update) -> None:
        """It is handled, or put off."""
        user = update.effective_user
        if user is None or (speaker := self._speakers.get(user.id)) is None:
            return
        speaker.pop(update.update_id)
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
        now = self._clock.steady()
        for update in speaker.next(now):
            self._queue.put_nowait(update)
        speaker.hush()
        if speaker.is_waiting:
            # Whatever it waits for may be tried for ever, and this person say nothing more.
            at = self._clock.now() + (speaker.oldest + HELD_UP - now)
            speaker.alarm = self._clock.call_at(at, partial(self._go_on, speaker))


def _about(update: Update) -> str | None:
    """A button that nobody of ours made decides nothing, whatever it stands before."""
    query = update.callback_query
    return None if query is None else (query.data or "").partition(".")[0]
