"""JSON as text, as it is stored: compact, UTF-8 kept, NaN refused."""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_sorted = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode


def to_json(value: Any) -> str:
    """Raises `TypeError`, `ValueError` or `RecursionError` for what JSON cannot hold (NaN included)."""
    return _encode(value)


def to_sorted_json(value: Any) -> str:
    """The same text for equal values, in whatever order an object's keys came."""
    return _encode_sorted(value)


def from_json(text: str | None) -> Any:
    """None for None (SQL's NULL) as for JSON's null."""
    return None if text is None else json.loads(text)
