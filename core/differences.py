"""How two texts differ, line by line: for the record, for pages and for chats. Pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from core.model import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Json

COMPARED = 5_000
"""Lines of each text."""
CHANGED = 1_000
"""Lines of each that are left once those that both begin and end with are taken off: comparing them takes
time that grows with their square (0.2 s at the worst), and a transaction or a chat waits for it."""
LONGEST = 20_000
"""Characters of a difference that is kept; whoever needs more has both texts."""


def diff(before: Json, now: Json, names: tuple[str, str] = ("draft", "edited")) -> str | None:
    """What was changed, as `diff -u` shows it; None for texts too long or too different to compare."""
    lines = unified(text_of(before).splitlines(), text_of(now).splitlines(), names)
    return None if lines is None else "\n".join(lines)[:LONGEST]


def unified(one: Sequence[str], other: Sequence[str], names: tuple[str, str] = ("", "")) -> list[str] | None:
    """The lines of `diff -u`: two of `names`, unless nothing differs, and three around each change."""
    if max(len(one), len(other)) > COMPARED:
        return None
    head, tail = ends(one, other)
    if max(len(one), len(other)) - head - tail > CHANGED:
        return None
    return list(difflib.unified_diff(one, other, *names, lineterm=""))


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many items both begin with."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def ends(one: Sequence[str], other: Sequence[str]) -> tuple[int, int]:
    """How many items both begin with, and how many of the rest both end with."""
    head = common(one, other)
    return head, common(one[head:][::-1], other[head:][::-1])
