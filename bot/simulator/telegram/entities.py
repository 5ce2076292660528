"""Text with entities: what becomes of a text that a bot or a person sends.

Offsets and lengths are in UTF-16 units; "byte offset" in an error counts UTF-8 bytes of what was sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.simulator.telegram.errors import bad_request
from bot.simulator.telegram.html import Html
from bot.simulator.telegram.limits import ENTITIES, utf16_length
from bot.simulator.telegram.markdown import MarkdownV2
from bot.simulator.telegram.reader import Formatted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bot.simulator.telegram.chats import User
    from bot.simulator.telegram.reader import Entity

FOUND = {
    "bot_command": re.compile(r"(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z]\w{2,31})?(?![\w/])"),
    "mention": re.compile(r"(?<![\w@/])@[A-Za-z]\w{3,31}"),
    "url": re.compile(r"https?://[^\s/]+\.[^\s]*[^\s.,;:!?)]"),
}


def formatted(
    text: str, parse_mode: str | None, entities: Sequence[Entity], known: Callable[[int], User | None]
) -> Formatted:
    """What becomes of a text that a bot sends; a link to a user stays only where the bot knows them."""
    if not parse_mode:
        marked = Formatted(text=text, entities=tuple(dict(entity) for entity in entities))
    elif parse_mode.lower() == "html":
        marked = Html(text, known).read()
    elif parse_mode.lower() == "markdownv2":
        marked = MarkdownV2(text, known).read()
    else:
        raise bad_request("unsupported parse_mode")
    return _with_found(_trimmed(marked))


def found_entities(text: str) -> list[Entity]:
    """What Telegram marks by itself, in texts of people and bots alike: commands, mentions, addresses."""
    return [
        {"type": kind, "offset": utf16_length(text[: match.start()]), "length": utf16_length(match[0])}
        for kind, pattern in FOUND.items()
        for match in pattern.finditer(text)
    ]


def _with_found(marked: Formatted) -> Formatted:
    taken = [
        (entity["offset"], entity["offset"] + entity["length"])
        for entity in marked.entities
        if entity["type"] in {"text_link", "text_mention", "code", "pre"}
    ]
    found = [
        entity
        for entity in found_entities(marked.text)
        if not any(
            begin < entity["offset"] + entity["length"] and entity["offset"] < end for begin, end in taken
        )
    ]
    both = [*marked.entities, *(entity for entity in found if entity not in marked.entities)]
    both.sort(key=lambda entity: (entity["offset"], -entity["length"]))
    return Formatted(text=marked.text, entities=tuple(both[:ENTITIES]))


def _trimmed(marked: Formatted) -> Formatted:
    """White space around a text is dropped, and its entities move with it."""
    text = marked.text.replace("\r", "").replace("\0", " ")
    start = utf16_length(text) - utf16_length(text.lstrip())
    text = text.strip()
    end = utf16_length(text)
    kept = []
    for entity in marked.entities:
        begin = max(0, entity["offset"] - start)
        length = min(end, entity["offset"] + entity["length"] - start) - begin
        if length > 0:
            kept.append({**entity, "offset": begin, "length": length})
    return Formatted(text=text, entities=tuple(kept))
