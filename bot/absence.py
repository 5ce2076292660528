"""`away` and `back`: what somebody types to say who decides for them, and until when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.moments import end_of
from core.errors import Invalid
from core.model import LOCAL, Person, clock_name

if TYPE_CHECKING:
    from datetime import datetime

    from bot.people import Directory
    from core.model import PersonId
    from core.ports import Clock
    from core.service import Service

HOW = (
    "Say it as “{0}away Ben Okafor until 2026-11-30”, or “{0}away nobody until tomorrow” if nobody is to "
    "decide for you. A day counts to its end in your time zone; a time may follow it. “{0}back” ends it."
)
"""`{0}` is what commands begin with on the platform."""
NO_ONE = "nobody"
NOBODY = "Nobody of that name is known here: write the name, or the key, of somebody in countersign.toml."
SEVERAL = "More than one person has that name: write their key in countersign.toml instead."
NOT_AWAY = "You were not away."
WELCOME = "Welcome back: you are reminded again, and nobody decides for you."
"""True also where nobody did meanwhile."""

LONGEST = 400
"""Characters of what is typed that are read: a name, and a moment."""
_AWAY = re.compile(r"(?:(\S.*?)\s+)?until\s+(\S+)(?:\s+(?:at\s+)?(\S+))?", re.IGNORECASE | re.DOTALL)
_MENTION = re.compile(r"<@[^<>]*>")
"""With more beside it nobody knows who is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absences:
    """Answers in one sentence; raises what `Service.delegate` raises, and `Invalid` for wrong words."""

    service: Service
    people: Directory
    clock: Clock

    async def away(
        self, person: PersonId, words: str, *, prefix: str, delegate: PersonId | None = None
    ) -> str:
        """`words` are what follows `away`; `delegate` is whom a mention in them named."""
        said = " ".join(words.split())
        found = _AWAY.fullmatch(said) if len(said) <= LONGEST else None
        if found is None or (delegate is not None and not _MENTION.fullmatch(found[1] or "")):
            raise Invalid(HOW.format(prefix))
        me = self.service.somebody(person)
        until = _moment(me, found[2], found[3], self.clock.now(), prefix)
        if found[1] and delegate is None and found[1].casefold() != NO_ONE:
            delegate = self.named(found[1])
        made = await self.service.delegations.add(person, delegate, until, by=person)
        ends = me.local(made.until)
        return f"You are away until {ends:%Y-%m-%d %H:%M} {clock_name(ends)}; {self._consequence(delegate)}"

    async def back(self, person: PersonId) -> str:
        return WELCOME if await self.service.delegations.end(person, by=person) else NOT_AWAY

    def named(self, words: str) -> PersonId:
        """By key, or by name where that is one person's alone. Raises `Invalid`."""
        wanted = words.strip().removeprefix("@").strip()
        for key in (wanted, wanted.casefold()):
            if key != LOCAL and (known := self.service.person(key)) is not None:
                return known.id
        everybody = {*self.people.slack.values(), *self.people.telegram.values()}
        found = [
            one.id
            for one in map(self.service.person, everybody)
            if one is not None and one.name.casefold() == wanted.casefold()
        ]
        if len(found) != 1:
            raise Invalid(SEVERAL if found else NOBODY)
        return found[0]

    def _consequence(self, delegate: PersonId | None) -> str:
        if delegate is None:
            return "nobody decides for you, and reminders leave you in peace."
        return f"{self.service.somebody(delegate).name} decides for you."


def _moment(person: Person, day: str, hour: str | None, now: datetime, prefix: str) -> datetime:
    """The end of a day, or a minute of it, by this person's clock unless the minute names another."""
    try:
        return end_of(day, hour, now, person)
    except (ValueError, OverflowError):
        raise Invalid(HOW.format(prefix)) from None
