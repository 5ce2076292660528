"""A task's state: what it begins with, whether it can be kept, what changed in it, how it may be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from core.errors import FlowError, Invalid
from core.jsontext import is_deeper, to_json, to_sorted_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json

SCHEMA = 1
"""Of how states are stored with a checkpoint; a later release's is not run."""
MAX_STATE = 8 * 2**20
"""Characters of JSON that a task's state may take: room for a draft of the largest body many times over."""

AS_IT_IS = "This is the draft as it is: approve it, or change something."
NOTHING_LEFT = "The edit leaves nothing of the draft; reject it instead."

MAX_LEVELS = 128
"""Of lists and objects in a state or a draft; who reads deeper ones may come to the end of the stack."""


def initial_state(task_id: str, task_input: Json) -> dict[str, Json]:
    """The seed's keys, before the first node."""
    return {
        "task_id": task_id,
        "task_input": task_input,
        "processed_output": None,
        "feedback": None,
        "feedback_comment": None,
        "final_result": None,
        "current_attempt": 0,
    }


def checked_text(value: Any, what: str) -> str:
    """The value as JSON text; raises `FlowError` where a database could not keep it."""
    try:
        text = to_json(value)
        text.encode()  # half a surrogate pair is no text that a database takes
        is_deep = is_deeper(value, text, MAX_LEVELS)
    except RecursionError:  # what it says is of the interpreter, and another in each release
        is_deep = True
    except (TypeError, ValueError) as error:
        raise FlowError(f"{what} is not JSON: {error}.") from error
    if is_deep:
        raise FlowError(f"{what} is nested more than {MAX_LEVELS} levels deep.")
    return text


def check_size(value: Any, what: str) -> None:
    """As `checked_text`, and no more of it than of a state: every page that lists the task reads it."""
    length = len(checked_text(value, what))
    if length > MAX_STATE:
        raise FlowError(f"{what} has {length} characters, over {MAX_STATE}.")


def changes(before: Mapping[str, Json], now: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    """The keys that differ, with the value in each (None where a key is absent)."""
    return {
        key: (before.get(key), now.get(key))
        for key in (*before, *(key for key in now if key not in before))
        if (key in before, before.get(key)) != (key in now, now.get(key))
    }


def content_of(typed: str, draft: Json) -> Json:
    """The edited draft that somebody `typed`: text where the draft is text, else JSON. Raises `Invalid`."""
    if not isinstance(draft, str):
        return _json_content(typed, draft)
    plain = _lines(typed)
    if plain == _lines(draft):
        return draft  # as it was, but for the line ends, which every browser and chat sends its own way
    return plain.replace("\n", "\r\n") if "\r\n" in draft else plain


def _json_content(typed: str, draft: Json) -> Json:
    content = parsed(typed, "The draft is JSON, and what you wrote is not") if typed.strip() else None
    if content is None:
        raise Invalid(AS_IT_IS if draft is None else NOTHING_LEFT)
    return content


def parsed(typed: str, complaint: str) -> Json:
    """JSON that somebody typed. Raises `Invalid`, whose sentence begins with `complaint`."""
    try:
        found: Json = from_json(typed, allow_inf_nan=False)
    except ValueError as error:
        raise Invalid(f"{complaint}: {error}.") from None
    return found


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_shape(draft: Json, content: Json) -> None:
    """Raise `Invalid` where an edit is of another kind than what it replaces.

    Text stays text, a list a list; an object keeps its keys, and each of them its kind. What was null may
    become anything.
    """
    if to_sorted_json(content) == to_sorted_json(draft):  # == would take 1 for 1.0, and for true
        raise Invalid(AS_IT_IS)
    found = _misfit(draft, content, "The edited content")
    if found is not None:
        raise Invalid(found)


def check_edits(state: Mapping[str, Json], edits: Mapping[str, Json]) -> None:
    """Raise `Invalid` for an edited state of the wrong shape; new keys are welcome."""
    if edits.get("task_id", state.get("task_id")) != state.get("task_id"):
        raise Invalid("`state.task_id` cannot be changed.")
    for key, value in edits.items():
        if key in state and value is not None and (found := _misfit(state[key], value, f"`state.{key}`")):
            raise Invalid(found)


def _misfit(before: Json, now: Json, what: str) -> str | None:
    if before is None or _kind(before) == _kind(now) != "object":
        return None
    if _kind(before) != _kind(now):
        return f"{what} has to be {_ARTICLE[_kind(before)]}, as it was, not {_ARTICLE[_kind(now)]}."
    if isinstance(before, dict) and isinstance(now, dict):
        if missing := [key for key in before if key not in now]:
            return f"{what} has lost {', '.join(map(repr, missing[:3]))}."
        if new := [key for key in now if key not in before]:
            return f"{what} has {', '.join(map(repr, new[:3]))}, which was not there."
        for key in before:
            if found := _misfit(before[key], now[key], f"{what}: {key!r}"):
                return found
    return None


def _kind(value: Json) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case dict():
            return "object"
        case _:
            return "null"


_ARTICLE = {
    "boolean": "true or false",
    "number": "a number",
    "text": "text",
    "list": "a list",
    "object": "an object",
    "null": "null",
}
