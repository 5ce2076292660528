"""Updates that are put off, in the order in which they came: what one person says last is to stand.

Of an approval that the database refused for now, and its withdrawal a second later, the second may be tried
again first: nothing would be taken back, and the approval counted after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import Unavailable

if TYPE_CHECKING:
    from telegram import Update


class OutOfTurn(Unavailable):
    """It waits for what the same person said before."""


class PutOff:
    """What is to be handled later; whoever handles it says when it is."""

    def __init__(self) -> None:
        self._by: dict[int, int | None] = {}
        """Who said it, by the ids of updates, as they came; None where nothing waits for it."""

    def __contains__(self, update: Update) -> bool:
        return update.update_id in self._by

    def add(self, update: Update, *, holds_up: bool) -> None:
        """Again keeps its place. `holds_up`: what the same person says after it waits for it."""
        user = update.effective_user
        self._by[update.update_id] = user.id if holds_up and user is not None else None

    def discard(self, update_id: int) -> None:
        """It is handled."""
        self._by.pop(update_id, None)

    def check_turn(self, update: Update) -> None:
        """Raise `OutOfTurn` where something waits still that the same person said before."""
        user = update.effective_user
        for update_id, said_by in self._by.items():
            if user is None or update_id == update.update_id:
                return
            if said_by == user.id:
                raise OutOfTurn("What this person said before is not handled yet.")
