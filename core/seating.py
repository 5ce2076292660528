"""Who takes a place in which quorum, where each person takes one: a matching of people to places.

People who may sit in the same quorums are alike here, and so are the places of one quorum. So it costs by how
many kinds of people there are, not by how many people.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

Choices: TypeAlias = tuple[int, ...]
"""The numbers of the quorums in which somebody may sit."""


class Seating:
    """Whoever can have a place once others move has it, and nobody loses theirs: the first come go before."""

    def __init__(self, places: list[int]) -> None:
        """How many places each quorum has."""
        self.free = places
        self._sitting: list[Counter[tuple[Choices, bool]]] = [Counter() for _ in places]

    def seat(self, choices: Choices, *, counts: bool = True) -> bool:
        """Whether there is a place for somebody. Who does not count only shows where the others are to go."""
        came: dict[int, tuple[int, tuple[Choices, bool]] | None] = dict.fromkeys(choices)
        asked = list(choices)
        for quorum in asked:
            if self.free[quorum]:
                self._move(quorum, came, (choices, counts))
                return True
            for guest in self._sitting[quorum]:
                for other in guest[0]:
                    if other not in came:
                        came[other] = (quorum, guest)
                        asked.append(other)
        return False

    def _move(
        self,
        quorum: int,
        came: dict[int, tuple[int, tuple[Choices, bool]] | None],
        new: tuple[Choices, bool],
    ) -> None:
        """Each on the way to the free place moves one further, and `new` sits where the first got up."""
        self.free[quorum] -= 1
        while (before := came[quorum]) is not None:
            left, guest = before
            self._sitting[left] -= Counter([guest])
            self._sitting[quorum][guest] += 1
            quorum = left
        self._sitting[quorum][new] += 1

    def counting(self, quorum: int) -> int:
        """How many who count sit there."""
        return sum(number for (_, counts), number in self._sitting[quorum].items() if counts)

    def open_to(self) -> set[int]:
        """The quorums in which one more would find a place, others moving where they can."""
        found = {quorum for quorum, free in enumerate(self.free) if free}
        grows = bool(found)
        while grows:
            more = {
                quorum
                for quorum, sitting in enumerate(self._sitting)
                if quorum not in found and any(not found.isdisjoint(choices) for choices, _ in sitting)
            }
            found |= more
            grows = bool(more)
        return found

    @property
    def is_full(self) -> bool:
        return not any(self.free)
