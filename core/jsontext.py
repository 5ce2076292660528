"""JSON as text, as it is stored: compact, UTF-8 kept, NaN refused."""

from __future__ import annotations

import json
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_sorted = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode
_scan: Callable[[str, int], tuple[Any, int]] = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]


def to_json(value: Any) -> str:
    """Raises `TypeError`, `ValueError` or `RecursionError` for what JSON cannot hold (NaN included)."""
    return _encode(value)


def to_sorted_json(value: Any) -> str:
    """The same text for equal values, in whatever order an object's keys came."""
    return _encode_sorted(value)


def from_json(text: str | None) -> Any:
    """What `to_json` made the text of; None for None (SQL's NULL) as for JSON's null."""
    # The scanner itself, for a third of what json.loads costs: our own text has nothing around it.
    return None if text is None else _scan(text, 0)[0]
