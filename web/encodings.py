"""Bodies that come compressed (RFC 9110, 8.4.1): the whole of them, or a refusal.

aiohttp's own server takes a gzip that was cut off before its end, and is told not to look (`make_runner`).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from aiohttp import web

from web.problems import HttpRefusal, malformed

if TYPE_CHECKING:
    from collections.abc import Callable

MEMBERS = 100
"""Of a gzip, at most: looking for the next costs as much as all that follows."""

_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
"""What some clients call deflate, without the head that it has."""


def decoded(body: bytes, encoding: str, most: int) -> bytes:
    """The body as it was before it was encoded; raises a refusal (400, 415; 413 where it has over `most`)."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _DECODERS:
        raise HttpRefusal(
            415,
            "Unsupported media type",
            "Send the body as it is, or encoded as gzip or deflate.",
            headers={"Accept-Encoding": "gzip, deflate"},
        )
    if not body:
        return body
    try:
        return _DECODERS[name](body, most)
    except zlib.error as error:
        raise malformed("The body is not encoded as its headers say.") from error


def _gunzip(body: bytes, most: int) -> bytes:
    found = b""
    for _ in range(MEMBERS):
        piece, body = _inflated(body, _GZIP, most - len(found))
        found += piece
        if not body:
            return found
    raise malformed(f"The body is a gzip of more than {MEMBERS} members.")


def _inflate(body: bytes, most: int) -> bytes:
    has_head = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    found, rest = _inflated(body, zlib.MAX_WBITS if has_head else _RAW, most)
    if rest:
        raise malformed("The body has more behind its end.")
    return found


def _inflated(body: bytes, window: int, most: int) -> tuple[bytes, bytes]:
    """What was compressed, and what follows it."""
    one = zlib.decompressobj(window)
    found = one.decompress(body, most + 1)
    if len(found) > most:
        raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=len(found))
    if not one.eof:
        raise malformed("The body is cut off: its encoding has no end.")
    return found, one.unused_data


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,  # RFC 9110, 8.4.1.3
    "deflate": _inflate,
}
