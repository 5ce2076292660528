"""Who is away, and who decides in their place meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from core.errors import Forbidden, Invalid
from core.explaining import called, named
from core.ids import new_id
from core.model import LOCAL, Delegation
from core.reminding import next_reminder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from core.model import Person, PersonId, Policy, ReviewRequest
    from core.ports import Clock, DelegationStore

LONGEST = timedelta(days=366)

log = structlog.get_logger()


class Delegations:
    """What web and bots call."""

    def __init__(
        self,
        store: DelegationStore,
        *,
        person: Callable[[str], Person | None],
        known: Callable[[PersonId], Person],
        is_admin: Callable[[PersonId], bool],
        policies: Mapping[str, Policy],
        clock: Clock,
    ) -> None:
        """`known` raises for somebody whom the configuration lacks; `policies` are those in force now."""
        self._store = store
        self._person = person
        self._known = known
        self._is_admin = is_admin
        self._policies = policies
        self._clock = clock

    async def add(
        self, person: PersonId, delegate: PersonId | None, until: datetime, *, by: PersonId
    ) -> Delegation:
        """Let somebody decide in a person's place until then; with None nobody, the person is only away.

        Replaces what the person had said before. For oneself, or by an administrator.
        Raises `Forbidden`, `Invalid` (for a circle, too).
        """
        self._known(by)
        if by != person and not self._is_admin(by):
            raise Forbidden("Only the person, or somebody whom [admins] lists, may delegate.")
        if self._person(person) is None or (delegate is not None and self._person(delegate) is None):
            raise Invalid("There is no such person in countersign.toml.")
        if delegate == person:
            raise Invalid("Nobody can be their own delegate.")
        if LOCAL in {person, delegate}:
            raise Invalid("In open mode there is only one person, and nobody to decide instead.")
        now = self._clock.now()
        if not now < until <= now + LONGEST:
            raise Invalid(f"The end has to be in the future, at most {LONGEST.days} days from now.")
        made = Delegation(id=new_id(), person=person, delegate=delegate, until=until, made_by=by, made_at=now)
        await self._store.delegate(made)
        log.info("delegated", person=person, delegate=delegate, until=until.isoformat(), by=by)
        return made

    async def end(self, person: PersonId, *, by: PersonId) -> bool:
        """The person is back; whether they were away. Raises `Forbidden`."""
        self._known(by)
        if by != person and not self._is_admin(by):
            raise Forbidden("Only the person, or somebody whom [admins] lists, may end this.")
        ended = await self._store.revoke_delegation(person)
        if ended:
            log.info("delegation_ended", person=person, by=by)
        return ended

    async def end_those_of_strangers(self) -> None:
        """Whom the configuration names no more is nobody's delegate, and has none, also once named again."""
        for of in await self._store.delegations():
            if any(who is not None and self._person(who) is None for who in (of.person, of.delegate)):
                await self._store.revoke_delegation(of.person)
                log.info("delegation_ended", person=of.person, delegate=of.delegate, by="configuration")

    async def called(self, review: ReviewRequest) -> list[Person]:
        """Whom a card of it calls as it is posted: as they and their delegates are there now."""
        away = {of.person: of.delegate for of in await self.standing()}
        return self._people(called(review, away, self._policies))

    def named(self, review: ReviewRequest) -> list[Person]:
        """Whom it names as it changes: who is waited for."""
        return self._people(named(review, self._policies))

    def _people(self, people: Iterable[PersonId]) -> list[Person]:
        return [found for one in people if (found := self._person(one)) is not None]

    async def next_reminder(self, review: ReviewRequest, person: PersonId) -> datetime | None:
        """When the policy's next reminder comes to this person, theirs or as a delegate; None is never."""
        return next_reminder(review, person, self._clock.now(), await self.standing())

    async def standing(self) -> Sequence[Delegation]:
        """All in force now, oldest first."""
        return await self._store.delegations()
