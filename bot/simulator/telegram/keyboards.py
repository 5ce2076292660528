"""What may stand under a message: inline keyboards, and the prompts that make a client reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bot.simulator.telegram.errors import bad_request
from bot.simulator.telegram.limits import (
    BUTTONS,
    BUTTONS_PER_ROW,
    CALLBACK_DATA_BYTES,
    PLACEHOLDER_LENGTH,
    checked_url,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Button: TypeAlias = "Mapping[str, Any]"
"""An InlineKeyboardButton as the Bot API has it."""
Keyboard: TypeAlias = "tuple[tuple[Button, ...], ...]"
"""Rows of buttons; empty is no keyboard."""

STYLES = frozenset({"danger", "success", "primary"})
ACTIONS = (
    "callback_data",
    "url",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """A reply_markup, read. A client shows at most one kind."""

    keyboard: Keyboard = ()
    force_reply: Mapping[str, Any] | None = None
    has_reply_keyboard: bool = False
    """A custom keyboard was shown or removed: kept only because such a message can never be edited."""


def read_markup(raw: Any, *, only_inline: bool) -> Markup:
    """Check a reply_markup; `only_inline` in channels and in edits."""
    if raw is None:
        return Markup()
    if not isinstance(raw, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in raw:
        return Markup(keyboard=_inline(raw["inline_keyboard"]))
    if not raw:
        return Markup()
    if only_inline:
        raise bad_request("inline keyboard expected")
    if raw.get("force_reply"):
        return Markup(force_reply=_force_reply(raw))
    return Markup(has_reply_keyboard=True)


def _force_reply(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(raw.get("input_field_placeholder") or "") > PLACEHOLDER_LENGTH:
        raise bad_request("REPLY_MARKUP_PLACEHOLDER_INVALID")
    return dict(raw)


def _inline(rows: Any) -> Keyboard:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    keyboard = tuple(tuple(_button(button) for button in row) for row in rows if row)
    if sum(len(row) for row in keyboard) > BUTTONS or any(len(row) > BUTTONS_PER_ROW for row in keyboard):
        raise bad_request("reply markup is too long")
    return keyboard


def _button(raw: Any) -> Button:
    if not isinstance(raw, dict):
        raise bad_request("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    if "text" not in raw:
        raise bad_request("can't parse inline keyboard button: Can't find field \"text\"")
    if not raw["text"]:
        raise bad_request("inline keyboard button text must be non-empty")
    if not any(action in raw for action in ACTIONS):
        raise bad_request("text buttons are unallowed in the inline keyboard")
    if raw.get("style", "primary") not in STYLES:
        raise bad_request("can't parse inline keyboard button: invalid button style specified")
    _check_data(raw)
    return _with_checked_url(raw)


def _check_data(raw: Button) -> None:
    if "callback_data" in raw and not 1 <= len(str(raw["callback_data"]).encode()) <= CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")


def _with_checked_url(raw: Button) -> Button:
    if "url" not in raw:
        return dict(raw)
    address = checked_url(str(raw["url"]))
    if address is None:
        raise bad_request(f"inline keyboard button URL '{raw['url']}' is invalid: Wrong HTTP URL")
    return {**raw, "url": address}
