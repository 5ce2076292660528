"""On which line of a TOML file a key stands: tomllib does not say."""

from __future__ import annotations

import re

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"({_PART}(?:\s*\.\s*{_PART})*)"
_KEY = re.compile(rf"\s*{_DOTTED}\s*=")
_TABLE = re.compile(rf"\s*\[\[?\s*{_DOTTED}\s*\]\]?\s*(?:#.*)?$")


def line_of(text: str, key: str) -> int | None:
    """The line, from 1, of `policies.default.approvals`; of its table where the key itself is not there.

    None where neither is. Parts in brackets, or numbers, are positions in a list and count for nothing.
    """
    wanted = [part for part in re.sub(r"\[\d+\]", "", key).split(".") if part and not part.isdigit()]
    best: tuple[int, int] | None = None
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            table = at = _parts(found[1])
        elif found := _KEY.match(line):
            at = [*table, *_parts(found[1])]
        else:
            continue
        if wanted[: len(at)] == at and (best is None or len(at) > best[0]):
            best = (len(at), number)
    return None if best is None else best[1]


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
