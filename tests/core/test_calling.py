"""core/calling.py: what was begun of a look at cards is not lost where the database is away meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.calling import Calls
from core.errors import StoreUnavailable
from core.model import Delegation, ReviewId
from tests.world import ANA, START

if TYPE_CHECKING:
    from collections.abc import Sequence

GONE = Delegation(id="d", person=ANA.id, delegate=None, until=START, made_by=ANA.id, made_at=START)


class Cards:
    """Two pages of open reviews, all of which are moved; `faults` are raised by the next reads."""

    def __init__(self) -> None:
        self.away: list[Delegation] = []
        self.faults: list[Exception] = []
        self.shown: list[str] = []

    async def delegations(self) -> Sequence[Delegation]:
        if self.faults:
            raise self.faults.pop(0)
        return list(self.away)

    async def moved_calls(
        self, before: Sequence[Delegation], *, after: str | None, limit: int
    ) -> tuple[Sequence[ReviewId], str | None]:
        if self.faults:
            raise self.faults.pop(0)
        assert before == [], "as it was before she left"
        return ([ReviewId("one")], "one") if after is None else ([ReviewId("two")], None)

    async def show_calls(self, review_ids: Sequence[str]) -> None:
        self.shown += review_ids


async def test_after_a_defect_nothing_is_looked_for_until_somebody_goes_or_comes() -> None:
    cards = Cards()
    calls = Calls(cards)
    cards.faults = [ValueError("a defect")]
    with pytest.raises(ValueError, match="a defect"):
        await calls.step()
    calls.give_up()
    assert not calls.is_wanted
    calls.absent()
    assert calls.is_wanted


@pytest.mark.parametrize("outage", [0, 1])
async def test_an_outage_in_the_midst_of_a_look_costs_time_only(outage: int) -> None:
    cards = Cards()
    calls = Calls(cards)
    await calls.step()
    cards.away = [GONE]
    calls.absent()
    for number in range(2):
        if number == outage:
            cards.faults = [StoreUnavailable("locked"), StoreUnavailable("locked")]
        while cards.faults:
            with pytest.raises(StoreUnavailable):
                await calls.step()
            assert calls.is_wanted
        await calls.step()
    assert cards.shown == ["one", "two"]
    assert not calls.is_wanted
