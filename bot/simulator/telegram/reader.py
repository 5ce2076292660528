"""What both grammars of marked text share: the source, what is read so far, the entities still open."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bot.simulator.telegram.limits import checked_url, utf16_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.simulator.telegram.chats import User

Entity: TypeAlias = "dict[str, Any]"
"""A MessageEntity as the Bot API has it."""

USER_LINK = re.compile(r"tg://user/?\?id=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted:
    """A text as people see it, and what is marked in it."""

    text: str
    entities: tuple[Entity, ...] = ()


@dataclass(slots=True)
class Open:
    """An entity that has begun; `at` is where its mark stands in the source."""

    kind: str
    at: int
    offset: int
    argument: str = ""
    tag: str = ""


@dataclass(slots=True)
class Reader:
    """What both grammars share: the source, what is read so far, and the entities still open."""

    source: str
    known: Callable[[int], User | None]
    read_text: list[str] = field(default_factory=list)
    offset: int = 0
    entities: list[Entity] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)

    def byte_offset(self, at: int) -> int:
        return len(self.source[:at].encode())

    def emit(self, text: str) -> None:
        self.read_text.append(text)
        self.offset += utf16_length(text)

    def text_since(self, offset: int) -> str:
        units = "".join(self.read_text).encode("utf-16-le")
        return units[2 * offset :].decode("utf-16-le")

    def close(self, entity: Open) -> None:
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
