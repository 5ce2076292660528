"""Other people's text made safe to look at: what cannot be seen is shown, and what is cut off is counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.literal import boundary, cut_off, literal, utf16

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_FENCE = re.compile(r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*)$", re.MULTILINE)
"""A line that opens or closes a block of code, and what else it says (CommonMark, fenced code)."""
_INDENT = 3
"""Spaces that may stand before it."""
_WORTH_CLOSING = 80
"""Less code than this before the cut is not worth a block of its own: the cut moves before it."""
_NARROW = 60
"""Room in which nothing but one line is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The start of a text as it may be shown, and how many characters (code points) of it are missing.

    Where that start ends in the middle of a block of code, the line that closes the block follows it.
    """

    text: str
    missing: int


def excerpt(text: str, limit: int, length: Callable[[str], int] = utf16) -> Excerpt:
    """As much of the start as `length` measures within `limit`, made visible; graphemes stay whole, and no
    block of code is left open."""
    if len(text) <= limit and length(shown := literal(text)) <= limit:
        return Excerpt(text=shown, missing=0)
    kept = _cut(text, limit, length)
    fence = _open_fence(text[:kept])
    if fence is None:
        return _excerpt(text, kept)
    closing = f"\n{fence.marker}"
    inside = _cut(text, limit - length(closing), length)
    if inside >= (fence.inside + _WORTH_CLOSING if fence.start else len(fence.marker) + _INDENT):
        return _excerpt(text, inside, closing)
    # A fence so long that nothing would be left beside it is no code.
    return _excerpt(text, fence.start or kept)


def _excerpt(text: str, kept: int, closing: str = "") -> Excerpt:
    return Excerpt(text=literal(text[:kept]) + closing, missing=len(text) - kept)


def _cut(text: str, limit: int, length: Callable[[str], int]) -> int:
    """How many characters of the text fit."""
    low, high = 0, max(0, min(len(text), limit))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(literal(text[:middle])) <= limit else (low, middle - 1)
    return boundary(text, low)


@dataclass(frozen=True, slots=True)
class _Fence:
    """A block of code that is open still."""

    marker: str
    start: int
    inside: int
    """Where its first line of code begins."""


def _open_fence(text: str) -> _Fence | None:
    """The block of code that the text ends in, if it does."""
    found: _Fence | None = None
    for line in _FENCE.finditer(text):
        marker, rest = line[1], line[2]
        if found is None:
            found = _Fence(marker, line.start(), line.end() + 1)
        elif marker[0] == found.marker[0] and len(marker) >= len(found.marker) and not rest.strip():
            found = None
    return found


def clipped(text: str, limit: int, length: Callable[[str], int] = utf16) -> str:
    """One line within `limit` that says itself how many characters are missing."""
    line = " ".join(text.split()) if "\n" in text else text
    if len(line) <= limit and length(shown := literal(line)) <= limit:
        return shown
    start = _excerpt(line, _cut(line, limit - length(cut_off(len(line))), length))
    return start.text + cut_off(start.missing)


def fitting(lines: Sequence[str], room: int, length: Callable[[str], int]) -> tuple[str, int]:
    """The first lines, made visible, as far as `length` measures them within `room`; how many are missing."""
    shown: list[str] = []
    for line in lines:
        # A single line leaves room for the one that came in its place.
        drawn = clipped(line, max(room // 3, min(room, _NARROW)), length)
        room -= length(drawn) + 1
        if room < 0:
            break
        shown.append(drawn)
    return "\n".join(shown), len(lines) - len(shown)
