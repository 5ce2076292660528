"""One line of the benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MiB = 2**20
KiB = 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table."""

    name: str
    what: str
    value: float
    unit: str
    bar: str = ""

    @property
    def shown(self) -> str:
        return f"{self.value:.2f} {self.unit}".replace(".00 ", " ")

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": round(self.value, 4), "unit": self.unit, "bar": self.bar}
