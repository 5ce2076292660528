"""parse_mode MarkdownV2, read as the Bot API reads it (tdlib/td, MessageEntity.cpp), with its errors.

Left out: custom emoji, and the older "Markdown".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.simulator.telegram.errors import unparsable
from bot.simulator.telegram.reader import Open, Reader

if TYPE_CHECKING:
    from bot.simulator.telegram.reader import Formatted

RESERVED = "_*[]()~`>#+-=|{}.!\n"
MARKS = {"*": "bold", "_": "italic", "~": "strikethrough", "[": "text_link", "`": "code"}
ENDS = {"bold": "*", "italic": "_", "underline": "__", "strikethrough": "~", "spoiler": "||"}
ENDS |= {"code": "`", "pre": "```", "text_link": "]"}
NAMES = {"text_link": "TextUrl", "blockquote": "BlockQuote"}


class MarkdownV2(Reader):
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
            self.open.append(Open("blockquote", at, self.offset))
        return at + 2 if is_quoted else at + 1

    def _begin(self, at: int) -> int:
        for mark, kind in (("__", "underline"), ("||", "spoiler")):
            if self.source.startswith(mark, at):
                self.open.append(Open(kind, at, self.offset))
                return at + 2
        if self.source.startswith("```", at):
            return self._begin_pre(at)
        character = self.source[at]
        if character == ">" and at == 0:
            self.open.append(Open("blockquote", at, self.offset))
        elif character in MARKS:
            self.open.append(Open(MARKS[character], at, self.offset))
        else:
            raise unparsable(
                f"Character '{character}' is reserved and must be escaped with the preceding '\\'"
            )
        return at + 1

    def _begin_pre(self, at: int) -> int:
        language = re.compile(r"([^\s`]*+)(?=[^`])").match(self.source, at + 3)
        argument = language[1] if language else ""
        self.open.append(Open("pre", at, self.offset, argument))
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

    def _without_end(self, entity: Open) -> Exception:
        name = NAMES.get(entity.kind, entity.kind.capitalize())
        if entity.kind == "pre" and entity.argument:
            name = "PreCode"
        return unparsable(f"Can't find end of {name} entity at byte offset {self.byte_offset(entity.at)}")
