"""What has changed in a draft since the attempt before, as it is shown where people decide."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.changes import PREVIOUS, difference
from core.literal import boundary, cut_off

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from core.changes import Difference
    from core.model import Decision, Outcome, ReviewId, ReviewRequest
    from core.service import Service

LONGEST = 10_000
"""Characters of a difference that are shown."""
LINE = 4_000
"""Of these, what one line may take."""
OPEN_LINES, OPEN = 30, 2_000
"""Lines, and characters, of one that is not folded."""
WORDS = 1_000
"""Characters of what a reviewer said who is quoted."""
KEPT = 300
"""Differences that are kept: an inbox is asked for every few seconds, and shows a hundred reviews."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """A difference as far as it is shown."""

    words: str
    lines: tuple[str, ...]
    length: int
    """Lines of the whole."""
    is_folded: bool

    @property
    def missing(self) -> int:
        return self.length - len(self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """A decision that led to an attempt, and the beginning of what was said with it."""

    decision: Decision
    words: str
    length: int
    """Characters of all of it."""

    @property
    def missing(self) -> int:
        return self.length - len(self.words)


def quoted(review: ReviewRequest) -> list[Quoted]:
    """The last of those that led to it."""
    return [_quoted(made) for made in review.led[-PREVIOUS:]]


def unquoted(review: ReviewRequest) -> int:
    """How many came before those."""
    return max(0, len(review.led) - PREVIOUS)


class Differences:
    """Each is made once: neither of its drafts changes any more."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: dict[tuple[ReviewId, Outcome], Since | None] = {}

    async def of(self, reviews: Sequence[ReviewRequest]) -> Mapping[ReviewId, Since | None]:
        later = [one for one in reviews if one.attempt > 1]
        # Others keep theirs meanwhile, and may drop what is asked for here.
        found = {_key(one): self._kept[_key(one)] for one in later if _key(one) in self._kept}
        missing = [one for one in later if _key(one) not in found]
        if missing:
            # To compare takes up to 0.2 s, and is done where nobody waits for it but who asks.
            compared = await self._service.compared(missing)
            made = await asyncio.to_thread(_all_since, compared)
            self._keep(made)
            found |= made
        return {one.id: found.get(_key(one)) for one in reviews}

    def _keep(self, made: Mapping[tuple[ReviewId, Outcome], Since | None]) -> None:
        self._kept |= made
        for oldest in list(self._kept)[: max(0, len(self._kept) - KEPT)]:
            del self._kept[oldest]


def _key(review: ReviewRequest) -> tuple[ReviewId, Outcome]:
    return review.id, review.outcome


def _all_since(reviews: Iterable[ReviewRequest]) -> dict[tuple[ReviewId, Outcome], Since | None]:
    return {_key(one): shortened(difference(one)) for one in reviews}


def shortened(found: Difference | None) -> Since | None:
    """As much of the beginning as there is room for."""
    if found is None:
        return None
    lines = tuple(_fitting(found.lines))
    is_short = len(found.lines) <= OPEN_LINES and sum(map(len, lines)) <= OPEN
    return Since(
        words=found.words.removesuffix(":"), lines=lines, length=len(found.lines), is_folded=not is_short
    )


def _fitting(lines: Sequence[str]) -> Iterable[str]:
    room = LONGEST
    for line in lines:
        shown = _clipped(line)
        room -= len(shown) + 1
        if room < 0:
            return
        yield shown


def _clipped(line: str) -> str:
    if len(line) <= LINE:
        return line
    kept = boundary(line, LINE)
    return line[:kept] + cut_off(len(line) - kept)


def _quoted(made: Decision) -> Quoted:
    said = made.comment or ""
    words = said if len(said) <= WORDS else said[: boundary(said, WORDS)]
    return Quoted(decision=made, words=words, length=len(said))
