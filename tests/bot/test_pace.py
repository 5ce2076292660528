"""How fast one place is called: bursts, then the platform's limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.pace import PLACES, Pace, limit

if TYPE_CHECKING:
    from tests.world import StoppedClock

GROUP = (limit(3, 3.0), limit(20, 60.0))


def test_a_short_burst_need_not_wait(clock: StoppedClock) -> None:
    pace = Pace(clock)
    for _ in range(2):
        pace.called("here", GROUP)
    assert pace.wait("here", GROUP) == 0
    pace.called("here", GROUP)
    assert pace.wait("here", GROUP) == 3


def test_whoever_keeps_to_the_waits_keeps_to_every_limit(clock: StoppedClock) -> None:
    pace, calls = Pace(clock), []
    for _ in range(100):
        clock.advance(seconds=pace.wait("here", GROUP))
        pace.called("here", GROUP)
        calls.append(clock.now())
    for each in GROUP:
        spans = [later - earlier for earlier, later in zip(calls, calls[each.calls :], strict=False)]
        assert min(spans) >= each.span


def test_places_do_not_wait_for_each_other(clock: StoppedClock) -> None:
    pace = Pace(clock)
    for _ in range(3):
        pace.called("here", GROUP)
    assert pace.wait("there", GROUP) == 0


def test_places_that_nobody_writes_to_any_more_are_forgotten(clock: StoppedClock) -> None:
    pace = Pace(clock)
    for number in range(5 * PLACES):
        clock.advance(seconds=1)
        pace.called(f"place {number}", GROUP)
        assert pace.places <= PLACES


def test_a_place_whose_limit_holds_is_not_forgotten_however_many_there_are(clock: StoppedClock) -> None:
    pace = Pace(clock)
    for number in range(3 * PLACES):
        for _ in range(3):
            pace.called(f"place {number}", GROUP)
    assert pace.wait("place 0", GROUP) == 3


def test_a_place_that_was_called_long_ago_and_just_now_is_not_forgotten(clock: StoppedClock) -> None:
    pace = Pace(clock)
    pace.called("here", GROUP)
    clock.advance(seconds=100)
    for _ in range(3):
        pace.called("here", GROUP)
    for number in range(PLACES):
        pace.called(f"place {number}", GROUP)
    assert pace.wait("here", GROUP) == 3


def test_a_clock_that_is_set_back_holds_no_place_up_for_longer(clock: StoppedClock) -> None:
    pace = Pace(clock)
    for _ in range(3):
        pace.called("here", GROUP)
    clock.advance(hours=-6)
    assert pace.wait("here", GROUP) == 3
    clock.advance(seconds=3)
    assert pace.wait("here", GROUP) == 0
