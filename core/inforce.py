"""What the configuration says now: swapped whole when it is read anew, while everybody goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class InForce(Mapping[K, V]):
    """A mapping that many hold and one replaces; a reader in any thread sees it as it was or as it is."""

    def __init__(self, now: Mapping[K, V]) -> None:
        self._now = now

    def replace(self, now: Mapping[K, V]) -> None:
        self._now = now

    def __getitem__(self, key: K) -> V:
        return self._now[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)
