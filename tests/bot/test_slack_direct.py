"""Cards that go to one person in Slack: posted to their id, they stand in a conversation that has another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.model import DeliveryState, Status, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import decided
from tests.bot.slack_house import GENERAL, simulated, slack_house, text_of, the_view
from tests.world import ANA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.slack import Message
    from core.store.database import Database
    from tests.bot.slack_house import SlackHouse
    from tests.world import StoppedClock

clock = slack_fixtures.clock
LONG = "\n".join(f"{number}. line of a draft that no card shows whole" for number in range(200))


@pytest.fixture(params=["socket mode", "http"])
async def direct(
    request: pytest.FixtureRequest, sqlite_database: Database, clock: StoppedClock
) -> AsyncIterator[SlackHouse]:
    async with slack_house(sqlite_database, clock, http=request.param == "http", place="U01ANA") as started:
        yield started


async def card_with(there: SlackHouse, words: str, user: str = "U01ANA") -> Message:
    """The first message of that person's conversation with us that says so, once one does."""
    place = there.slack.open_im(user).id

    def seen() -> list[Message]:
        return [message for message in there.slack.messages(place) if words in text_of(message)]

    await there.slack.until(seen)
    await there.house.noted()
    return seen()[0]


async def test_it_is_decided_there_and_changes_like_any_other(direct: SlackHouse) -> None:
    there = direct
    task = await there.house.submit()
    first = await card_with(there, "attempt 1 · submitted by Sam Lee")
    await there.slack.press(first, "Reject…", user="U01ANA")
    await there.slack.submit(the_view(there), {"Reason": "too long"}, user="U01ANA")
    second = await card_with(there, "attempt 2 · submitted")
    assert second.thread_ts == first.ts
    assert (await card_with(there, "superseded by attempt 2")).ts == first.ts
    await there.slack.press(second, "Approve", user="U01ANA")
    assert (await card_with(there, "Approved by Ana Ruiz")).labels == ()
    await there.house.quiet()
    assert (await there.house.task(task)).status is Status.COMPLETED
    assert [made.state for made in await there.house.service.deliveries(task.id)] == [DeliveryState.SENT] * 2
    assert there.slack.messages(GENERAL) == ()
    assert len(there.slack.messages(first.channel)) == 2, "no copy is posted twice, and none is unknown"


async def test_its_file_is_in_the_same_thread(direct: SlackHouse) -> None:
    await direct.house.submit(LONG)
    card = await card_with(direct, "the file below and its page have them all")
    await direct.slack.until(lambda: len(direct.slack.messages(card.channel)) == 2)
    shared = direct.slack.messages(card.channel)[1]
    assert shared.thread_ts == card.ts
    assert [file.name for file in shared.files] == ["attempt-1.txt"]


async def test_who_presses_too_late_is_told_there(direct: SlackHouse) -> None:
    task = await direct.house.submit(flow="own")
    card = await card_with(direct, "attempt 1 ·")
    review = (await direct.house.review(task)).id
    await direct.house.service.decide(review, ANA.id, Verdict.APPROVE, via="web")
    await direct.slack.press(card, "Reject…", user="U01ANA")
    assert (await direct.told("U01ANA")).startswith("Already approved by Ana Ruiz at ")
    assert direct.slack.open_views("U01ANA") == ()


async def test_ids_of_an_organisation_are_people_too(sqlite_database: Database, clock: StoppedClock) -> None:
    async with simulated() as slack:
        slack.add_user("W01ANA", "Ana Ruiz")
        async with slack_house(sqlite_database, clock, http=False, running=slack, place="W01ANA") as there:
            task = await there.house.submit()
            card = await card_with(there, "attempt 1 ·", "W01ANA")
            review = (await there.house.review(task)).id
            await there.house.service.decide(review, ANA.id, Verdict.APPROVE, via="web")
            assert (await decided(there, task)).reviewer == ANA.id
            closed = await card_with(there, "Approved by Ana Ruiz", "W01ANA")
            assert (closed.ts, closed.labels) == (card.ts, ())
            await there.house.quiet()
            assert not any(
                "<@" in str(card.blocks) or "user_id" in str(card.blocks) for card in (card, closed)
            )
