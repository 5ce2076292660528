"""What has changed between two drafts, line by line, for whoever decides: on a card and on a page. Pure.

Lines are those of `diff -u` without its numbers: `-` was there before, `+` is there now, ` ` is around it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from typing import TYPE_CHECKING

from core.differences import CHANGED, common, ends
from core.model import Point, Verdict, text_of

if TYPE_CHECKING:
    from core.model import ReviewRequest

COMPARED = 100_000
"""Characters of each draft; cards are drawn between presses, which nothing may hold up."""
COMMON = 20
"""A line that stands there more often, as a blank one or a bracket, marks no place; and the time that
comparing takes grows with the square of it."""
AROUND = 2
"""Lines shown around a change."""
GAP = "@@"
"""Stands for lines that are left out between two changes, as in `diff -u`."""
LONG = 160
"""Prose comes as one line for each paragraph; a line as long as this is compared by its sentences."""
ELIDED = "…"
"""Stands for the same words in a line before and the line after."""
PREVIOUS = 3
"""Of the rejections that led to an attempt, so many are quoted, the last."""
_SENTENCE = re.compile(r"(?<=[.!?;:] )(?=\S)")
_WORDS_KEPT = 40
"""Characters kept, at least, of what two long lines have in common around their difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the draft differs from what was shown before it."""

    words: str
    """Ours: what is compared, or why nothing is."""
    lines: tuple[str, ...] = ()
    """See the module."""


def is_compared(request: ReviewRequest) -> bool:
    """Whether what was asked before in its place is what its draft is compared with. What a node asks itself
    may be another question each time, unless it is an edit of the last."""
    if request.attempt == 1:
        return False
    is_edited = request.previous is not None and request.previous.verdict is Verdict.EDIT
    return request.point is not Point.INSIDE or is_edited


def difference(request: ReviewRequest) -> Difference | None:
    """From the draft of the attempt before or, once an edit is approved, from what it is an edit of; None
    where there is nothing to compare, or `earlier` was not read."""
    draft = text_of(request.content)
    if request.content != request.draft:
        before, since = text_of(request.draft), "by the edit"
    elif request.earlier is not None:
        before, since = text_of(request.earlier.draft), f"since attempt {request.earlier.attempt}"
    else:
        return None
    lines = changes(before, draft)
    if lines is None:
        return Difference(words=f"Changed {since}: too much to be compared here.")
    if not lines:
        what = "Nothing was changed" if before == draft else "Only line ends were changed"
        return Difference(words=f"{what} {since}.")
    # what cannot be seen in the lines themselves
    what = "Only white space was changed" if before.split() == draft.split() else "Changed"
    return Difference(words=f"{what} {since}:", lines=tuple(lines))


def changes(before: str, now: str) -> list[str] | None:
    """The lines to show; empty where no line differs, None for texts too long or too different to compare."""
    before, now = before.replace("\r\n", "\n"), now.replace("\r\n", "\n")
    if before == now:
        return []
    if max(len(before), len(now)) > COMPARED:
        return None
    one, other = _lines(before), _lines(now)
    head, tail = ends(one, other)
    first, last = max(0, head - AROUND), max(0, tail - AROUND)
    one, other = one[first : len(one) - last], other[first : len(other) - last]
    return None if max(len(one), len(other)) > CHANGED else _told(one, other)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return list(chain.from_iterable(_SENTENCE.split(line) if len(line) > LONG else [line] for line in lines))


def _told(one: list[str], other: list[str]) -> list[str]:
    told: list[str] = []
    counted = Counter(other)
    matcher = SequenceMatcher(
        lambda line: not line.strip() or counted[line] > COMMON, one, other, autojunk=False
    )
    for group in matcher.get_grouped_opcodes(AROUND):
        told += [GAP] if told else []
        for kind, start, end, begin, until in group:
            if kind == "equal":
                told += [f" {line}" for line in one[start:end]]
            else:
                told += _replaced(one[start:end], other[begin:until])
    return told


def _replaced(gone: list[str], come: list[str]) -> list[str]:
    """As many lines in place of as many: each beside its own."""
    if len(gone) != len(come):
        return [*(f"-{line}" for line in gone), *(f"+{line}" for line in come)]
    pairs = (_elided(before, now) for before, now in zip(gone, come, strict=True))
    return [line for before, now in pairs for line in (f"-{before}", f"+{now}")]


def _elided(before: str, now: str) -> tuple[str, str]:
    """Two long lines without most of what they have in common, which is left out between words."""
    if min(len(before), len(now)) <= LONG:
        return before, now
    start = before.rfind(" ", 0, max(0, common(before, now) - _WORDS_KEPT)) + 1
    before, now = before[start:], now[start:]
    shared = common(before[::-1], now[::-1])
    keep = before.find(" ", len(before) - shared + _WORDS_KEPT) if shared > _WORDS_KEPT else -1
    end = 0 if keep < 0 else len(before) - keep
    head, tail = ELIDED * bool(start), ELIDED * bool(end)
    return f"{head}{before[: len(before) - end]}{tail}", f"{head}{now[: len(now) - end]}{tail}"
