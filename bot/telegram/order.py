"""Updates that are put off, in the order in which they came: what one person says last is to stand.

Of an approval that the database refused for now, and its withdrawal a second later, the second may be tried
again first: nothing would be taken back, and the approval counted after it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from core.errors import Unavailable

if TYPE_CHECKING:
    from telegram import Update

    from core.ports import Clock

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
