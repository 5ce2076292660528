"""On which line of a TOML file a key stands: tomllib does not say."""

from __future__ import annotations

import re

_TABLE = re.compile(r"\s*\[\[?\s*(.+?)\s*\]?\]\s*(#.*)?$")
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


def line_of(text: str, key: str) -> int | None:
    """The line, from 1, of `policies.default.approvals`; of its table where the key itself is not there, or
    of the first below it where it has no line of its own.

    None where there is none of these. `stages[2].approvals` is in the second `[[…stages]]`, where the file
    has such; positions in other lists (`stages.1`, from 0, is the second, too) count for nothing.
    """
    wanted, places = _wanted(key)
    best: tuple[int, int] | None = None
    below: int | None = None
    table: list[str] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            table = at = _parts(found[1])
            seen[tuple(at)] = seen.get(tuple(at), 0) + 1
        elif found := _KEY.match(line):
            at = [*table, *_parts(found[1])]
        else:
            continue
        if any(path == tuple(at[: len(path)]) and seen.get(path, place) != place for path, place in places):
            continue
        if wanted[: len(at)] == at and (best is None or len(at) > best[0]):
            best = (len(at), number)
        if below is None and at[: len(wanted)] == wanted:
            below = number
    return below if best is None else best[1]


def _wanted(key: str) -> tuple[list[str], list[tuple[tuple[str, ...], int]]]:
    """The parts of a key, and which of several, from 1, those are that have a position."""
    parts: list[str] = []
    places: list[tuple[tuple[str, ...], int]] = []
    for part in filter(None, re.sub(r"\[(\d+)\]", r".#\1", key).split(".")):
        if part.startswith("#") or part.isdigit():
            places.append((tuple(parts), int(part[1:]) if part.startswith("#") else int(part) + 1))
        else:
            parts.append(part)
    return parts, places


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
