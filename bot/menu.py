"""What somebody may do about an open review besides deciding: tapped in a card's menu, or typed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from bot.buttons import Action
from bot.cards import Line, Theirs, clock_time, url_of
from bot.moments import later
from core.errors import ConfirmOnPage, Invalid
from core.literal import literal
from core.timetable import next_morning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from bot.buttons import Press
    from core.model import PersonId, ReviewId, ReviewRequest
    from core.ports import Clock
    from core.service import Service

Act: TypeAlias = "Callable[[ReviewId, PersonId, str], Awaitable[Answer]]"

ACTIONS = frozenset({Action.CLAIM, Action.SNOOZE_HOUR, Action.SNOOZE_DAY, Action.WITHDRAW})
"""The presses that `Menu.pressed` takes."""
LISTED = 10
"""More reviews than these are not listed, but counted: a chat has limits, the inbox has none."""
MOST = 100
"""More reviews than these are not even counted."""
OFF = frozenset({"off", "stop", "no"})

LATER = (
    "Say it as “{0}later 2h”, “{0}later tomorrow” or “{0}later 2026-11-30”; a day begins at 9:00, "
    "unless a time follows: “{0}later today 18:00”. “{0}later off” takes it back."
)
LOOKING = "Say it as “{0}looking”, and “{0}looking off” when you look no more."
WITHDRAW = "Say it as “{0}withdraw”, and nothing after it: it takes back what you decided."
"""`{0}` is what commands begin with on the platform."""
WAITING = (
    "No review waits for you.",
    "More than one review waits for you. {} Or open the one that you mean:",
)
"""Where none or more than one can be meant; `{}` is how one points at a card."""
DECIDED = (
    "There is no open review on which you have decided.",
    "You have decided on more than one open review. {} Or open the one that you mean:",
)


class Word(StrEnum):
    """What somebody types."""

    LOOKING = "looking"
    LATER = "later"
    WITHDRAW = "withdraw"


NOT_SAID = {
    Word.LOOKING: "You are not looking at any review.",
    Word.LATER: "You have put off no reminder.",
}
"""Where there is nothing that “off” could take back."""
_UNCLEAR = {Word.LOOKING: WAITING, Word.LATER: WAITING, Word.WITHDRAW: DECIDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One of several things that an answer lists."""

    title: str
    facts: Line
    links: tuple[tuple[str, str], ...]
    """What each leads to, in words of ours, and its URL; the first is the title's, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person reads in answer."""

    line: Line
    page: str | None = None
    """Of the task whose title stands in the line: what to say instead where others read it, too."""
    choices: tuple[tuple[str, str], ...] = ()
    """Where it is not clear which task was meant: the title and the page of each that it can be."""
    code: str | None = None
    """Lines to be copied."""
    entries: tuple[Entry, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """What stands below all else, as the links of an entry."""
    more: int = 0
    """How many there are besides the `choices` or `entries`; with these `MOST` of them are `MOST` or more."""

    def rest(self, shown: int) -> str | None:
        """What stands before the links where a chat shows so many of them and there are more."""
        listed = len(self.choices) + len(self.entries)
        left = listed + self.more - shown
        if left <= 0:
            return None
        at_least = "at least " if listed + self.more >= MOST else ""
        return f"And {at_least}{left:,} more{':' if self.links else '.'}"

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing else than the line, and that in words of ours."""
        has_more = self.choices or self.code or self.entries or self.links
        return not has_more and not any(isinstance(part, Theirs) for part in self.line)

    @property
    def text(self) -> str:
        """The line alone, made visible: for notifications, and where nothing in it can come alive."""
        return "".join(literal(part.text) if isinstance(part, Theirs) else part for part in self.line)


def about(words: str, review: ReviewRequest, public_url: str) -> Answer:
    """Words that stand apart from the card that they are about: with the task's title and its page."""
    return Answer(line=(words,), choices=((review.task.title, url_of(review.task.id, public_url)),))


def inbox_link(public_url: str) -> tuple[str, str]:
    """As one of an answer's `links`."""
    return "Your inbox", f"{public_url.rstrip('/')}/inbox"


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
                return await self._snooze(said.review, person, via, until=timedelta(hours=1))
            case Action.SNOOZE_DAY:
                morning = next_morning(self.clock.now(), self.service.somebody(person))
                return await self._snooze(said.review, person, via, until=morning)
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
        act, ends = self._asked(word, words, person, prefix)
        if review is None:
            found = await self._candidates(word, person, ends=ends)
            if len(found) != 1:
                return self._which(found, word, pointing, ends=ends)
            review = found[0].id
        try:
            return await act(review, person, via)
        except ConfirmOnPage as error:
            return Answer(line=(str(error),), choices=(self._choice(await self.service.review(review)),))

    def _asked(self, word: Word, words: str, person: PersonId, prefix: str) -> tuple[Act, bool]:
        """What to do, and whether that ends what was said before. Raises `Invalid`."""
        said = words.strip().lower()
        match word:
            case Word.WITHDRAW if not said:
                return self._withdraw, False
            case Word.WITHDRAW:
                raise Invalid(WITHDRAW.format(prefix))
            case Word.LOOKING if said in OFF:
                return self._release, True
            case Word.LOOKING if not said:
                return self._claim, False
            case Word.LATER if said in OFF:
                return self._wake, True
            case Word.LATER:
                return partial(self._snooze, until=self._moment(said, person, prefix)), False
        raise Invalid(LOOKING.format(prefix))

    async def _candidates(self, word: Word, person: PersonId, *, ends: bool) -> Sequence[ReviewRequest]:
        """The reviews that can be meant where none is named."""
        if word is Word.WITHDRAW:
            return await self.service.answered_by(person, limit=MOST)
        waiting = await self.service.waiting_for(person, limit=MOST)
        if not ends:
            return waiting
        said = [
            one
            for one in waiting
            if any(mark.person == person for mark in (one.claims if word is Word.LOOKING else one.snoozes))
        ]
        # Of the only one that can be meant it is said when its next reminder comes.
        return waiting if not said and word is Word.LATER and len(waiting) == 1 else said

    def _which(self, found: Sequence[ReviewRequest], word: Word, pointing: str, *, ends: bool) -> Answer:
        """Raises `Invalid` where there is none."""
        nothing, several = _UNCLEAR[word]
        if not found:
            raise Invalid(NOT_SAID[word] if ends else nothing)
        choices = tuple(self._choice(one) for one in found[:LISTED])
        more = len(found) - len(choices)
        # What somebody has decided on is in no inbox of theirs any more.
        links = (inbox_link(self.public_url),) if more and word is not Word.WITHDRAW else ()
        return Answer(line=(several.format(pointing),), choices=choices, links=links, more=more)

    def _choice(self, review: ReviewRequest) -> tuple[str, str]:
        return review.task.title, url_of(review.task.id, self.public_url)

    async def _claim(self, review: ReviewId, person: PersonId, via: str) -> Answer:
        claimed = await self.service.looking.claim(review, person, via=via)
        return self._said("The cards say that you are looking at", claimed)

    async def _release(self, review: ReviewId, person: PersonId, via: str) -> Answer:
        released = await self.service.looking.release(review, person, via=via)
        return self._said("The cards no longer say that you are looking at", released)

    async def _snooze(
        self, review: ReviewId, person: PersonId, via: str, *, until: datetime | timedelta
    ) -> Answer:
        snoozed = await self.service.looking.snooze(review, person, until, via=via)
        at = next(one.until for one in snoozed.snoozes if one.person == person)
        by = snoozed.expires_at
        if by is not None and by <= at:
            never = f" comes to you before {clock_time(by)}, by when it is to be decided."
            return self._said("No reminder of", snoozed, never)
        return self._said("You are reminded of", snoozed, f" at {clock_time(at)}, not before.")

    async def _wake(self, review: ReviewId, person: PersonId, via: str) -> Answer:
        woken = await self.service.looking.wake(review, person, via=via)
        at, by = await self.service.delegations.next_reminder(woken, person), woken.expires_at
        if at is not None:
            return self._said("You are reminded of", woken, f" when everybody is, next at {clock_time(at)}.")
        end = f"; it is to be decided by {clock_time(by)}" if woken.is_open and by is not None else ""
        return self._said("Nothing reminds you of", woken, f"{end}.")

    async def _withdraw(self, review: ReviewId, person: PersonId, via: str) -> Answer:
        withdrawn = await self.service.withdraw(review, person, via=via)
        return self._said("Your decision on", withdrawn, " is taken back.")

    def _said(self, before: str, review: ReviewRequest, after: str = ".") -> Answer:
        title = Theirs(text=review.task.title or "(untitled)")
        return Answer(
            line=(f"{before} attempt {review.attempt} of ", title, after),
            page=url_of(review.task.id, self.public_url),
        )

    def _moment(self, said: str, person: PersonId, prefix: str) -> datetime:
        try:
            return later(said, self.clock.now(), self.service.somebody(person))
        except (ValueError, OverflowError):
            raise Invalid(LATER.format(prefix)) from None
