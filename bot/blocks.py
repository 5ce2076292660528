"""Card -> Slack blocks. Pure.

Other people's text goes into plain_text and rich_text only: there is no mention, link or markup in those.
The figures are the constants of `slack_sdk.models` 3.47, where no other source is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.buttons import Action
from bot.cards import Theirs
from bot.literal import clipped, excerpt, utf16

if TYPE_CHECKING:
    from bot.cards import Button, Card, Line, Remark

HEADER = 150
TITLE = 24
"""Title, submit and close of a modal."""
REASON = 3000
"""The longest `max_length` of a plain-text input."""
FALLBACK = 1000
"""chat.update refuses a `text` over 4,000 characters; people see it in notifications only."""

DRAFT = 3000
"""All texts of a message come to at most 12,000 characters (`msg_blocks_too_long`); the rest of a card needs
no more than 6,000 of them."""
COMMENT = 400
LINE = 200

REASON_BLOCK = "reason"
REASON_INPUT = "text"
REASON_VIEW = "countersign_reason"

Block = dict[str, Any]


def blocks(card: Card) -> list[Block]:
    """At most 50 blocks, each within its limits whatever the card says."""
    shown = excerpt(card.draft, DRAFT, escaped)
    return [
        {"type": "header", "text": _plain(clipped(f"{card.state}: {card.title}", HEADER, escaped))},
        _context(_line(card.byline)),
        *(_remark(card.previous) if card.previous else ()),
        _draft(shown.text, is_prose=card.is_prose),
        *([_context(_missing(shown.missing, len(card.draft)))] if shown.missing else ()),
        *(block for remark in card.remarks for block in _remark(remark)),
        *([_context(card.note)] if card.note else ()),
        *([_actions(card)] if card.buttons else ()),
        _footer(card),
    ]


def fallback(card: Card) -> str:
    """The message's `text`, for notifications and screen readers; what Slack reads as control is escaped."""
    return escape(clipped(f"{card.state}: {card.title}", FALLBACK // 5) + f" ({_line(card.byline)})")


def escape(text: str) -> str:
    """For the one kind of text that Slack always reads as markup, a message's own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def reason_view(*, what: str, private_metadata: str) -> Block:
    """The modal that asks why; `private_metadata` has at most 3,000 characters."""
    return {
        "type": "modal",
        "callback_id": REASON_VIEW,
        "private_metadata": private_metadata,
        "title": _plain("Reject"),
        "submit": _plain("Reject"),
        "close": _plain("Cancel"),
        "blocks": [
            {"type": "section", "text": _plain(clipped(what, LINE, escaped) or "(untitled)")},
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "optional": True,
                "label": _plain("Reason"),
                "hint": _plain("It is handed to the next attempt and shown with the decision."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON_INPUT,
                    "multiline": True,
                    "max_length": REASON,
                },
            },
        ],
    }


def escaped(text: str) -> int:
    """Length as Slack may count it: UTF-16 units, after `&`, `<` and `>` were escaped."""
    return utf16(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_plain(text)]}


def _line(line: Line) -> str:
    return "".join(clipped(part.text, LINE, escaped) if isinstance(part, Theirs) else part for part in line)


def _missing(missing: int, whole: int) -> str:
    return f"Cut off here: {missing:,} of {whole:,} characters are missing; its page has them all."


def _draft(text: str, *, is_prose: bool) -> Block:
    kind = "rich_text_quote" if is_prose else "rich_text_preformatted"
    return _rich(kind, text or "(empty)")


def _rich(kind: str, text: str) -> Block:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": [{"type": "text", "text": text}]}]}


def _remark(remark: Remark) -> list[Block]:
    said: list[Block] = [{"type": "section", "text": _plain(_line(remark.line))}]
    if remark.comment:
        shown = excerpt(remark.comment, COMMENT, escaped)
        said.append(_rich("rich_text_quote", shown.text))
        if shown.missing:
            said.append(_context(_missing(shown.missing, len(remark.comment))))
    return said


def _actions(card: Card) -> Block:
    return {"type": "actions", "elements": [_button(button) for button in card.buttons]}


def _button(button: Button) -> Block:
    return {
        "type": "button",
        "text": _plain(button.label),
        "style": "primary" if button.action is Action.APPROVE else "danger",
        "value": button.token,
        "action_id": action_id(button.action),
    }


def action_id(action: Action) -> str:
    """What Slack calls a pressed button; it only chooses the listener, the token says the rest."""
    return f"countersign_{action.name.lower()}"


def _footer(card: Card) -> Block:
    """The one place with markup, and all of it ours."""
    link = card.url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return {
        "type": "context",
        "elements": [{"type": "mrkdwn", "text": f"<{link}|Open the task> · SHA-256 `{card.sha256}`"}],
    }
