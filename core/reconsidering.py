"""Open reviews, once the configuration says something else of who may decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.counting import comes_to, is_stuck
from core.model import LOCAL, Outcome
from core.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from core.model import PersonId, Policy, ReviewRequest
    from core.ports import OpenReviewStore

AT_A_TIME = 100
SHOWN_AT_ONCE = 20
"""Of cards for which nobody waits: no decision waits for longer than it takes to raise so many."""


class Reconsidering:
    """What is called at a start, and whenever the configuration was read anew."""

    def __init__(self, store: OpenReviewStore, *, policies: Mapping[str, Policy]) -> None:
        """`policies` are those in force now."""
        self._store = store
        self._policies = policies
        self._versions = Versions(policies)

    async def is_due(self, *, besides: Collection[str] = ()) -> bool:
        """Whether what is open is to be looked over under some of the policies; reads one small table."""
        return await self._store.policies_seem_changed(self._policies, besides)

    async def unsettle(self, *, besides: Collection[str] = ()) -> None:
        """Somebody judges by other policies, or has: what is open is to be looked over once more."""
        await self._store.looked_over(self._policies, besides, tuple(self._policies))

    async def look_over(
        self, *, besides: Collection[str] = (), changed_here: Collection[str] = (), settles: bool = True
    ) -> int:
        """Reconsider what is open under policies that changed since the last look, of this process or
        another; how many reviews nobody is left to decide.

        Without a change it reads one small table. `besides` are policies of which is not known yet who is in
        them. Those that `changed_here` are looked over even where another server has: what it left to be
        done may have come to this one, which judged it by what was in force here.

        Where it does not settle, as others still judge by other policies, another look `is_due` after it, and
        until then cards are shown anew for `changed_here` alone: those others may be who shows them.
        """
        self._versions.note()
        changed = await self._store.policies_changed(self._policies, besides)
        if changed is not None:
            changed |= frozenset(changed_here) - frozenset(besides)
            if not changed:
                return 0
        noted = await self._store.last_looked_over()
        shows = None if settles else changed_here
        stuck = await self.under(changed, besides=besides, shows=shows, noted=noted, here=changed_here)
        again = () if settles else tuple(self._policies if changed is None else changed)
        await self._store.looked_over(self._policies, besides, again)
        if settles:
            self._versions.forget(besides=besides)
        return stuck

    async def under(
        self,
        policies: Collection[str] | None,
        *,
        besides: Collection[str] = (),
        shows: Collection[str] | None = None,
        noted: Mapping[str, str] = {},
        here: Collection[str] = (),
    ) -> int:
        """Look for open reviews under these policies (None: under any, but for `besides`) that nobody is left
        to decide; how many there are.

        They escalate, or say so. Those that are decided by who may decide now are closed, likewise: a word
        that did not count may count again; and cards show how many count, and whom they wait for: those under
        policies that this `shows` anew (None: all of them). Page by page: no decision waits.
        `noted` and `here` are as for `Versions.differ`.
        """
        self._versions.note()
        stuck = 0
        last: tuple[datetime, str] | None = None
        while True:
            page = await self._store.open_reviews(after=last, limit=AT_A_TIME)
            concerned = [
                review
                for review in page
                if (review.policy.name not in besides if policies is None else review.policy.name in policies)
            ]
            stuck += await self._reconsidered(concerned)
            shown = [one for one in concerned if shows is None or one.policy.name in shows]
            await self._show(shown, noted, here)
            if len(page) < AT_A_TIME:
                return stuck
            last = (page[-1].opened_at, page[-1].id)

    async def _reconsidered(self, reviews: Sequence[ReviewRequest]) -> int:
        hopeless = [
            review.id
            for review in reviews
            if review.task.submitter != LOCAL and is_stuck(review, self._policies)
        ]
        met = [one.id for one in reviews if comes_to(one, self._policies) is not Outcome.OPEN]
        if hopeless or met:
            await self._store.mark_stuck([*hopeless, *met])
        return len(hopeless)

    async def _show(
        self, reviews: Sequence[ReviewRequest], noted: Mapping[str, str], here: Collection[str]
    ) -> None:
        # Somebody's word may count no more, or again; which it was before, nobody knows.
        recounted = [one.id for one in reviews if one.decisions and not one.policy.keeps_removed]
        if recounted:
            await self._store.show_again(recounted)
        # What people pressed goes first: whom a card waits for may be thousands of cards.
        others = [
            one.id
            for one in reviews
            if one.policy.recipients
            and one.id not in recounted
            and self._versions.differ(one, noted, here=here)
        ]
        for start in range(0, len(others), SHOWN_AT_ONCE):
            await self._store.show_calls(others[start : start + SHOWN_AT_ONCE])

    async def admit(self, members: Mapping[str, Sequence[PersonId]]) -> int:
        """Let those who are in groups from outside now decide on what is open under these groups, too.

        How many open reviews heard of somebody new. Takes nobody away: the policies in force do. Idempotent.
        """
        return await self._store.admit(members)
