"""How values are written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from core.model.names import Json


def clock_name(local: datetime) -> str:
    """What the clock goes by that shows this: `CET`, or `UTC+05:45` where that time has no letters."""
    name = local.tzname() or ""
    return name if name.isalpha() else f"UTC{local.isoformat()[-6:]}"


def text_of(value: Json) -> str:
    """A draft, input or result as people read it: text as it is, anything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.isoformat().replace("+00:00", "Z")
