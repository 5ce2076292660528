"""The map of core that a newcomer reads first."""

from __future__ import annotations

import re
from pathlib import Path

import core


def test_every_room_of_core_is_on_its_map() -> None:
    house = Path(core.__file__).parent
    rooms = {file.name for file in house.glob("*.py")} - {"__init__.py"}
    rooms |= {f"{inside.parent.name}/" for inside in house.glob("*/__init__.py")}
    assert set(re.findall(r"\b[a-z_]+(?:\.py|/)(?=\s)", core.__doc__ or "")) == rooms
