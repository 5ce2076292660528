"""Card -> Telegram text, entities and keyboard. Pure.

There is no parse_mode, so nothing has to be escaped. But Telegram makes links, mentions and commands
of plain text by itself; other people's text stands in `pre` and `code`, where it does not (Bot API,
"Formatting options": pre and code entities cannot contain other entities).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, MessageEntity

from bot.buttons import Action
from bot.cards import Named, Theirs, enumerated, whole
from bot.literal import clipped, excerpt, fitting
from core.literal import SHORT, is_short, literal, utf16

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from telegram import User

    from bot.cards import Button, Card, Line, Remark
    from bot.files import DraftFile
    from bot.menu import Answer, Entry
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
CALLED_NAME = 30
"""Of each whom a card calls: a long one of theirs is not what tells them."""
COMMENT = 200
BRIEF = 60
"""Of a comment, where several do not fit."""
WORDS = 400
"""Of what the reviewer said who is quoted on top of the next attempt."""
PREVIOUS = 700
"""Of all who are quoted on top; one always has the room."""
QUOTES = ((WORDS, PREVIOUS), (BRIEF, 0))
"""Of one and of all: the first that leaves room for the rest."""
NOTE = 400
QUOTE = 2000
"""Of what somebody wrote, in a notice."""
DIFF = 1200
"""Of what has changed in a draft too long to be shown whole."""
LEAST_DIFF = 150
"""Room for what is compared, and for how many lines of the comparison are missing."""
MISSING = 120
"""Room for the sentence that says how much of the draft is missing; likewise for lines."""

STYLES = {Action.APPROVE: "success", Action.ASK_APPROVE: "success", Action.REJECT: "danger"}
"""Bot API 9.4, InlineKeyboardButton, style; clients that know none show the button as ever."""

_TAME = re.compile(r"[^\W\d_]+(?:[ '\u2019-][^\W\d_]+){0,5}")
"""A name of letters alone, in which Telegram finds nothing to bring to life."""

_QUIET = re.compile(r"[\w :,;()·\u2019-]*")
"""Nor in a sentence of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some text, and the entity that covers it."""

    text: str
    kind: str | None = None
    language: str | None = None
    """What a `pre` is written in."""
    user: User | None = None
    """Whom a `text_mention` calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """What `sendMessage` and `editMessageText` take."""

    text: str
    entities: tuple[MessageEntity, ...]
    keyboard: InlineKeyboardMarkup | None = None


def markup(card: Card, users: Mapping[PersonId, User] = {}) -> Markup:
    """At most 4,096 units of text, whatever the card says. A short draft is shown whole; what is changed in
    it, and what is said of it, get what is left. `users` as for `said`."""
    spans: tuple[Span, ...] = ()
    for words, previous in QUOTES:
        spans = _spans(card, _head(card, users, _previous(card.previous, words, previous)))
        if _units(spans) <= LIMIT:
            break
    return joined(spans, keyboard=_keyboard(card))


def _spans(card: Card, head: tuple[Span, ...]) -> tuple[Span, ...]:
    """All of it, the head being given."""
    end = _end(card)
    left = LIMIT - _units(head) - _units(end)
    least = min(SHORT, utf16(literal(card.draft[:SHORT]))) + MISSING + (LEAST_DIFF if card.difference else 0)
    remarks = _remarks(card, left - least)
    left -= _units(remarks)
    room = left - MISSING
    if card.difference:
        shown = SHORT if is_short(card.draft) else min(SHORT, room - LEAST_DIFF)
        room = max(shown, room - DIFF)
    draft = _draft(card, room)
    difference = _difference(card, left - _units(draft))
    return (*head, *difference, *draft, *remarks, *end)


def _units(spans: Iterable[Span]) -> int:
    return sum(utf16(span.text) for span in spans)


def _covered(spans: Iterable[Span]) -> int:
    """So many entities."""
    return sum(span.kind is not None for span in spans)


def said(words: Words, users: Mapping[PersonId, User], *, may_reply: bool = True) -> Markup:
    """A notice; `users` are the people of it whom Telegram knows. `may_reply` is False in a channel."""
    quote = _quoted(words.quote, QUOTE) if words.quote else ()
    ways = "\nReply to this message to answer, or on the page:" if may_reply else "\nAnswer on the page:"
    how = ways if words.question else ""
    return joined((*(_part(part, users) for part in words.parts), *quote, Span(text=f"{how}\n{words.url}")))


def _quoted(text: str, limit: int) -> tuple[Span, ...]:
    shown = excerpt(text, limit)
    cut = f"\n(and {shown.missing:,} more characters)" if shown.missing else ""
    return (Span(text="\n"), Span(text=shown.text, kind=MessageEntity.PRE), Span(text=cut))


def attached(file: DraftFile) -> Markup:
    """What stands under a draft's file."""
    return joined(
        (Span(text=f"{file.words}\nSHA-256 "), Span(text=file.sha256, kind=MessageEntity.CODE)),
    )


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
    code = (Span(text="\n\n"), Span(text=answer.code, kind=MessageEntity.PRE)) if answer.code else ()
    line = (
        _line(answer.line)
        if has_titles or answer.page is None
        else tuple(Span(text=answer.page if isinstance(part, Theirs) else part) for part in answer.line)
    )
    head = (*line, *links, *code)
    longest = _below(answer, 0)  # of what says how many are missing
    left = ENTITIES - _covered(head)
    entries, shown = _entries(answer.entries, LIMIT - _units(head) - _units(longest), left)
    return joined((*head, *entries, *_below(answer, len(answer.choices) + shown)))


def _below(answer: Answer, shown: int) -> tuple[Span, ...]:
    """How many are not shown, and where they are."""
    rest = answer.rest(shown)
    return (
        *((Span(text="\n"),) if answer.entries else ()),
        *((Span(text=f"\n{rest}"),) if rest else ()),
        *(Span(text=f"\n{url}") for _, url in answer.links),
    )


def _entries(entries: Sequence[Entry], room: int, covered: int) -> tuple[tuple[Span, ...], int]:
    """As many, from the first, as fit, with so many entities; and how many those are."""
    shown: tuple[Span, ...] = ()
    for number, entry in enumerate(entries):
        facts = (Span(text="\n\n"), theirs(entry.title), Span(text="\n"), *_line(entry.facts))
        one = (*facts, *(Span(text=f"\n{url}") for _, url in entry.links))
        if _units((*shown, *one)) > room or _covered((*shown, *one)) > covered:
            return shown, number
        shown += one
    return shown, len(entries)


def _part(part: str | Theirs | Named, users: Mapping[PersonId, User], name_limit: int = NAME) -> Span:
    match part:
        case Named(name=name, person=str() as person) if person in users:
            return Span(text=clipped(name, name_limit), kind=MessageEntity.TEXT_MENTION, user=users[person])
        case Named(name=name):
            return theirs(name, name_limit)
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
            entities.append(
                MessageEntity(span.kind, offset=offset, length=units, user=span.user, language=span.language)
            )
        texts.append(span.text)
        offset += units
    return Markup(text="".join(texts), entities=tuple(entities), keyboard=keyboard)


def theirs(text: str, limit: int = NAME) -> Span:
    """Other people's words within a line: bold where they are a plain name, else as code."""
    shown = clipped(text, limit)
    return Span(text=shown, kind=MessageEntity.BOLD if _TAME.fullmatch(shown) else MessageEntity.CODE)


def _head(card: Card, users: Mapping[PersonId, User], previous: tuple[Span, ...]) -> tuple[Span, ...]:
    calls = ["For ", *enumerated(card.called)] if card.called else []
    return (
        Span(text=f"{card.state}: "),
        theirs(card.title or "(untitled)", TITLE),
        Span(text="\n"),
        *_line(card.byline),
        *((Span(text="\n"), *(_part(part, users, CALLED_NAME) for part in calls)) if calls else ()),
        Span(text="\n\n"),
        *previous,
    )


def _previous(remarks: Sequence[Remark], words: int, room: int) -> tuple[Span, ...]:
    """As many of the latest as have the room, and one at least; `words` are what all of them may say."""
    drawn: tuple[Span, ...] = ()
    for first in range(len(remarks)):
        latest = remarks[first:]
        drawn = tuple(span for one in latest for span in _remark(one, words // len(latest)))
        if _units(drawn) <= room:
            break
    return drawn


def _difference(card: Card, room: int) -> tuple[Span, ...]:
    """In the language `diff`, which some clients colour."""
    if card.difference is None:
        return ()
    words = Span(text=f"{card.difference.words}\n")
    text, missing = fitting(card.difference.lines, room - LEAST_DIFF, utf16)
    shown = [Span(text=text, kind=MessageEntity.PRE, language="diff"), Span(text="\n")] if text else []
    if missing:
        shown.append(Span(text=f"Lines of it missing here: {missing:,}; its page has both drafts.\n"))
    return (words, *shown, Span(text="\n"))


def _draft(card: Card, room: int) -> tuple[Span, ...]:
    if not card.draft:
        return (Span(text="(empty)\n"),)
    shown = excerpt(card.draft, room)
    draft = Span(text=shown.text, kind=MessageEntity.PRE)
    if not shown.missing:
        return (draft, Span(text="\n"))
    cut = f"Cut off here: {shown.missing:,} of {len(card.draft):,} characters are missing"
    return (draft, Span(text=f"\n{cut}; {whole(card)}.\n"))


def _remarks(card: Card, room: int) -> tuple[Span, ...]:
    """As many of the latest as fit, and of those all that was said if that fits, too."""
    drawn: tuple[Span, ...] = (Span(text="\n"),)
    draw = cache(_remark)
    for latest in range(len(card.remarks), 0, -1):
        for limit in (COMMENT, BRIEF):
            told = (draw(remark, limit) for remark in card.told(latest))
            drawn = (Span(text="\n"), *(span for spans in told for span in spans))
            if _units(drawn) <= room:
                return drawn
    return drawn


def _end(card: Card) -> tuple[Span, ...]:
    return (
        *((_note(card.note), Span(text="\n\n")) if card.note else ()),
        Span(text=f"{card.url}\nSHA-256 "),
        Span(text=card.sha256, kind=MessageEntity.CODE),
    )


def _note(note: str) -> Span:
    """A sentence of ours, in which people and groups are named."""
    shown = clipped(note, NOTE)
    return Span(text=shown, kind=None if _QUIET.fullmatch(shown) else MessageEntity.CODE)


def _line(line: Line) -> tuple[Span, ...]:
    return tuple(theirs(part.text) if isinstance(part, Theirs) else Span(text=part) for part in line)


def _remark(remark: Remark, limit: int) -> tuple[Span, ...]:
    if not remark.comment:
        return (*_line(remark.line), Span(text="\n\n"))
    shown = excerpt(remark.comment, limit)
    cut = f" (and {shown.missing:,} more characters)" if shown.missing else ""
    comment = Span(text=shown.text, kind=MessageEntity.CODE)
    line = _line(remark.line)
    colon = "" if line[-1].text.endswith(".") else ":"
    return (*line, Span(text=f"{colon}\n"), comment, Span(text=f"{cut}\n\n"))


def _keyboard(card: Card) -> InlineKeyboardMarkup | None:
    """Every token is a `callback_data` of at most 64 bytes. A row shows what decides, the next what everybody
    is to see; the rest of the menu is for commands, which are answered where they are typed."""
    shown = [button for button in card.menu if button.action in SHOWN]
    rows = [[_key(button) for button in row] for row in (card.buttons, shown) if row]
    return InlineKeyboardMarkup(rows) if rows else None


def _key(button: Button) -> InlineKeyboardButton:
    return InlineKeyboardButton(button.label, callback_data=button.token, style=STYLES.get(button.action))


def without_styles(keyboard: InlineKeyboardMarkup | None) -> InlineKeyboardMarkup | None:
    """For a Bot API server that knows no styles, and would refuse the message."""
    if keyboard is None:
        return None
    return InlineKeyboardMarkup(
        [
            [InlineKeyboardButton(button.text, callback_data=button.callback_data) for button in row]
            for row in keyboard.inline_keyboard
        ]
    )
