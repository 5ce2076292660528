"""Screenshots made small: their 256 most frequent colours are as good as all of them, at a third of the size.

PNG as in its specification (w3.org/TR/png-3): 8 bits a channel, no alpha, not interlaced, as Chromium writes.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB, INDEXED = 2, 3
COLOURS = 256


def shrink(path: Path) -> None:
    """Rewrite the picture with a palette."""
    chunks = dict(_chunks(path.read_bytes()))
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if (depth, kind) != (8, RGB):
        raise ValueError(f"{path.name} is not a PNG of 8-bit RGB")
    rows = [_pixels(row) for row in _rows(zlib.decompress(chunks[b"IDAT"]), height, 3 * width)]
    palette = [colour for colour, _ in Counter(pixel for row in rows for pixel in row).most_common(COLOURS)]
    index = _Index(palette)
    body = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in rows)
    path.write_bytes(
        SIGNATURE
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, INDEXED, 0, 0, 0))
        + _chunk(b"PLTE", b"".join(palette))
        + _chunk(b"IDAT", zlib.compress(body, 9))
        + _chunk(b"IEND", b"")
    )


class _Index(dict[bytes, int]):
    """Colour to its place in the palette, or that of the nearest one there."""

    def __init__(self, palette: list[bytes]) -> None:
        super().__init__((colour, place) for place, colour in enumerate(palette))
        self._palette = palette

    def __missing__(self, colour: bytes) -> int:
        def distance(place: int) -> int:
            return sum((one - other) ** 2 for one, other in zip(colour, self._palette[place], strict=True))

        nearest = self[colour] = min(range(len(self._palette)), key=distance)
        return nearest


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content; the IDAT chunks as one."""
    at, pixels = len(SIGNATURE), b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            pixels += content
        else:
            yield kind, content
        at += 12 + length
    yield b"IDAT", pixels


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", check)


def _rows(raw: bytes, height: int, size: int) -> Iterator[bytes]:
    """The rows without their filters."""
    above = bytes(size)
    for number in range(height):
        start = number * (size + 1)
        above = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + size]), above)
        yield above


def _unfiltered(kind: int, row: bytearray, above: bytes) -> bytes:
    for at in range(len(row)):
        left, corner = (row[at - 3], above[at - 3]) if at >= 3 else (0, 0)
        row[at] = (row[at] + _predicted(kind, left, above[at], corner)) & 255
    return bytes(row)


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    """The five filters: none, sub, up, average, Paeth."""
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return (0, left, up, (left + up) // 2)[kind]


def _pixels(row: bytes) -> list[bytes]:
    return [row[at : at + 3] for at in range(0, len(row), 3)]
