"""JSON as text: as it is stored, compact, UTF-8 kept, NaN refused; and as it is sent, in ASCII."""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder, encoder
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_scan: Callable[[str, int], tuple[Any, int]] = make_scanner(JSONDecoder())  # type: ignore[arg-type]  # typeshed asks for a scanner


def _encoder(*, sort_keys: bool = False, is_sent: bool = False) -> Callable[[Any], str]:
    """The standard library's encoder, made once: `JSONEncoder.encode` makes another for every call, which
    is half of what a small value costs."""
    comma, colon = (", ", ": ") if is_sent else (",", ":")
    plain = JSONEncoder(ensure_ascii=is_sent, allow_nan=False, separators=(comma, colon), sort_keys=sort_keys)
    make: Any = getattr(encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without it
        return plain.encode
    text = encoder.encode_basestring_ascii if is_sent else encoder.encode_basestring
    # No markers: a value that holds itself raises RecursionError instead of ValueError.
    parts: Callable[[Any, int], Iterable[str]] = make(
        None, plain.default, text, None, colon, comma, sort_keys, False, False
    )
    return lambda value: "".join(parts(value, 0))


_encode = _encoder()
_encode_sorted = _encoder(sort_keys=True)
_encode_sent = _encoder(is_sent=True)


def to_json(value: Any) -> str:
    """Raises `TypeError`, `ValueError` or `RecursionError` for what JSON cannot hold (NaN included)."""
    return _encode(value)


def to_sorted_json(value: Any) -> str:
    """The same text for equal values, in whatever order an object's keys came."""
    return _encode_sorted(value)


def to_ascii_json(value: Any) -> str:
    """What `json.dumps` makes of it, in a third of the time; raises as `to_json`."""
    return _encode_sent(value)


def from_json(text: str | None) -> Any:
    """What `to_json` made the text of; None for None (SQL's NULL) as for JSON's null."""
    # The scanner itself, for a third of what json.loads costs: our own text has nothing around it.
    return None if text is None else _scan(text, 0)[0]


def is_deeper(value: Any, text: str, levels: int) -> bool:
    """Whether `value`, whose JSON is `text`, has more levels of lists and objects."""
    if text.count("[") + text.count("{") <= levels:
        return False  # as with nearly every value, without looking into it
    level = [value]
    for _ in range(levels + 1):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list, tuple))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return bool(level)
