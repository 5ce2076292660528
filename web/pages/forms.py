"""What people write into the forms of a task: a state to go on with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from core.errors import Invalid
from core.states import parsed
from web.pages.text import beginning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json

LONGEST = 300_000
"""Bytes of a text that a form is given: as a form sends it, it may take three times as much, of 1 MiB."""


def editable(value: Json) -> str | None:
    """What a textarea begins with: the text, or indented JSON; None where a form could not send it back."""
    text, is_whole = beginning(value, LONGEST)
    return text if is_whole and len(text.encode(errors="replace")) <= LONGEST else None


def edits_of(typed: str, state: Mapping[str, Json]) -> dict[str, Json]:
    """The keys that differ from `state`; none where nothing was typed. Raises `Invalid`."""
    if not typed.strip():
        return {}
    wanted = parsed(typed, "The state is JSON, and what you wrote is not")
    if not isinstance(wanted, dict):
        raise Invalid("The state has to be a JSON object, in braces.")
    if missing := [key for key in state if key not in wanted]:
        raise Invalid(
            f"No key can be left out, but it can be null; missing: {', '.join(map(repr, missing[:3]))}."
        )
    return {key: value for key, value in wanted.items() if key not in state or _differ(state[key], value)}


def _differ(one: Json, other: Json) -> bool:
    """Also where Python takes them for equal: `true` and 1."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
