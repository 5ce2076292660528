"""What happened a moment ago, as one replica remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from datetime import timedelta

    from core.ports import Clock

K = TypeVar("K", bound="Hashable")


class Lately(Generic[K]):
    """Forgets each after `span`, by what counts on though the clock is set."""

    def __init__(self, clock: Clock, span: timedelta) -> None:
        self._clock = clock
        self._span = span
        self._at: dict[K, timedelta] = {}

    def __contains__(self, key: K) -> bool:
        at = self._at.get(key)
        return at is not None and self._clock.steady() - at < self._span

    def __iter__(self) -> Iterator[K]:
        """Of those that there are now: what is discarded meanwhile may come all the same."""
        return iter([one for one in self._at if one in self])

    def discard(self, key: K) -> None:
        self._at.pop(key, None)

    def add(self, key: K) -> None:
        self._at = {one: at for one, at in self._at.items() if one in self}
        self._at[key] = self._clock.steady()
