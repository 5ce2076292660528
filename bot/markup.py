"""Card -> Telegram text, entities and keyboard. Pure.

There is no parse_mode, so nothing has to be escaped. But Telegram makes links, mentions and commands
of plain text by itself; other people's text stands in `pre` and `code`, where it does not (Bot API,
"Formatting options": pre and code entities cannot contain other entities).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, MessageEntity

from bot.buttons import Action
from bot.cards import Theirs
from bot.literal import clipped, excerpt, utf16
from bot.notices import Named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from telegram import User

    from bot.cards import Button, Card, Line, Remark
    from bot.menu import Answer
    from bot.notices import Words
    from core.model import PersonId

LIMIT = 4096
"""UTF-16 units of a message's text (Bot API, sendMessage: characters after entities parsing)."""
ENTITIES = 100
"""Entities of a message; more are dropped (telegram.constants.MessageLimit.MESSAGE_ENTITIES)."""

SHOWN = frozenset({Action.EDIT, Action.ASK, Action.CLAIM})
"""What of a card's menu has a button; each takes a row's worth of a phone's screen."""

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

TITLE = 150
NAME = 80
COMMENT = 200
NOTE = 400
QUOTE = 2000
"""Of what somebody wrote, in a notice."""
MISSING = 120
"""Room for the sentence that says how much of the draft is missing."""

_TAME = re.compile(r"[^\W\d_]+(?:[ '\u2019-][^\W\d_]+){0,5}")
"""A name of letters alone, in which Telegram finds nothing to bring to life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some text, and the entity that covers it."""

    text: str
    kind: str | None = None
    user: User | None = None
    """Whom a `text_mention` calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """What `sendMessage` and `editMessageText` take."""

    text: str
    entities: tuple[MessageEntity, ...]
    keyboard: InlineKeyboardMarkup | None = None


def markup(card: Card) -> Markup:
    """At most 4,096 units of text, whatever the card says: the draft gets what the rest leaves."""
    head, tail = _head(card), _tail(card)
    room = LIMIT - sum(utf16(span.text) for span in (*head, *tail)) - MISSING
    return joined((*head, *_draft(card, room), *tail), keyboard=_keyboard(card))


def said(words: Words, users: Mapping[PersonId, User]) -> Markup:
    """A notice; `users` are the people of it whom Telegram knows."""
    quote = _quoted(words.quote, QUOTE) if words.quote else ()
    how = "\nReply to this message to answer, or on the page:" if words.question else ""
    return joined((*(_part(part, users) for part in words.parts), *quote, Span(text=f"{how}\n{words.url}")))


def _quoted(text: str, limit: int) -> tuple[Span, ...]:
    shown = excerpt(text, limit)
    cut = f"\n(and {shown.missing:,} more characters)" if shown.missing else ""
    return (Span(text="\n"), Span(text=shown.text, kind=MessageEntity.PRE), Span(text=cut))


def listed(answer: Answer, *, has_titles: bool) -> Markup:
    """An answer, and what one may choose from; without titles where others read it, too."""
    links = [
        span
        for title, url in answer.choices
        for span in (
            Span(text="\n"),
            *((theirs(title or "(untitled)"), Span(text=" ")) if has_titles else ()),
            Span(text=url),
        )
    ]
    if has_titles or answer.page is None:
        return joined((*_line(answer.line), *links))
    line = [Span(text=answer.page if isinstance(part, Theirs) else part) for part in answer.line]
    return joined((*line, *links))


def _part(part: str | Theirs | Named, users: Mapping[PersonId, User]) -> Span:
    match part:
        case Named(name=name, person=str() as person) if person in users:
            return Span(text=clipped(name, NAME), kind=MessageEntity.TEXT_MENTION, user=users[person])
        case Named(name=name):
            return theirs(name)
        case Theirs(text=text):
            return theirs(text, TITLE)
        case _:
            return Span(text=clipped(part, NOTE))


def joined(spans: Iterable[Span], *, keyboard: InlineKeyboardMarkup | None = None) -> Markup:
    """One text of many spans; offsets and lengths count UTF-16 units."""
    texts, entities, offset = [], [], 0
    for span in spans:
        units = utf16(span.text)
        if span.kind and units:
            entities.append(MessageEntity(type=span.kind, offset=offset, length=units, user=span.user))
        texts.append(span.text)
        offset += units
    return Markup(text="".join(texts), entities=tuple(entities), keyboard=keyboard)


def theirs(text: str, limit: int = NAME) -> Span:
    """Other people's words within a line: bold where they are a plain name, else as code."""
    shown = clipped(text, limit)
    return Span(text=shown, kind=MessageEntity.BOLD if _TAME.fullmatch(shown) else MessageEntity.CODE)


def _head(card: Card) -> tuple[Span, ...]:
    return (
        Span(text=f"{card.state}: "),
        theirs(card.title or "(untitled)", TITLE),
        Span(text="\n"),
        *_line(card.byline),
        Span(text="\n\n"),
        *(_remark(card.previous) if card.previous else ()),
    )


def _draft(card: Card, room: int) -> tuple[Span, ...]:
    if not card.draft:
        return (Span(text="(empty)\n"),)
    shown = excerpt(card.draft, room)
    draft = Span(text=shown.text, kind=MessageEntity.PRE)
    if not shown.missing:
        return (draft, Span(text="\n"))
    cut = f"Cut off here: {shown.missing:,} of {len(card.draft):,} characters are missing"
    return (draft, Span(text=f"\n{cut}; its page has them all.\n"))


def _tail(card: Card) -> tuple[Span, ...]:
    return (
        Span(text="\n"),
        *(span for remark in card.remarks for span in _remark(remark)),
        *((Span(text=f"{clipped(card.note, NOTE)}\n\n"),) if card.note else ()),
        Span(text=f"{card.url}\nSHA-256 "),
        Span(text=card.sha256, kind=MessageEntity.CODE),
    )


def _line(line: Line) -> tuple[Span, ...]:
    return tuple(theirs(part.text) if isinstance(part, Theirs) else Span(text=part) for part in line)


def _remark(remark: Remark) -> tuple[Span, ...]:
    if not remark.comment:
        return (*_line(remark.line), Span(text="\n\n"))
    shown = excerpt(remark.comment, COMMENT)
    cut = f" (and {shown.missing:,} more characters)" if shown.missing else ""
    comment = Span(text=shown.text, kind=MessageEntity.CODE)
    return (*_line(remark.line), Span(text=":\n"), comment, Span(text=f"{cut}\n\n"))


def _keyboard(card: Card) -> InlineKeyboardMarkup | None:
    """Every token is a `callback_data` of at most 64 bytes. A row shows what decides, the next what everybody
    is to see; the rest of the menu is for commands, which are answered where they are typed."""
    shown = [button for button in card.menu if button.action in SHOWN]
    rows = [[_key(button) for button in row] for row in (card.buttons, shown) if row]
    return InlineKeyboardMarkup(rows) if rows else None


def _key(button: Button) -> InlineKeyboardButton:
    return InlineKeyboardButton(button.label, callback_data=button.token)
