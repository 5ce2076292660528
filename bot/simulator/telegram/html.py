"""parse_mode HTML, read as the Bot API reads it (tdlib/td, MessageEntity.cpp), with its errors."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from bot.simulator.telegram.errors import unparsable
from bot.simulator.telegram.reader import Open, Reader

if TYPE_CHECKING:
    from bot.simulator.telegram.reader import Formatted

TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
START_TAG = re.compile(r"""<([^\s>/]+)((?:\s+[^\s=>]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[\w.-]+))?)*)\s*>""")
END_TAG = re.compile(r"</([^\s>]*)\s*>")
ATTRIBUTE = re.compile(r"""([^\s=>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+)))?""")
CHARACTER_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9a-fA-F]{1,6});?")


class Html(Reader):
    """Bot API "HTML style"."""

    def read(self) -> Formatted:
        at = 0
        while at < len(self.source):
            if self.source[at] == "<":
                at = self._end_tag(at) if self.source[at + 1 : at + 2] == "/" else self._start_tag(at)
            else:
                at = self._text(at)
        if self.open:
            raise unparsable(f'Can\'t find end tag corresponding to start tag "{self.open[-1].tag}"')
        return self.done()

    def _text(self, at: int) -> int:
        reference = CHARACTER_REFERENCE.match(self.source, at)
        self.emit(unescape(reference[0]) if reference else self.source[at])
        return reference.end() if reference else at + 1

    def _start_tag(self, at: int) -> int:
        where = self.byte_offset(at)
        match = START_TAG.match(self.source, at)
        name = re.split(r"[\s>]", self.source[at + 1 :], maxsplit=1)[0].lower()
        if match is None and ">" not in self.source[at:]:
            raise unparsable(f"Unclosed start tag at byte offset {where}")
        if name not in TAGS:
            raise unparsable(f'Unsupported start tag "{name}" at byte offset {where}')
        if match is None:
            raise unparsable(f'Unclosed start tag "{name}" at byte offset {where}')
        argument, kind = self._argument(name, match[2], where), TAGS[name]
        self.open.append(Open(kind, at, self.offset, argument, name))
        return match.end()

    def _argument(self, name: str, attributes: str, where: int) -> str:
        found = {
            attribute[1]: unescape(attribute[2] or attribute[3] or (attribute[4] or "").lower())
            for attribute in ATTRIBUTE.finditer(attributes)
        }
        if name == "span" and found.get("class") != "tg-spoiler":
            raise unparsable(f'Tag "span" must have class "tg-spoiler" at byte offset {where}')
        if name == "code":
            return found.get("class", "").removeprefix("language-")
        return found.get("href", "") if name == "a" else ""

    def _end_tag(self, at: int) -> int:
        where = self.byte_offset(at)
        match = END_TAG.match(self.source, at)
        if not self.open:
            raise unparsable(f"Unexpected end tag at byte offset {where}")
        if match is None:
            raise unparsable(f"Unclosed end tag at byte offset {where}")
        expected, found = self.open[-1].tag, match[1].lower()
        if found and found != expected:
            raise unparsable(
                f'Unmatched end tag at byte offset {where}, expected "</{expected}>", found "</{found}>"'
            )
        self._close(self.open.pop())
        return match.end()

    def _close(self, entity: Open) -> None:
        inner = self.entities[-1] if self.entities else None
        is_whole = inner is not None and (inner["offset"], inner["length"]) == (
            entity.offset,
            self.offset - entity.offset,
        )
        if entity.kind == "pre" and inner is not None and is_whole and inner["type"] == "code":
            self.entities.pop()  # <pre><code class="language-…"> is one entity
            entity.argument = inner.get("language", "")
        elif entity.kind == "code" and not (self.open and self.open[-1].kind == "pre"):
            entity.argument = ""
        self.close(entity)
