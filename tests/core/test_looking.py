"""Saying that one is looking, and asking to be reminded later, with the timekeeper at work."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.errors import Invalid, NotAReviewer
from core.events import ClaimEnded, ReminderSnoozed, ReviewClaimed, ReviewerReminded
from core.explaining import looking
from core.model import LOCAL, Claim, Outcome
from tests.core.judging import review as a_review
from tests.world import ANA, BEN, EVE, PEOPLE, START, World, whole_core

if TYPE_CHECKING:
    from datetime import datetime

    from core.events import Event
    from core.store.database import Database
    from tests.world import StoppedClock

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STRANGER = "You are not among the reviewers of this task. Ana Ruiz, Ben Okri and Cy Young can decide."


async def opened(world: World) -> tuple[str, str]:
    """A task that waits, and its review."""
    task = await world.submit()
    return task.id, await world.open_review(task.id)


async def kinds(world: World, task: str) -> list[type[Event]]:
    return [type(event) for event in await world.history(task)][3:]


async def test_a_claim_ends_by_itself_when_its_time_is_over(world: World, clock: StoppedClock) -> None:
    task, review = await opened(world)
    found = await world.service.looking.claim(review, ANA.id, via="web")
    assert [one.name for one in found.claims] == [ANA.name]
    clock.advance(15 * MINUTE)
    await world.event(task, ClaimEnded)
    assert (await world.service.review(review)).claims == ()


async def test_both_happen_at_the_next_start_where_nobody_was_there(
    any_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(any_database, clock) as world:
        task, review = await opened(world)
        await world.service.looking.claim(review, ANA.id, via="web")
        await world.service.looking.snooze(review, BEN.id, HOUR, via="web")
    clock.advance(DAY)
    for _ in range(2):
        async with whole_core(any_database, clock) as world:
            while await world.store.next_timer() is not None:
                pass
            wanted = [ReviewClaimed, ReminderSnoozed, ClaimEnded, ReviewerReminded]
            assert (await kinds(world, task))[-4:] == wanted, "once"


async def test_nothing_comes_after_the_decision(world: World, clock: StoppedClock) -> None:
    task, review = await opened(world)
    await world.service.looking.claim(review, BEN.id, via="web")
    await world.service.looking.snooze(review, BEN.id, HOUR, via="web")
    await world.approve(review)
    await world.end(task)
    before = await world.history(task)
    clock.advance(DAY)
    assert await world.store.next_timer() is None
    assert await world.history(task) == before


async def test_who_may_not_hears_who_can(world: World) -> None:
    _, review = await opened(world)
    for tried in (
        world.service.looking.claim(review, EVE.id, via="web"),
        world.service.looking.snooze(review, EVE.id, HOUR, via="web"),
    ):
        with pytest.raises(NotAReviewer) as refused:
            await tried
        assert str(refused.value) == STRANGER


@pytest.mark.parametrize(
    "until",
    [
        timedelta(),
        -HOUR,
        timedelta(seconds=59),
        30 * DAY + MINUTE,
        timedelta.max,
        START,
        START - HOUR,
        START + timedelta(seconds=49),
        START + 30 * DAY + MINUTE,
    ],
)
async def test_a_time_too_soon_or_too_far_is_refused(world: World, until: datetime | timedelta) -> None:
    task, review = await opened(world)
    before = await world.history(task)
    with pytest.raises(Invalid, match="1 minute at least, and by 30 days at most"):
        await world.service.looking.snooze(review, ANA.id, until, via="web")
    assert await world.history(task) == before


@pytest.mark.parametrize("wait", [MINUTE, 30 * DAY])
async def test_a_time_or_a_wait_will_do(world: World, clock: StoppedClock, wait: timedelta) -> None:
    _, review = await opened(world)
    found = await world.service.looking.snooze(review, ANA.id, wait, via="web")
    assert found == await world.service.looking.snooze(review, ANA.id, clock.now() + wait, via="web")
    assert [one.until for one in found.snoozes] == [START + wait]
    found = await world.service.looking.wake(review, ANA.id, via="web")
    assert found.snoozes == ()


async def test_a_time_that_was_a_minute_away_when_it_was_asked_for_is(
    world: World, clock: StoppedClock
) -> None:
    _, review = await opened(world)
    until = clock.now() + MINUTE
    clock.advance(seconds=2)
    assert (await world.service.looking.snooze(review, ANA.id, until, via="web")).snoozes[0].until == until


async def test_it_is_explained(world: World, clock: StoppedClock) -> None:
    task, review = await opened(world)
    await world.service.looking.claim(review, ANA.id, via="web")
    await world.service.looking.snooze(review, BEN.id, HOUR, via="web")
    found = await world.service.explain(task, EVE.id)
    assert found is not None
    assert [(one.person, one.until) for one in found.claims] == [(ANA.id, START + 15 * MINUTE)]
    assert [(one.person, one.until) for one in found.snoozed] == [(BEN.id, START + HOUR)]
    assert found.sentence == "", "what is missing is another matter"
    await world.approve(review)
    found = await world.service.explain(task, EVE.id)
    assert found is not None
    assert (found.claims, found.snoozed) == ((), ())


async def test_a_claim_changes_nothing_of_who_may_decide(world: World) -> None:
    _, review = await opened(world)
    await world.service.looking.claim(review, ANA.id, via="web")
    assert (await world.approve(review, BEN)).outcome is Outcome.APPROVED


async def test_whoever_sits_at_the_machine_may_look(world: World) -> None:
    _, review = await opened(world)
    found = await world.service.looking.claim(review, LOCAL, via="web")
    assert looking(found) == "local (open) is looking, until 08:15 UTC"


def test_the_words_of_who_is_looking() -> None:
    claims = tuple(Claim(person=who.id, name=who.name, until=START) for who in PEOPLE.values())
    said = [looking(replace(a_review(), claims=claims[:number])) for number in range(6)]
    assert said[:3] == [
        "",
        "Ana Ruiz is looking, until 08:00 UTC",
        "Ana Ruiz (until 08:00 UTC) and Ben Okri (until 08:00 UTC) are looking",
    ]
    three = "Ana Ruiz (until 08:00 UTC), Ben Okri (until 08:00 UTC)"
    assert said[3] == f"{three} and Cy Young (until 08:00 UTC) are looking"
    assert said[5] == f"{three}, Cy Young (until 08:00 UTC) and 2 more are looking"
