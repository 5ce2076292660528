"""What Slack finds wrong with the text objects, buttons, menus and inputs inside blocks.

Each check yields sentences in Slack's form: `must be less than 76 characters [json-pointer:/blocks/1/text]`.
The figures are those of `slack_sdk.models.blocks` 3.47.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slack_sdk.models.blocks.block_elements import InteractiveElement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACTION_ID = 255
BUTTON_TEXT = 75
BUTTON_VALUE = 2000
BUTTON_URL = 3000
PLACEHOLDER = 150
OPTION_TEXT = 75
OPTION_VALUE = 150
MENU_OPTIONS = 100
OVERFLOW_OPTIONS = 5
CHOICES = 10
"""Options of checkboxes and radio buttons (Block Kit reference)."""
CONFIRM_TITLE = 100
CONFIRM_TEXT = 300
CONFIRM_BUTTON = 30
TYPED_TEXT = 3000
"""The longest `max_length` of a plain-text input, and its initial value (Block Kit reference)."""

OPTION_COUNTS = {
    "static_select": MENU_OPTIONS,
    "multi_static_select": MENU_OPTIONS,
    "overflow": OVERFLOW_OPTIONS,
    "checkboxes": CHOICES,
    "radio_buttons": CHOICES,
}

MARKED = frozenset({"checkboxes", "radio_buttons"})
"""Only their options may be mrkdwn (Block Kit reference, option object)."""


def types_of(base: type) -> Iterator[str]:
    """The `type` of every class of slack_sdk's models below `base`."""
    subclasses: list[type] = base.__subclasses__()
    for derived in subclasses:
        kind = getattr(derived, "type", None)
        yield from [kind] if isinstance(kind, str) else []
        yield from types_of(derived)


ELEMENTS = frozenset(types_of(InteractiveElement))


def too_long(value: object, path: str, limit: int, *, at_least: int = 0) -> Iterator[str]:
    """A string's length; a missing one (None) is fine unless something is asked for."""
    if value is None and at_least == 0:
        return
    if not isinstance(value, str):
        yield f"must be a string [json-pointer:{path}]"
    elif len(value) > limit:
        yield f"must be less than {limit + 1} characters [json-pointer:{path}]"
    elif len(value) < at_least:
        yield f"must be more than {at_least - 1} characters [json-pointer:{path}]"


def too_many(items: object, path: str, limit: int, *, at_least: int = 0) -> Iterator[str]:
    if not isinstance(items, list):
        yield f"must provide an array [json-pointer:{path}]"
    elif len(items) > limit:
        yield f"no more than {limit} items allowed [json-pointer:{path}]"
    elif len(items) < at_least:
        yield f"no fewer than {at_least} items allowed [json-pointer:{path}]"


def text_problems(text: object, path: str, limit: int, *, plain: bool = False) -> Iterator[str]:
    """A text object, which must hold at least one character."""
    if not isinstance(text, dict):
        yield f"must be a valid object [json-pointer:{path}]"
        return
    allowed = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    if text.get("type") not in allowed:
        yield f"unsupported type: {text.get('type')} [json-pointer:{path}/type]"
    yield from too_long(text.get("text"), f"{path}/text", limit, at_least=1)


def element_problems(element: object, path: str) -> Iterator[str]:
    if not isinstance(element, dict):
        yield f"must be a valid object [json-pointer:{path}]"
        return
    kind = str(element.get("type"))
    if kind == "image":
        return  # slack_sdk looks inside these
    if kind not in ELEMENTS:
        yield f"unsupported type: {kind} [json-pointer:{path}/type]"
        return
    yield from too_long(element.get("action_id"), f"{path}/action_id", ACTION_ID)
    if "placeholder" in element:
        yield from text_problems(element["placeholder"], f"{path}/placeholder", PLACEHOLDER, plain=True)
    if "confirm" in element:
        yield from _confirm(element["confirm"], f"{path}/confirm")
    if kind == "button":
        yield from _button(element, path)
    if kind == "plain_text_input":
        yield from _typed(element, path)
    if kind in OPTION_COUNTS and not element.get("option_groups"):
        yield from _options(element.get("options"), f"{path}/options", OPTION_COUNTS[kind], kind)


def _button(button: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from text_problems(button.get("text"), f"{path}/text", BUTTON_TEXT, plain=True)
    yield from too_long(button.get("value"), f"{path}/value", BUTTON_VALUE)
    yield from too_long(button.get("url"), f"{path}/url", BUTTON_URL)
    yield from too_long(button.get("accessibility_label"), f"{path}/accessibility_label", BUTTON_TEXT)
    if button.get("style") not in (None, "primary", "danger"):
        yield f"unsupported style: {button['style']} [json-pointer:{path}/style]"


def _typed(element: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from too_long(element.get("initial_value"), f"{path}/initial_value", TYPED_TEXT)
    for name in ("min_length", "max_length"):
        length = element.get(name, 1)
        if not isinstance(length, int) or not 0 <= length <= TYPED_TEXT:
            yield f"must be between 0 and {TYPED_TEXT} [json-pointer:{path}/{name}]"


def _options(options: object, path: str, limit: int, kind: str) -> Iterator[str]:
    yield from too_many(options, path, limit, at_least=1)
    for index, option in enumerate(options if isinstance(options, list) else ()):
        at = f"{path}/{index}"
        if not isinstance(option, dict):
            yield f"must be a valid object [json-pointer:{at}]"
            continue
        is_plain = kind not in MARKED
        yield from text_problems(option.get("text"), f"{at}/text", OPTION_TEXT, plain=is_plain)
        yield from too_long(option.get("value"), f"{at}/value", OPTION_VALUE, at_least=1)


def _confirm(confirm: object, path: str) -> Iterator[str]:
    if not isinstance(confirm, dict):
        yield f"must be a valid object [json-pointer:{path}]"
        return
    yield from text_problems(confirm.get("title"), f"{path}/title", CONFIRM_TITLE, plain=True)
    yield from text_problems(confirm.get("text"), f"{path}/text", CONFIRM_TEXT)
    for name in ("confirm", "deny"):
        if name in confirm:
            yield from text_problems(confirm[name], f"{path}/{name}", CONFIRM_BUTTON, plain=True)
