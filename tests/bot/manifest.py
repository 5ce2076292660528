"""What `docs/slack-manifest.yaml` asks for, read line by line: it is pasted into Slack, not read by us."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "slack-manifest.yaml").read_text()
_KEY = re.compile(r"\s*(\w+):\s*(?:#.*)?$")
_ITEM = re.compile(r"\s*- ([\w:]+)\s*(?:#.*)?$")


def listed(key: str) -> frozenset[str]:
    """The items of the list under the last key of that name."""
    found: list[str] = []
    is_inside = False
    for line in TEXT.splitlines():
        if key_found := _KEY.match(line):
            is_inside = key_found[1] == key
        elif is_inside and (item := _ITEM.match(line)):
            found.append(item[1])
    return frozenset(found)


SCOPES, EVENTS = listed("bot"), listed("bot_events")
