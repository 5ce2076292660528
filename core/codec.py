"""Events as they are stored and streamed: their fields as JSON, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from core.events import EVENTS, NodeRetried, kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.events import Event
    from core.model import Json

_CLASSES = {kind(cls): cls for cls in EVENTS}
_CLASSES["step_retried"] = NodeRetried  # as the first release stored it
_FIELDS = {cls: tuple(field.name for field in fields(cls)) for cls in EVENTS}


def encode(event: Event) -> dict[str, Json]:
    """The fields as JSON."""
    return {name: getattr(event, name) for name in _FIELDS[type(event)]}


def decode(name: str, data: Mapping[str, Any]) -> Event:
    """The event of a stored name and its fields; fields of a later release are passed over."""
    cls = _CLASSES[name]
    return cls(**{key: data[key] for key in _FIELDS[cls] if key in data})
