"""Has open cards say when people are called next, once somebody is away, or back.

What a card says of that depends on who is away, and nothing happens to its review as they go: so it is looked
for, a page of reviews at a time, and shown when nobody waits for it. It holds no truth: what is missed, as
while a server dies, is on the card with its next change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Delegation
    from core.ports import CallStore

AT_A_TIME = 20
"""Open reviews of one step: no decision waits for longer than it takes to raise so many cards."""


class Calls:
    """`step` it while it `is_wanted`."""

    def __init__(self, store: CallStore) -> None:
        self._store = store
        self._away: Sequence[Delegation] | None = None
        """Who was at the last look; None before the first, which changes nothing."""
        self._walk: tuple[Sequence[Delegation], str | None] | None = None
        """Who was away before, and the review that was looked at last since."""
        self._may_differ = True

    def absent(self) -> None:
        """Somebody said that they are away, or back."""
        self._may_differ = True

    @property
    def is_wanted(self) -> bool:
        return self._may_differ or self._walk is not None

    async def step(self) -> None:
        """Look at one page. Raises `Unavailable`: it is still wanted then."""
        if self._walk is None:
            await self._begin()
        if self._walk is not None:
            before, after = self._walk
            moved, last = await self._store.moved_calls(before, after=after, limit=AT_A_TIME)
            if moved:
                await self._store.show_calls(moved)
            self._walk = None if last is None else (before, last)

    def give_up(self) -> None:
        """Nothing is looked for until somebody says again that they are away, or back."""
        self._walk, self._may_differ = None, False

    async def _begin(self) -> None:
        self._may_differ = False  # before it is read: who says so meanwhile is looked for once more
        try:
            away = await self._store.delegations()
        except BaseException:
            self._may_differ = True
            raise
        before, self._away = self._away, away
        if before is not None and before != away:
            self._walk = (before, None)
