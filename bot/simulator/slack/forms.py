"""What a person can do to buttons and inputs: find them by what they say, fill them in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.simulator.slack.model import elements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bot.simulator.slack.model import Blocks, Body

PRESSABLE = ("button", "overflow", "static_select", "radio_buttons", "checkboxes")
STATE_KEYS = {
    "plain_text_input": "value",
    "email_text_input": "value",
    "url_text_input": "value",
    "number_input": "value",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "channels_select": "selected_channel",
    "multi_users_select": "selected_users",
    "multi_conversations_select": "selected_conversations",
    "multi_channels_select": "selected_channels",
    "static_select": "selected_option",
    "external_select": "selected_option",
    "radio_buttons": "selected_option",
    "multi_static_select": "selected_options",
    "checkboxes": "selected_options",
}
"""Where each input keeps its value in `view.state.values` (Block Kit reference)."""
INITIAL_KEYS = {
    "value": "initial_value",
    "selected_option": "initial_option",
    "selected_options": "initial_options",
    "selected_date": "initial_date",
    "selected_time": "initial_time",
    "selected_date_time": "initial_date_time",
    "selected_user": "initial_user",
}


class NotOffered(LookupError):
    """The person cannot do this: no such button or input, or the client would not take the value."""


def button(blocks: Blocks, wanted: str) -> tuple[Body, Body]:
    """The (block, element) whose label or action_id is `wanted`; `Reject` finds `Reject…` too."""
    offered = list(elements(blocks, *PRESSABLE))
    for names in (_label, _action_id, lambda element: _label(element).removesuffix("…").rstrip()):
        for block, element in offered:
            if names(element) == wanted:
                return block, element
    labels = [_label(element) or _action_id(element) for _, element in offered]
    raise NotOffered(f"nothing here says {wanted!r}; there are {labels}")


def state_values(blocks: Blocks, values: Mapping[str, Any]) -> dict[str, dict[str, Body]]:
    """`view.state.values` after a person filled in `values`, by an input's label, block_id or action_id."""
    left = dict(values)
    state: dict[str, dict[str, Body]] = {}
    for block, element in _inputs(blocks):
        names = [_block_label(block), block["block_id"], element["action_id"]]
        named = [name for name in names if name in left]
        typed = left.pop(named[0]) if named else None
        value = _filled(block, element, typed)
        state.setdefault(block["block_id"], {})[element["action_id"]] = value
    if left:
        raise NotOffered(f"no input is called {sorted(left)}")
    return state


def _inputs(blocks: Blocks) -> Iterator[tuple[Body, Body]]:
    return elements(blocks, *STATE_KEYS)


def _filled(block: Body, element: Body, typed: Any) -> Body:
    """The element's entry in the state; what nobody touched keeps its initial value."""
    kind = element["type"]
    key = STATE_KEYS[kind]
    if typed is None:
        value = element.get(INITIAL_KEYS.get(key, ""), [] if key.endswith("s") else None)
    elif key == "selected_option":
        value = _option(element, typed)
    elif key == "selected_options":
        value = [_option(element, one) for one in typed]
    else:
        value = typed
    _check(block, element, value)
    return {"type": kind, key: value}


def _check(block: Body, element: Body, value: Any) -> None:
    """Slack's own client asks for required inputs and minds their lengths before anything is sent."""
    is_required = block["type"] == "input" and not block.get("optional", False)
    if is_required and value in (None, "", []):
        raise NotOffered(f"the input {_block_label(block)!r} is required")
    if isinstance(value, str) and "max_length" in element and len(value) > element["max_length"]:
        raise NotOffered(
            f"the input {_block_label(block)!r} takes {element['max_length']} characters at most"
        )
    if isinstance(value, str) and len(value) < element.get("min_length", 0):
        raise NotOffered(
            f"the input {_block_label(block)!r} takes {element['min_length']} characters at least"
        )


def chosen(element: Body, wanted: str | None) -> Body:
    """What an action carries beside its ids: a button's value, a menu's chosen option."""
    if element["type"] == "button":
        return {key: element[key] for key in ("text", "value", "style", "url") if key in element}
    option = _option(element, wanted or "")
    return {"selected_options": [option]} if element["type"] == "checkboxes" else {"selected_option": option}


def _option(element: Body, wanted: str) -> Body:
    groups: Sequence[Body] = element.get("option_groups", ())
    options = [*element.get("options", ()), *(option for group in groups for option in group["options"])]
    for option in options:
        if wanted in (option["text"]["text"], option.get("value")):
            return dict(option)
    raise NotOffered(f"no option is called {wanted!r}")


def _label(element: Body) -> str:
    text = element.get("text") or element.get("placeholder") or {}
    return str(text.get("text", ""))


def _block_label(block: Body) -> str:
    return str((block.get("label") or block.get("text") or {}).get("text", ""))


def _action_id(element: Body) -> str:
    return str(element.get("action_id", ""))
