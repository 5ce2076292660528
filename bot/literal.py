"""Other people's text made safe to look at: what cannot be seen is shown, and what is cut off is counted."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tab and new line
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e"  # format and bidi
    "\u2060-\u206f\ufeff\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a"
    "\u2028\u2029"  # line and paragraph separators
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0e"  # without ink
    "\U000e0000-\U000e0fff"  # tags and variation selectors, which can carry a hidden message
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # surrogates and noncharacters, which no chat accepts
    "]"
    # the emoji selector is left alone after what it can belong to
    "|(?<![0-9#*\xa9\xae\u203c-\u3299\U0001f000-\U0001faff])\ufe0f"
)

_STEPS_BACK = 64
"""How far a cut may move to keep a grapheme whole; beyond it the text is made to be uncuttable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The start of a text as it may be shown, and how many characters (code points) of it are missing."""

    text: str
    missing: int


def literal(text: str) -> str:
    """The text with every control, bidi, zero-width or otherwise invisible character as `⟨U+202E⟩`."""
    return UNSEEN.sub(_mark, text.replace("\r\n", "\n"))


def utf16(text: str) -> int:
    """Length in UTF-16 code units, which is how Telegram counts (Bot API, MessageEntity)."""
    return len(text) + sum(char > "\uffff" for char in text)


def excerpt(text: str, limit: int, length: Callable[[str], int] = utf16) -> Excerpt:
    """As much of the start as `length` measures within `limit`, made visible; graphemes stay whole."""
    if len(text) <= limit and length(shown := literal(text)) <= limit:
        return Excerpt(text=shown, missing=0)
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(literal(text[:middle])) <= limit else (low, middle - 1)
    kept = _boundary(text, low)
    return Excerpt(text=literal(text[:kept]), missing=len(text) - kept)


def clipped(text: str, limit: int, length: Callable[[str], int] = utf16) -> str:
    """One line within `limit` that says itself how many characters are missing."""
    line = " ".join(text.split()) if "\n" in text else text
    whole = excerpt(line, limit, length)
    if not whole.missing:
        return whole.text
    room = max(0, limit - length(_more(len(line))))
    start = excerpt(line, room, length)
    return start.text + _more(start.missing)


def _more(missing: int) -> str:
    return f"… ({missing:,} more characters)"


def _mark(found: re.Match[str]) -> str:
    return f"⟨U+{ord(found[0]):04X}⟩"


def _boundary(text: str, cut: int) -> int:
    for kept in range(cut, max(0, cut - _STEPS_BACK), -1):
        if not _belongs(text, kept):
            return kept
    return 0 if cut <= _STEPS_BACK else cut


def _belongs(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the grapheme before it."""
    if at >= len(text):
        return False
    before, char = text[at - 1], text[at]
    if "\U0001f1e6" <= char <= "\U0001f1ff":
        return _indicators_before(text, at) % 2 == 1
    return (
        unicodedata.category(char).startswith("M")
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or "\u1160" <= char <= "\u11ff"  # Hangul vowels and finals
        or "\u200d" in {before, char}
        or (before, char) == ("\r", "\n")
    )


def _indicators_before(text: str, at: int) -> int:
    """How many regional indicators stand right before `at`; two make a flag."""
    start = at
    while start > 0 and "\U0001f1e6" <= text[start - 1] <= "\U0001f1ff":
        start -= 1
    return at - start
