"""Other people's text made safe to look at: what cannot be seen is shown. And how long it is then."""

from __future__ import annotations

import re
import unicodedata

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

SHORT = 2_000
"""What every channel can show whole on the card of an open review: room for it is kept there. Counted as
`escaped` counts, the sternest of them."""
_LONGEST_MARK = 10
"""`⟨U+10FFFF⟩`: no character takes more than this."""
_STEPS_BACK = 64
"""How far a cut may move to keep a grapheme whole; beyond it the text is made to be uncuttable."""


def literal(text: str) -> str:
    """The text with every control, bidi, zero-width or otherwise invisible character as `⟨U+202E⟩`."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text  # most texts, and much quicker than to look at each character
    return UNSEEN.sub(_mark, text)


def is_blank(text: str) -> bool:
    """Whether nothing of it can be seen: white space, and characters without ink."""
    return not UNSEEN.sub("", text).strip()


def utf16(text: str) -> int:
    """Length in UTF-16 code units, which is how Telegram counts (Bot API, MessageEntity)."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def escaped(text: str) -> int:
    """Length as Slack may count it: UTF-16 units, after `&`, `<` and `>` were escaped."""
    return utf16(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def is_short(text: str) -> bool:
    """Whether a card shows the text whole; else it goes into the thread as a file, too."""
    if len(text) * _LONGEST_MARK <= SHORT:
        return True
    return len(text) <= SHORT and escaped(literal(text)) <= SHORT


def _mark(found: re.Match[str]) -> str:
    return f"⟨U+{ord(found[0]):04X}⟩"


def cut_off(missing: int) -> str:
    """What stands in place of the end of a line."""
    return f"… ({missing:,} more characters)"


def boundary(text: str, cut: int) -> int:
    """Where to cut instead, at most so far, for graphemes to stay whole."""
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
        or (before, char) == ("\r", "\n")
        or "\U000e0020" <= char <= "\U000e007f"  # the letters of a flag such as Scotland's
        or before == char in {"`", "~"}  # which may be a fence
    )


def _indicators_before(text: str, at: int) -> int:
    """How many regional indicators stand right before `at`; two make a flag."""
    start = at
    while start > 0 and "\U0001f1e6" <= text[start - 1] <= "\U0001f1ff":
        start -= 1
    return at - start
