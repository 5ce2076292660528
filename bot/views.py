"""Slack's modals in which somebody says why, edits a draft, asks about it, or answers. Pure.

Other people's text stands in plain_text, rich_text and inputs only, and the figures have the sources of
those in `bot.blocks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.blocks import LINE
from bot.literal import clipped, excerpt
from core.literal import escaped, utf16
from core.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.blocks import Block

TEXT = 3000
"""The longest `max_length` of a plain-text input, and of what it begins with (Block Kit reference)."""
OPTION = 75
"""The text of an option."""
RADIO = 10
"""Radio buttons in a group (Block Kit reference)."""
MENU = 100
"""Options of a menu."""
DIFFERENCE = 3000
QUOTE = 2000
SENTENCE = 300

REASON_VIEW = "countersign_reason"
REASON_BLOCK = "reason"
CHOICE_BLOCK = "choice"
CHOICE_INPUT = "option"
EDIT_VIEW = "countersign_edit"
EDIT_BLOCK = "edit"
WHY_BLOCK = "why"
QUESTION_VIEW = "countersign_question"
QUESTION_BLOCK = "question"
ANSWER_VIEW = "countersign_answer"
ANSWER_BLOCK = "answer"
INPUT = "text"
"""The action of every input of text here."""
CHOOSE = "A reason is needed: choose one, or say it in your own words."


def fits(text: str) -> bool:
    """Whether an input takes it, however Slack counts."""
    return utf16(text) <= TEXT


def reason_view(
    *, what: str, verdict: Verdict, private_metadata: str, is_needed: bool, choices: Sequence[str]
) -> Block:
    """The modal that asks why; `private_metadata` has at most 3,000 characters.

    Where there are `choices`, one of them or words will do, so Slack is not told to insist on either, and
    calls both optional: where a reason `is_needed`, the dialog says so itself.
    """
    verb = "Approve" if verdict is Verdict.APPROVE else "Reject"
    return _modal(
        REASON_VIEW,
        title=verb,
        submit=verb,
        private_metadata=private_metadata,
        blocks=[
            _section(clipped(what, LINE, escaped) or "(untitled)"),
            *([_section(CHOOSE)] if choices and is_needed else []),
            *([_choices(choices)] if choices else []),
            _input(
                REASON_BLOCK,
                "In your own words" if choices else "Reason",
                is_needed=is_needed and not choices,
                hint=_HINTS[verdict],
            ),
        ],
    )


_HINTS = {
    Verdict.APPROVE: "It is shown with the decision.",
    Verdict.REJECT: "It is handed to the next attempt and shown with the decision.",
}


def _choices(reasons: Sequence[str]) -> Block:
    """The policy's reasons, each by its number; the longer list is a menu."""
    options = [
        {"text": _plain(clipped(reason, OPTION, escaped)), "value": str(number)}
        for number, reason in enumerate(reasons[:MENU])
    ]
    kind = "radio_buttons" if len(options) <= RADIO else "static_select"
    return {
        "type": "input",
        "block_id": CHOICE_BLOCK,
        "optional": True,
        "label": _plain("Reason"),
        "element": {"type": kind, "action_id": CHOICE_INPUT, "options": options},
    }


def edit_view(
    *,
    what: str,
    text: str,
    is_json: bool,
    comment: str,
    is_reason_needed: bool,
    private_metadata: str,
    difference: str | None = None,
    consequence: str = "",
) -> Block:
    """The modal that holds a draft of at most `TEXT` units; with a `difference`, it asks for consent.

    The text can be changed there, too: whoever does sees the difference again before anything is decided.
    """
    is_confirming = difference is not None
    label = "What shall stand instead" + (" (JSON, of the same shape)" if is_json else "")
    return _modal(
        EDIT_VIEW,
        title="Confirm your edit" if is_confirming else "Edit",
        submit="Confirm" if is_confirming else "Show the changes",
        private_metadata=private_metadata,
        blocks=[
            _section(clipped(what, LINE, escaped) or "(untitled)"),
            *(_shown(difference) if difference is not None else ()),
            _section(clipped(consequence, SENTENCE, escaped)),
            _input(EDIT_BLOCK, label, text=text),
            _input(WHY_BLOCK, "Reason", text=comment, is_needed=is_reason_needed),
        ],
    )


def question_view(*, what: str, private_metadata: str) -> Block:
    return _modal(
        QUESTION_VIEW,
        title="Ask",
        submit="Ask",
        private_metadata=private_metadata,
        blocks=[
            _section(clipped(what, LINE, escaped) or "(untitled)"),
            _input(
                QUESTION_BLOCK, "Question to the submitter", hint="It decides nothing: the review stays open."
            ),
        ],
    )


def answer_view(*, who: str, question: str, private_metadata: str) -> Block:
    """`who` asked."""
    shown = excerpt(question, QUOTE, escaped)
    cut = f" (and {shown.missing:,} more characters, on the task's page)" if shown.missing else ""
    return _modal(
        ANSWER_VIEW,
        title="Answer",
        submit="Answer",
        private_metadata=private_metadata,
        blocks=[
            _section(f"{clipped(who, LINE, escaped) or 'Somebody'} asks:{cut}"),
            _rich("rich_text_quote", shown.text),
            _input(ANSWER_BLOCK, "Answer", hint="It is shown on the task's page and in its threads."),
        ],
    )


def _modal(kind: str, *, title: str, submit: str, private_metadata: str, blocks: list[Block]) -> Block:
    return {
        "type": "modal",
        "callback_id": kind,
        "private_metadata": private_metadata,
        "title": _plain(title),
        "submit": _plain(submit),
        "close": _plain("Cancel"),
        "notify_on_close": True,
        "blocks": blocks,
    }


def _shown(difference: str) -> list[Block]:
    shown = excerpt(difference, DIFFERENCE, escaped)
    cut = f"Cut off here: {shown.missing:,} more characters of changes." if shown.missing else ""
    return [_rich("rich_text_preformatted", shown.text), *([_section(cut)] if cut else [])]


def _input(block: str, label: str, *, text: str = "", is_needed: bool = True, hint: str = "") -> Block:
    element: dict[str, Any] = {
        "type": "plain_text_input",
        "action_id": INPUT,
        "multiline": True,
        "max_length": TEXT,
    }
    return {
        "type": "input",
        "block_id": block,
        "optional": not is_needed,
        "label": _plain(label),
        **({"hint": _plain(hint)} if hint else {}),
        "element": element | ({"initial_value": text} if text else {}),
    }


def _section(text: str) -> Block:
    return {"type": "section", "text": _plain(text)}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _rich(kind: str, text: str) -> Block:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": [{"type": "text", "text": text}]}]}
