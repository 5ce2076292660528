"""How much room text takes where every character is as wide as another, or twice as wide."""

from __future__ import annotations

from unicodedata import combining, east_asian_width


def columns(text: str) -> int:
    """East Asian wide characters take two columns, combining ones none."""
    return sum(_width(char) for char in text)


def cut(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis."""
    if columns(text) <= most:
        return text
    taken, kept = 1, 0
    for char in text:
        taken += _width(char)
        if taken > most:
            break
        kept += 1
    return text[:kept] + "…"


def printable(text: object) -> str:
    """Text on one line, without what is no character in XML: each of those becomes U+FFFD."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text))


def _width(char: str) -> int:
    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1
