"""Card -> Slack blocks. Pure.

Other people's text goes into plain_text and rich_text only: there is no mention, link or markup in those.
The figures are the constants of `slack_sdk.models` 3.47, where no other source is named.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from bot.buttons import Action
from bot.cards import IRREVOCABLE, Named, Theirs, enumerated, whole
from bot.literal import clipped, excerpt, fitting
from bot.zones import has_moment, in_zone
from core.literal import SHORT, escaped, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bot.cards import Button, Card, Line, Remark
    from bot.menu import Answer, Entry
    from bot.notices import Words
    from core.model import PersonId

HEADER = 150
FALLBACK = 1000
"""chat.update refuses a `text` over 4,000 characters; people see it in notifications only."""

TEXT = 9000
"""All texts of a message come to at most 12,000 characters (`msg_blocks_too_long`), and 9,597 were seen to
pass (see `bot.simulator.slack.limits`); the draft gets what the rest leaves."""
DRAFT = 3000
DIFF = 2000
"""Of what has changed in a draft too long to be shown whole."""
LEAST_DIFF = 150
"""Room for what is compared, and for how many lines of the comparison are missing."""
MISSING = 120
"""Room for the sentence that says how much of the draft is missing."""
WORDS = 1000
"""Of what the reviewer said who is quoted on top of the next attempt."""
COMMENT = 400
BRIEF = 80
"""Of a comment, where several do not fit."""
QUOTE = 2000
"""Of what somebody wrote, in a notice."""
LINE = 200
NAME = 80
NOTE = 400

SURE = 300
"""Of a confirmation dialog's text."""

BUTTONS = frozenset({Action.EDIT})
"""What of a card's menu has a button of its own."""

MENU_ACTION = "countersign_menu"

Block = dict[str, Any]


def blocks(card: Card, users: Mapping[PersonId, str] = {}) -> list[Block]:
    """At most 50 blocks, each within its limits whatever the card says. A short draft is shown whole; what is
    changed in it, and what is said of it, get what is left. `users` as for `said`."""
    head, end = _head(card, users), _end(card)
    left = TEXT - _length(head) - _length(end)
    least = (
        min(SHORT, escaped(literal(card.draft[:SHORT]))) + MISSING + (LEAST_DIFF if card.difference else 0)
    )
    remarks = _remarks(card, left - least)
    left -= _length(remarks)
    room = max(SHORT, left - MISSING - DIFF) if card.difference else left - MISSING
    draft = _draft(card, min(DRAFT, room))
    difference = _difference(card, min(DIFF, left - _length(draft)))
    return [*head, *difference, *draft, *remarks, *end]


def _head(card: Card, users: Mapping[PersonId, str]) -> list[Block]:
    calls = ["For ", *enumerated(card.called)] if card.called else []
    return [
        {"type": "header", "text": _plain(clipped(_headline(card), HEADER, escaped))},
        _context(_line(card.byline)),
        *([_rich_line([one for part in calls for one in _element(part, users)])] if calls else ()),
        *(block for remark in card.previous for block in _remark(remark, WORDS // len(card.previous))),
    ]


def _headline(card: Card) -> str:
    return f"{card.state}: {card.title or '(untitled)'}"


def _end(card: Card) -> list[Block]:
    return [
        *([_noted(clipped(card.note, NOTE, escaped))] if card.note else ()),
        *([_actions(card)] if card.buttons else ()),
        _footer(card),
    ]


def _noted(note: str) -> Block:
    """Small where it can be: a context takes dates in markup only, and names stand in a note."""
    return _rich_line(in_zone(note)) if has_moment(note) else _context(note)


def _length(value: object) -> int:
    """Of everything that is shown of these blocks."""
    if isinstance(value, dict):
        return sum(
            escaped(inner) if key in {"text", "fallback"} and isinstance(inner, str) else _length(inner)
            for key, inner in value.items()
        )
    return sum(map(_length, value)) if isinstance(value, list) else 0


def _difference(card: Card, room: int) -> list[Block]:
    if card.difference is None:
        return []
    text, missing = fitting(card.difference.lines, room - LEAST_DIFF, escaped)
    cut = f"Lines of it missing here: {missing:,}; its page has both drafts."
    return [
        _context(card.difference.words),
        *([_rich("rich_text_preformatted", text)] if text else ()),
        *([_context(cut)] if missing else ()),
    ]


def _remarks(card: Card, room: int) -> list[Block]:
    """As many of the latest as fit, and of those all that was said if that fits, too."""
    drawn: list[Block] = []
    draw = cache(_remark)
    for latest in range(len(card.remarks), 0, -1):
        for limit in (COMMENT, BRIEF):
            drawn = [block for remark in card.told(latest) for block in draw(remark, limit)]
            if _length(drawn) <= room:
                return drawn
    return drawn


def fallback(card: Card) -> str:
    """The message's `text`, for notifications and screen readers; what Slack reads as control is escaped."""
    return escape(clipped(_headline(card), FALLBACK // 5) + f" ({_line(card.byline)})")


def said(words: Words, users: Mapping[PersonId, str], *, answer: str | None = None) -> list[Block]:
    """A notice; `users` are the people of it whom Slack knows, by their user ids. In rich_text nothing else
    than a `user` element calls anybody. `answer` is the token of a question's button."""
    link = {"type": "link", "url": words.url, "text": "Open the task"}
    elements = [one for part in words.parts for one in _element(part, users)]
    button = [_answering(answer)] if answer else []
    if not words.quote:
        return [_rich_line([*elements, *in_zone(" "), link]), *button]
    return [_rich_line(elements), *_quoted(words.quote, QUOTE), _rich_line([link]), *button]


def _answering(token: str) -> Block:
    button = {
        "type": "button",
        "text": _plain("Answer…"),
        "value": token,
        "action_id": action_id(Action.ANSWER),
    }
    return {"type": "actions", "elements": [button]}


def listed(answer: Answer) -> list[Block]:
    """An answer, and all that it lists; a page of links at most."""
    choices = [part for title, url in answer.choices for part in (*in_zone("\n"), _link(title, url))]
    code = (
        [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": answer.code}]}]
        if answer.code
        else []
    )
    below = [_section(part) for entry in answer.entries for part in _entry(entry)]
    rest = answer.rest(len(answer.choices) + len(answer.entries))
    more = in_zone(f"{rest} " if answer.links else rest) if rest else []
    foot = [*more, *_links(answer.links)]
    return [
        {"type": "rich_text", "elements": [_section([*_drawn(answer.line), *choices]), *code]},
        *({"type": "rich_text", "elements": [section]} for section in below),
        *([_rich_line(foot)] if foot else ()),
    ]


def home_view(answer: Answer) -> list[Block]:
    """The App Home: an answer, and where it comes from. It has links and no buttons."""
    return [
        {"type": "header", "text": _plain("Countersign")},
        *listed(answer),
        _context("Only you see this. It changes by itself for an hour after you opened it."),
    ]


def _entry(entry: Entry) -> list[list[Block]]:
    """The title, which is the first link, and below it the facts and all links."""
    title = {**_link(entry.title, entry.links[0][1]), "style": {"bold": True}}
    return [[title, *in_zone("\n"), *_drawn(entry.facts), *in_zone("\n"), *_links(entry.links)]]


def _links(links: Sequence[tuple[str, str]]) -> list[Block]:
    spaced = [part for label, url in links for part in (*in_zone(" · "), _link(label, url))]
    return spaced[1:]


def _link(text: str, url: str) -> Block:
    return {"type": "link", "url": url, "text": clipped(text, HEADER, escaped) or url}


def _section(elements: Sequence[Block]) -> Block:
    return {"type": "rich_text_section", "elements": list(elements)}


def _rich_line(elements: Sequence[Block]) -> Block:
    return {"type": "rich_text", "elements": [_section(elements)]}


def _drawn(line: Line) -> list[Block]:
    """A line, with the moments in our own words of it where the reader is."""
    return _joined(one for part in line for one in _part_drawn(part))


def _joined(elements: Iterable[Block]) -> list[Block]:
    """Plain pieces of text that follow each other as one."""
    joined: list[Block] = []
    for one in elements:
        if joined and one.keys() == joined[-1].keys() == {"type", "text"}:
            joined[-1] = {"type": "text", "text": joined[-1]["text"] + one["text"]}
        else:
            joined.append(one)
    return joined


def _part_drawn(part: str | Theirs) -> list[Block]:
    if isinstance(part, Theirs):
        return [{"type": "text", "text": clipped(part.text, LINE, escaped)}] if part.text else []
    return in_zone(part)


def said_plainly(words: Words) -> str:
    """The notice's `text`, as `fallback`."""
    return escape(clipped("".join(_plain_part(part) for part in words.parts), FALLBACK))


def _element(part: str | Theirs | Named, users: Mapping[PersonId, str]) -> list[Block]:
    match part:
        case Named(person=str() as person) if person in users:
            return [{"type": "user", "user_id": users[person]}]
        case Theirs():
            return [{"type": "text", "text": _plain_part(part), "style": {"bold": True}}]
        case str():
            return in_zone(_plain_part(part))
        case _:
            return [{"type": "text", "text": _plain_part(part)}]


def _plain_part(part: str | Theirs | Named) -> str:
    match part:
        case Named():
            return clipped(part.name, NAME, escaped)
        case Theirs():
            return clipped(part.text, HEADER, escaped)
        case _:
            return clipped(part, LINE * 2, escaped)


def escape(text: str) -> str:
    """For the one kind of text that Slack always reads as markup, a message's own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_plain(text)]}


def _line(line: Line) -> str:
    return "".join(clipped(part.text, LINE, escaped) if isinstance(part, Theirs) else part for part in line)


def _missing(missing: int, length: int, where: str) -> str:
    return f"Cut off here: {missing:,} of {length:,} characters are missing; {where}."


def _draft(card: Card, room: int) -> list[Block]:
    shown = excerpt(card.draft, room, escaped)
    kind = "rich_text_quote" if card.is_prose else "rich_text_preformatted"
    cut = _missing(shown.missing, len(card.draft), whole(card))
    return [_rich(kind, shown.text or "(empty)"), *([_context(cut)] if shown.missing else ())]


def _rich(kind: str, text: str) -> Block:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": [{"type": "text", "text": text}]}]}


def _remark(remark: Remark, limit: int) -> list[Block]:
    said: list[Block] = [_rich_line(_drawn(remark.line))]
    if remark.comment:
        said += _quoted(remark.comment, limit)
    return said


def _quoted(text: str, limit: int) -> list[Block]:
    shown = excerpt(text, limit, escaped)
    cut = [_context(_missing(shown.missing, len(text), "its page has them all"))] if shown.missing else []
    return [_rich("rich_text_quote", shown.text), *cut]


def _actions(card: Card) -> Block:
    """Verdicts are buttons; what decides nothing is in the menu."""
    beside = [button for button in card.menu if button.action in BUTTONS]
    menu = [button for button in card.menu if button.action not in BUTTONS]
    return {
        "type": "actions",
        "elements": [
            *(_button(button, card) for button in (*card.buttons, *beside)),
            *([_menu(menu)] if menu else []),
        ],
    }


def _menu(offered: Sequence[Button]) -> Block:
    options = [{"text": _plain(button.label), "value": button.token} for button in offered]
    return {"type": "overflow", "action_id": MENU_ACTION, "options": options}


def _button(button: Button, card: Card) -> Block:
    style = _STYLES.get(button.action)
    asks_first = button.action is Action.ASK_APPROVE
    return {
        "type": "button",
        "text": _plain(button.label),
        **({"style": style} if style else {}),
        # Slack opens it and tells us of the press all the same, which is answered as any other
        **({"url": card.url} if card.is_for_page else {}),
        "value": button.token,
        "action_id": action_id(button.action),
        **({"confirm": _are_you_sure(card)} if asks_first else {}),
    }


_STYLES = {Action.APPROVE: "primary", Action.ASK_APPROVE: "primary", Action.REJECT: "danger"}


def _are_you_sure(card: Card) -> Block:
    """Slack's own dialog: nothing is sent before it is confirmed (docs.slack.dev, confirmation dialog)."""
    what = clipped(card.title or "(untitled)", SURE - len(IRREVOCABLE) - 1, escaped)
    return {
        "title": _plain("Approve?"),
        "text": _plain(f"{what}\n{IRREVOCABLE}"),
        "confirm": _plain("Approve"),
        "deny": _plain("Cancel"),
        "style": "danger",
    }


def action_id(action: Action) -> str:
    """What Slack calls a pressed button; it only chooses the listener, the token says the rest."""
    return f"countersign_{action.name.lower()}"


def link_to(url: str) -> str:
    """In markup, which is ours."""
    address = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return f"<{address}|Open the task>"


def _footer(card: Card) -> Block:
    """The one place with markup, and all of it ours."""
    return {
        "type": "context",
        "elements": [{"type": "mrkdwn", "text": f"{link_to(card.url)} · SHA-256 `{card.sha256}`"}],
    }
