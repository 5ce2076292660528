"""Text with entities: parse_mode HTML and MarkdownV2 read as the Bot API reads them, with its errors.

Grammar and wording follow the server (tdlib/td, MessageEntity.cpp). Offsets and lengths are in UTF-16 units;
"byte offset" in an error counts UTF-8 bytes of what was sent. Left out: custom emoji, legacy "Markdown".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any, TypeAlias

from bot.simulator.telegram_errors import bad_request, unparsable
from bot.simulator.telegram_limits import ENTITIES, checked_url, utf16_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bot.simulator.telegram_chats import User

Entity: TypeAlias = "dict[str, Any]"
"""A MessageEntity as the Bot API has it."""

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
USER_LINK = re.compile(r"tg://user/?\?id=(\d+)")

RESERVED = "_*[]()~`>#+-=|{}.!\n"
MARKS = {"*": "bold", "_": "italic", "~": "strikethrough", "[": "text_link", "`": "code"}
ENDS = {"bold": "*", "italic": "_", "underline": "__", "strikethrough": "~", "spoiler": "||"}
ENDS |= {"code": "`", "pre": "```", "text_link": "]"}
NAMES = {"text_link": "TextUrl", "blockquote": "BlockQuote"}

FOUND = {
    "bot_command": re.compile(r"(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z]\w{2,31})?(?![\w/])"),
    "mention": re.compile(r"(?<![\w@/])@[A-Za-z]\w{3,31}"),
    "url": re.compile(r"https?://[^\s/]+\.[^\s]*[^\s.,;:!?)]"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted:
    """A text as people see it, and what is marked in it."""

    text: str
    entities: tuple[Entity, ...] = ()


def formatted(
    text: str, parse_mode: str | None, entities: Sequence[Entity], known: Callable[[int], User | None]
) -> Formatted:
    """What becomes of a text that a bot sends; a link to a user stays only where the bot knows them."""
    if not parse_mode:
        marked = Formatted(text=text, entities=tuple(dict(entity) for entity in entities))
    elif parse_mode.lower() == "html":
        marked = _Html(text, known).read()
    elif parse_mode.lower() == "markdownv2":
        marked = _MarkdownV2(text, known).read()
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


@dataclass(slots=True)
class _Open:
    """An entity that has begun; `at` is where its mark stands in the source."""

    kind: str
    at: int
    offset: int
    argument: str = ""
    tag: str = ""


@dataclass(slots=True)
class _Reader:
    """What both grammars share: the source, what is read so far, and the entities still open."""

    source: str
    known: Callable[[int], User | None]
    read_text: list[str] = field(default_factory=list)
    offset: int = 0
    entities: list[Entity] = field(default_factory=list)
    open: list[_Open] = field(default_factory=list)

    def byte_offset(self, at: int) -> int:
        return len(self.source[:at].encode())

    def emit(self, text: str) -> None:
        self.read_text.append(text)
        self.offset += utf16_length(text)

    def text_since(self, offset: int) -> str:
        units = "".join(self.read_text).encode("utf-16-le")
        return units[2 * offset :].decode("utf-16-le")

    def close(self, entity: _Open) -> None:
        """Keep the entity, unless nothing is in it or its link is wrong (then the plain text stays)."""
        length = self.offset - entity.offset
        if length == 0:
            return
        made: Entity = {"type": entity.kind, "offset": entity.offset, "length": length}
        if entity.kind == "text_link":
            link = self._link(entity.argument or self.text_since(entity.offset))
            if link is not None:
                self.entities.append(made | link)
        else:
            self.entities.append(made | ({"language": entity.argument} if entity.argument else {}))

    def _link(self, url: str) -> Entity | None:
        if user := USER_LINK.fullmatch(url):
            person = self.known(int(user[1]))
            return None if person is None else {"type": "text_mention", "user": person.as_api()}
        address = checked_url(url)
        return None if address is None else {"url": address}

    def done(self) -> Formatted:
        return Formatted(text="".join(self.read_text), entities=tuple(self.entities))


class _Html(_Reader):
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
        self.open.append(_Open(kind, at, self.offset, argument, name))
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

    def _close(self, entity: _Open) -> None:
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


class _MarkdownV2(_Reader):
    """Bot API "MarkdownV2 style"."""

    def read(self) -> Formatted:
        at = 0
        while at < len(self.source):
            at = self._step(at)
        if self.open and self.open[-1].kind == "blockquote":
            self.close(self.open.pop())
        if self.open:
            raise self._without_end(self.open[-1])
        return self.done()

    @property
    def _inside(self) -> str:
        return self.open[-1].kind if self.open else ""

    @property
    def _is_quoting(self) -> bool:
        return any(entity.kind == "blockquote" for entity in self.open)

    def _step(self, at: int) -> int:
        """Read one character or mark; where the next begins."""
        character, after = self.source[at], self.source[at + 1 : at + 2]
        if character == "\\" and after and 0 < ord(after) <= 126:
            self.emit(after)
            return at + 2
        reserved = "`" if self._inside in {"code", "pre"} else RESERVED
        if character not in reserved:
            self.emit(character)
            return at + 1
        if character == "\n":
            return self._new_line(at)
        return self._end(at) if self._is_end(at) else self._begin(at)

    def _is_end(self, at: int) -> bool:
        if self._inside == "italic" and self.source.startswith("__", at):
            return False
        mark = ENDS.get(self._inside)
        return mark is not None and self.source.startswith(mark, at)

    def _new_line(self, at: int) -> int:
        is_quoted = self.source.startswith("\n>", at)
        if self._is_quoting and not is_quoted:
            if self._inside != "blockquote":
                raise self._without_end(self.open[-1])
            self.emit("\n")
            self.close(self.open.pop())
            return at + 1
        self.emit("\n")
        if is_quoted and not self._is_quoting:
            self.open.append(_Open("blockquote", at, self.offset))
        return at + 2 if is_quoted else at + 1

    def _begin(self, at: int) -> int:
        for mark, kind in (("__", "underline"), ("||", "spoiler")):
            if self.source.startswith(mark, at):
                self.open.append(_Open(kind, at, self.offset))
                return at + 2
        if self.source.startswith("```", at):
            return self._begin_pre(at)
        character = self.source[at]
        if character == ">" and at == 0:
            self.open.append(_Open("blockquote", at, self.offset))
        elif character in MARKS:
            self.open.append(_Open(MARKS[character], at, self.offset))
        else:
            raise unparsable(
                f"Character '{character}' is reserved and must be escaped with the preceding '\\'"
            )
        return at + 1

    def _begin_pre(self, at: int) -> int:
        language = re.compile(r"([^\s`]*+)(?=[^`])").match(self.source, at + 3)
        argument = language[1] if language else ""
        self.open.append(_Open("pre", at, self.offset, argument))
        after = at + 3 + len(argument)
        line_break = re.compile(r"\r\n|\n\r|\n|\r").match(self.source, after)
        return line_break.end() if line_break else after

    def _end(self, at: int) -> int:
        entity = self.open.pop()
        at += len(ENDS[entity.kind])
        if entity.kind == "text_link" and self.source.startswith("(", at):
            link = re.compile(r"\(((?:\\[\x01-\x7e]|[^)\\]|\\)*?)\)", re.DOTALL).match(self.source, at)
            if link is None:
                raise unparsable(f"Can't find end of a URL at byte offset {self.byte_offset(at + 1)}")
            entity.argument = re.sub(r"\\([\x01-\x7e])", r"\1", link[1])
            at = link.end()
        self.close(entity)
        return at

    def _without_end(self, entity: _Open) -> Exception:
        name = NAMES.get(entity.kind, entity.kind.capitalize())
        if entity.kind == "pre" and entity.argument:
            name = "PreCode"
        return unparsable(f"Can't find end of {name} entity at byte offset {self.byte_offset(entity.at)}")
