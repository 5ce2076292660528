"""What somebody may do about an open review besides deciding: tapped in a card's menu, or typed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from bot.buttons import Action
from bot.cards import Line, Theirs, clock_time, url_of
from bot.moments import later
from core.errors import Invalid
from core.timetable import next_morning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from bot.buttons import Press
    from core.model import PersonId, ReviewId, ReviewRequest
    from core.ports import Clock
    from core.service import Service

ACTIONS = frozenset({Action.CLAIM, Action.SNOOZE_HOUR, Action.SNOOZE_DAY, Action.WITHDRAW})
"""The presses that `Menu.pressed` takes."""
LISTED = 10
"""More reviews than these are not listed: a chat has limits, the inbox has none."""
OFF = frozenset({"off", "stop", "no"})

LATER = (
    "Say it as “{0}later 2h”, “{0}later tomorrow” or “{0}later 2026-11-30”; a day begins at 9:00 UTC, "
    "unless a time follows. “{0}later off” takes it back."
)
LOOKING = "Say it as “{0}looking”, and “{0}looking off” when you look no more."
"""`{0}` is what commands begin with on the platform."""
NOTHING_WAITS = "No review waits for you."
NOTHING_DECIDED = "There is no open review on which you have decided."
SEVERAL_WAIT = "More than one review waits for you. {} Or open the one that you mean:"
SEVERAL_DECIDED = "You have decided on more than one open review. {} Or open the one that you mean:"


class Word(StrEnum):
    """What somebody types."""

    LOOKING = "looking"
    LATER = "later"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person reads in answer."""

    line: Line
    page: str | None = None
    """Of the task whose title stands in the line: what to say instead where others read it, too."""
    choices: tuple[tuple[str, str], ...] = ()
    """Where it is not clear which task was meant: the title and the page of each that it can be."""

    @property
    def text(self) -> str:
        """The line alone, where nothing in it can come alive."""
        return "".join(part.text if isinstance(part, Theirs) else part for part in self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """Raises what `Service` raises, and `Invalid` for wrong words."""

    service: Service
    clock: Clock
    public_url: str

    async def pressed(self, said: Press, person: PersonId, *, via: str) -> Answer:
        """Do what one of `ACTIONS` asks for; twice is harmless."""
        match said.action:
            case Action.CLAIM:
                return await self._claim(said.review, person, via)
            case Action.SNOOZE_HOUR:
                return await self._snooze(said.review, person, timedelta(hours=1), via)
            case Action.SNOOZE_DAY:
                return await self._snooze(said.review, person, next_morning(self._now()), via)
            case _:
                return await self._withdraw(said.review, person, via)

    async def typed(
        self,
        word: Word,
        words: str,
        person: PersonId,
        *,
        via: str,
        prefix: str,
        pointing: str,
        review: ReviewId | None = None,
    ) -> Answer:
        """`words` are what follows `word`; `review` is the one that they point at, by a reply to its card.

        Without it the only one that can be meant is. `pointing` is how one points here, as a sentence.
        """
        match word:
            case Word.LOOKING:
                is_over = _switch(words, LOOKING.format(prefix))
                meant = review or await self._only_waiting(person, pointing)
                if isinstance(meant, Answer):
                    return meant
                return await (self._release if is_over else self._claim)(meant, person, via)
            case Word.LATER:
                until = self._until(words, prefix)
                meant = review or await self._only_waiting(person, pointing)
                return meant if isinstance(meant, Answer) else await self._snooze(meant, person, until, via)
            case Word.WITHDRAW:
                meant = review or await self._only_decided(person, pointing)
                return meant if isinstance(meant, Answer) else await self._withdraw(meant, person, via)

    async def _claim(self, review: ReviewId, person: PersonId, via: str) -> Answer:
        claimed = await self.service.claim(review, person, via=via)
        return self._said("The cards say that you are looking at", claimed)

    async def _release(self, review: ReviewId, person: PersonId, via: str) -> Answer:
        released = await self.service.release(review, person, via=via)
        return self._said("The cards no longer say that you are looking at", released)

    async def _snooze(
        self, review: ReviewId, person: PersonId, until: datetime | timedelta | None, via: str
    ) -> Answer:
        snoozed = await self.service.snooze(review, person, until, via=via)
        at = next((one.until for one in snoozed.snoozes if one.person == person), None)
        if at is None:
            return self._said("You are reminded of", snoozed, " when everybody is.")
        return self._said("You are reminded of", snoozed, f" at {clock_time(at)}, not before.")

    async def _withdraw(self, review: ReviewId, person: PersonId, via: str) -> Answer:
        withdrawn = await self.service.withdraw(review, person, via=via)
        return self._said("Your decision on", withdrawn, " is taken back.")

    def _said(self, before: str, review: ReviewRequest, after: str = ".") -> Answer:
        title = Theirs(text=review.task.title or "(untitled)")
        return Answer(
            line=(f"{before} attempt {review.attempt} of ", title, after),
            page=url_of(review.task.id, self.public_url),
        )

    def _until(self, words: str, prefix: str) -> datetime | None:
        if words.strip().lower() in OFF:
            return None
        try:
            return later(words, self._now())
        except (ValueError, OverflowError):
            raise Invalid(LATER.format(prefix)) from None

    async def _only_waiting(self, person: PersonId, pointing: str) -> ReviewId | Answer:
        found = await self.service.waiting_for(person, limit=LISTED + 1)
        return self._only(found, nothing=NOTHING_WAITS, several=SEVERAL_WAIT.format(pointing))

    async def _only_decided(self, person: PersonId, pointing: str) -> ReviewId | Answer:
        found = await self.service.answered_by(person, limit=LISTED + 1)
        return self._only(found, nothing=NOTHING_DECIDED, several=SEVERAL_DECIDED.format(pointing))

    def _only(self, found: Sequence[ReviewRequest], *, nothing: str, several: str) -> ReviewId | Answer:
        if not found:
            raise Invalid(nothing)
        if len(found) == 1:
            return found[0].id
        choices = [(one.task.title, url_of(one.task.id, self.public_url)) for one in found[:LISTED]]
        if len(found) > LISTED:
            choices.append(("all of them", f"{self.public_url.rstrip('/')}/inbox"))
        return Answer(line=(several,), choices=tuple(choices))

    def _now(self) -> datetime:
        return self.clock.now()


def _switch(words: str, usage: str) -> bool:
    """Whether something is to end; raises `Invalid` for words that say neither."""
    said = words.strip().lower()
    if said and said not in OFF:
        raise Invalid(usage)
    return bool(said)
