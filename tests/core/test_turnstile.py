"""Submissions a few at a time; decisions at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from core import turnstile
from core.errors import Overloaded, StoreUnavailable
from core.turnstile import AT_ONCE, BESIDE_DECISIONS, Turnstile
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

MANY = 20


class Crowd:
    """Submissions that each hold their turn until they are told what comes of it."""

    def __init__(self, gate: Turnstile) -> None:
        self._gate = gate
        self.inside: list[int] = []
        self.ends = {number: asyncio.Event() for number in range(MANY)}
        self.tasks = [asyncio.create_task(self._submit(number)) for number in range(MANY)]
        self.outage: Callable[[], Exception] | None = None

    async def _submit(self, number: int) -> None:
        async with self._gate.submission():
            self.inside.append(number)
            await self.ends[number].wait()
            if self.outage is not None:
                raise self.outage()

    async def all_end(self) -> list[BaseException | None]:
        for end in self.ends.values():
            end.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


async def settle() -> None:
    """Let whatever can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def are_inside(crowd: Crowd, count: int) -> bool:
    """So many, and no more, in the order they came."""
    assert crowd.inside == list(range(len(crowd.inside)))
    return len(crowd.inside) == count


async def test_whoever_comes_in_a_rest_has_their_turn_after_it() -> None:
    gate = Turnstile(calm=0)
    with gate.decision():
        for _ in range(3):
            async with gate.submission():
                pass


async def test_what_is_no_flood_waits_for_nothing() -> None:
    crowd = Crowd(Turnstile(calm=MANY))
    await settle()
    assert crowd.inside == list(range(MANY))
    assert await crowd.all_end() == [None] * MANY


async def test_a_flood_begins_with_one_too_many_and_ends_when_it_is_gone() -> None:
    crowd = Crowd(Turnstile(calm=MANY - 1))
    await settle()
    assert crowd.inside == list(range(MANY - 1))
    crowd.ends[0].set()
    await settle()
    assert len(crowd.inside) == MANY - 1, "as many as are calm are here"
    crowd.ends[1].set()
    await settle()
    assert crowd.inside == list(range(MANY))
    assert await crowd.all_end() == [None] * MANY


async def test_a_few_at_a_time_in_the_order_they_came() -> None:
    crowd = Crowd(Turnstile(calm=0))
    await settle()
    assert crowd.inside == list(range(AT_ONCE))
    crowd.ends[1].set()
    await settle()
    assert crowd.inside == list(range(AT_ONCE + 1))
    assert await crowd.all_end() == [None] * MANY
    assert crowd.inside == list(range(MANY))


async def test_fewer_while_a_decision_is_stored_but_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "LINGER", timedelta())
    monkeypatch.setattr(turnstile, "REST", timedelta())
    gate = Turnstile(calm=0)
    with gate.decision():
        crowd = Crowd(gate)
        await settle()
        assert crowd.inside == list(range(BESIDE_DECISIONS))
        crowd.ends[0].set()
        await settle()
        assert crowd.inside == list(range(BESIDE_DECISIONS + 1))
    await settle()
    assert len(crowd.inside) == AT_ONCE + 1
    assert await crowd.all_end() == [None] * MANY


async def test_between_two_is_a_rest_while_somebody_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "LINGER", timedelta())
    monkeypatch.setattr(turnstile, "REST", timedelta(hours=1))
    gate = Turnstile(calm=0)
    with gate.decision():
        crowd = Crowd(gate)
        await settle()
        crowd.ends[0].set()
        await settle()
        assert crowd.inside == [0]
    await settle()
    assert len(crowd.inside) == AT_ONCE + 1, "nobody decides any more"
    assert await crowd.all_end() == [None] * MANY


async def test_after_the_rest_the_next_has_its_turn_though_nothing_else_happens() -> None:
    gate = Turnstile(calm=0)
    with gate.decision():
        crowd = Crowd(gate)
        for number in range(3):
            await eventually(partial(are_inside, crowd, number + 1))
            crowd.ends[number].set()
        await eventually(partial(are_inside, crowd, 4))
    assert await crowd.all_end() == [None] * MANY


async def test_fewer_for_a_moment_after_a_decision_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "LINGER", timedelta(hours=1))
    gate = Turnstile(calm=0)
    with gate.decision():
        crowd = Crowd(gate)
        await settle()
    await settle()
    assert crowd.inside == list(range(BESIDE_DECISIONS))
    monkeypatch.setattr(turnstile, "LINGER", timedelta())
    with gate.decision():
        pass
    assert await crowd.all_end() == [None] * MANY


async def test_the_moment_after_a_decision_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    hour = timedelta(hours=1)
    monkeypatch.setattr(turnstile, "LINGER", hour)
    gate = Turnstile(calm=0)
    with gate.decision():
        crowd = Crowd(gate)
        await settle()
    later = asyncio.get_running_loop().time() + hour.total_seconds()
    monkeypatch.setattr(turnstile, "_now", lambda: later)
    crowd.ends[0].set()
    await settle()
    assert crowd.inside == list(range(AT_ONCE + 1))
    assert await crowd.all_end() == [None] * MANY


async def test_whoever_goes_away_leaves_their_turn_to_the_next() -> None:
    gate = Turnstile(calm=0)
    crowd = Crowd(gate)
    await settle()
    crowd.tasks[AT_ONCE].cancel()
    crowd.tasks[0].cancel()
    await settle()
    assert crowd.inside == [*range(AT_ONCE), AT_ONCE + 1]
    # Cancelled in the very moment in which its turn comes.
    crowd.ends[1].set()
    crowd.tasks[1].add_done_callback(lambda _: crowd.tasks[AT_ONCE + 2].cancel())
    await settle()
    assert AT_ONCE + 3 in crowd.inside
    answers = await crowd.all_end()
    gone = [number for number, answer in enumerate(answers) if isinstance(answer, asyncio.CancelledError)]
    assert gone[:2] == [0, AT_ONCE]
    async with gate.submission():
        pass


async def test_whoever_goes_away_as_their_turn_comes_leaves_it_to_the_next() -> None:
    gate = Turnstile(calm=1)
    first = gate.submission()
    await first.__aenter__()
    crowd = Crowd(gate)
    await settle()
    inside = list(range(AT_ONCE - 1))
    assert crowd.inside == inside
    await first.__aexit__(None, None, None)
    crowd.tasks[AT_ONCE - 1].cancel()
    await settle()
    assert crowd.inside == [*inside, AT_ONCE]
    await crowd.all_end()


async def test_more_than_may_wait_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "WAITING", 3)
    crowd = Crowd(Turnstile(calm=0))
    await settle()
    answers = await crowd.all_end()
    refused = [answer for answer in answers if answer is not None]
    assert all(isinstance(answer, Overloaded) for answer in refused)
    assert len(refused) == MANY - AT_ONCE - 3


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "PATIENCE", timedelta())
    crowd = Crowd(Turnstile(calm=0))
    answers = await asyncio.gather(*crowd.tasks[AT_ONCE:], return_exceptions=True)
    assert all(isinstance(answer, Overloaded) for answer in answers)
    await crowd.all_end()


async def test_who_waits_behind_a_long_outage_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "LONG", -timedelta(seconds=1))
    crowd = Crowd(Turnstile(calm=0))
    await settle()
    crowd.outage = lambda: StoreUnavailable("The database is locked.", retry_after=timedelta(seconds=7))
    crowd.ends[0].set()
    behind = await asyncio.gather(*crowd.tasks[AT_ONCE:], return_exceptions=True)
    assert all(
        isinstance(answer, StoreUnavailable) and answer.retry_after == timedelta(seconds=7)
        for answer in behind
    )
    assert crowd.inside == list(range(AT_ONCE))
    await crowd.all_end()
