"""What people wrote, as text: escaped, with characters that hide or reorder text made visible."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from core.literal import UNSEEN
from core.model import clock_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from core.model import Json


def visible(text: str) -> Markup:
    """Safe HTML that shows every character; a hidden one as its code point, with its name as tooltip."""
    clean = text.replace("\r\n", "\n")
    parts: list[str] = []
    at = 0
    for found in UNSEEN.finditer(clean):
        parts.append(str(escape(clean[at : found.start()])))
        parts.append(_mark(found[0]))
        at = found.end()
    parts.append(str(escape(clean[at:])))
    return Markup("".join(parts))  # noqa: S704 - every part is escaped or made of digits


def beginning(value: Json, longest: int) -> tuple[str, bool]:
    """The first characters of a value's `text_of`, and whether that is all of it.

    No more of the text is made than that, for states may be large.
    """
    if isinstance(value, str):
        return value[:longest], len(value) <= longest
    parts: list[str] = []
    room = longest
    for part in _ENCODER.iterencode(value):
        parts.append(part)
        room -= len(part)
        if room < 0:
            return "".join(parts)[:longest], False
    return "".join(parts), True


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, indent=2)


def marked(diff: str) -> Markup:
    """A unified diff, with what came and what went told apart by more than the sign."""
    return Markup("\n").join(
        visible(line) if line.startswith(_NAMES) else _marked(line) for line in diff.split("\n")
    )


def told_apart(lines: Iterable[str]) -> Markup:
    """The same for the lines of `core.changes`, none of which is a name."""
    return Markup("\n").join(map(_marked, lines))


def _marked(line: str) -> Markup:
    """A screen reader may pass over a sign, and say nothing of what an element means."""
    for sign, tag, words in _SIGNS:
        if line.startswith(sign):
            html = Markup('<{0}><span class="unseen">{1}: </span>{2}</{0}>')
            return html.format(tag, words, visible(line))
    return visible(line)


_NAMES = ("+++ ", "--- ")
_SIGNS = (("+", "ins", "Added"), ("-", "del", "Removed"))


def typed(text: str) -> str:
    """The start of a textarea, which an HTML parser would take for its own: NUL, and a first line end."""
    return "\n" + text.replace("\x00", "\ufffd")


def spelled(text: str) -> str:
    """The same for titles and attributes, which hold no elements; the template escapes it."""
    return UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def _mark(character: str) -> str:
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "control character").lower()
    return f'<span class="hidden-character" title="{code} {escape(name)}">{code}</span>'


def shown_time(at: datetime, zone: str) -> Markup:
    """A <time>: to the second, in the reader's zone; the page's script adds the browser's as tooltip."""
    local = at.astimezone(ZoneInfo(zone))
    text = f"{local.day} {local:%b %Y, %H:%M:%S} {clock_name(local)}"
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), text)
