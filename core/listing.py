"""How names stand in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; at least one. `last` stands before the last of several."""
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
