"""What `countersign doctor` has to say of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; where it is not well, `mend` says what to do."""

    check: str
    is_well: bool
    text: str
    mend: str = ""
    is_warning: bool = False
    """It works, but perhaps not as somebody meant it; `mend` says how it would."""
