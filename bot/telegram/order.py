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


class Said(NamedTuple):
    """An update that is put off: by whom (None: nothing waits for it), and since when."""

    user: int | None
    since: timedelta


class PutOff:
    """What is to be handled later; whoever handles it says when it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[int, Said] = {}
        """By the ids of updates, as they came."""

    def __contains__(self, update: Update) -> bool:
        return update.update_id in self._said

    def add(self, update: Update, *, holds_up: bool) -> None:
        """Again keeps its place. `holds_up`: what the same person says after it waits for it."""
        user = update.effective_user
        known = self._said.get(update.update_id)
        since = self._clock.steady() if known is None else known.since
        self._said[update.update_id] = Said(user.id if holds_up and user is not None else None, since)

    def discard(self, update_id: int) -> None:
        """It is handled."""
        self._said.pop(update_id, None)

    def check_turn(self, update: Update) -> None:
        """Raise `OutOfTurn` where something waits still that the same person said before."""
        user, too_long_ago = update.effective_user, self._clock.steady() - HELD_UP
        for update_id, said in self._said.items():
            if user is None or update_id == update.update_id:
                return
            if said.user == user.id and said.since > too_long_ago:
                raise OutOfTurn("What this person said before is not handled yet.")
