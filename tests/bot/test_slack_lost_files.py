"""Files that Slack put into a thread and never said so: found again, and not put there twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bot.simulator.faults import Fault
from bot.simulator.slack.method import BOT_SCOPES
from core.model import DeliveryState, Verdict
from tests.bot import slack_fixtures
from tests.bot.slack_house import GENERAL, SlackHouse, simulated, slack_house
from tests.world import ANA, BEN, StoppedClock, eventually

if TYPE_CHECKING:
    from bot.simulator.slack import Message, SlackSimulator
    from core.model import Delivery, PersonId, Task
    from core.store.database import Database

LONG = "\n".join(f"{number}. Line <!channel> @everyone" for number in range(1, 400))
COMPLETE, REPLIES = "files.completeUploadExternal", "conversations.replies"
UNANSWERED = Fault(method=COMPLETE, after_acting=True, cut=True)

clock, slack, there = slack_fixtures.clock, slack_fixtures.slack, slack_fixtures.on_one_clock


def shared(slack: SlackSimulator) -> list[Message]:
    """The messages with files, in their order."""
    return [message for message in slack.messages(GENERAL) if message.files]


def calls(slack: SlackSimulator, method: str) -> int:
    return [call.method for call in slack.calls].count(method)


async def sent(there: SlackHouse, task: Task, count: int = 1) -> list[Delivery]:
    """The deliveries of its files, once so many are sent; a second passes at each look."""

    async def look() -> list[Delivery]:
        await there.house.quiet()
        there.house.clock.advance(seconds=1)
        files = [one for one in await there.house.service.deliveries(task.id) if one.review is None]
        is_done = len(files) == count and all(one.state is DeliveryState.SENT for one in files)
        return files if is_done else []

    return await eventually(look)


@pytest.mark.parametrize(
    "fault", [UNANSWERED, Fault(method=COMPLETE, after_acting=True, status=500)], ids=["cut", "500"]
)
async def test_a_file_whose_answer_was_lost_is_found_and_not_put_there_again(
    there: SlackHouse, fault: Fault
) -> None:
    there.slack.faults.add(fault)
    task = await there.house.submit(LONG)
    (delivery,) = await sent(there, task)
    (said,) = shared(there.slack)
    assert delivery.message == f"{GENERAL}/{said.files[0].id}"
    assert (calls(there.slack, COMPLETE), calls(there.slack, REPLIES)) == (1, 1)


async def test_a_file_that_was_answered_is_never_looked_for(there: SlackHouse) -> None:
    await sent(there, await there.house.submit(LONG))
    assert calls(there.slack, REPLIES) == 0


async def test_a_file_that_was_not_put_there_is(there: SlackHouse) -> None:
    there.slack.faults.add(Fault(method=COMPLETE, cut=True))
    await sent(there, await there.house.submit(LONG))
    assert len(shared(there.slack)) == 1
    assert (calls(there.slack, COMPLETE), calls(there.slack, REPLIES)) == (2, 1)


async def test_a_file_is_found_after_a_restart_too(
    sqlite_database: Database, clock: StoppedClock, slack: SlackSimulator
) -> None:
    slack.faults.add(Fault(method=COMPLETE, after_acting=True, delay=30.0))
    async with slack_house(sqlite_database, clock, http=False, running=slack) as there:
        task = await there.house.submit(LONG)
        await slack.until(lambda: shared(slack))
    clock.advance(seconds=10)
    async with slack_house(sqlite_database, clock, http=False, running=slack) as there:
        (delivery,) = await sent(there, task)
        (said,) = shared(slack)
        assert delivery.message == f"{GENERAL}/{said.files[0].id}"


async def edited(there: SlackHouse, task: Task, attempt: int, by: PersonId, content: str) -> None:
    """Which takes two, so that the text is the next attempt's draft."""
    review = await there.house.review(task, attempt)
    await there.house.service.decide(review.id, by, Verdict.EDIT, content=content, via="web")


async def test_the_file_of_an_attempt_before_is_another(there: SlackHouse) -> None:
    """Which stands in the same thread and holds the same text."""
    task = await there.house.submit(LONG, flow="two")
    await sent(there, task)
    await edited(there, task, 1, ANA.id, f"{LONG}!")
    await sent(there, task, 2)
    there.slack.faults.add(UNANSWERED)
    await edited(there, task, 2, BEN.id, LONG)
    deliveries = await sent(there, task, 3)
    files = [said.files[0] for said in shared(there.slack)]
    assert [file.name for file in files] == ["attempt-1.txt", "attempt-2.txt", "attempt-3.txt"]
    assert files[0].content == files[2].content
    assert {one.message for one in deliveries} == {f"{GENERAL}/{file.id}" for file in files}


async def test_somebody_elses_file_is_not_taken_for_ours(there: SlackHouse) -> None:
    """Who reads the thread can put up the same under the same words."""
    there.slack.faults.add(UNANSWERED)
    task = await there.house.submit(LONG)
    await there.slack.until(lambda: shared(there.slack))
    (ours,) = shared(there.slack)
    # in its place: the simulator's threads know their replies by them
    there.slack.channel(GENERAL).messages[ours.ts] = replace(ours, user="U01EVE")
    await sent(there, task)
    assert [said.user for said in shared(there.slack)] == ["U01EVE", there.slack.bot_user.id]


async def test_where_we_may_not_read_the_file_comes_twice(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    scopes = BOT_SCOPES - {"channels:history", "groups:history", "im:history"}
    async with (
        simulated(now=lambda: clock.now().timestamp(), bot_scopes=scopes) as slack,
        slack_house(sqlite_database, clock, http=False, running=slack) as there,
    ):
        slack.faults.add(UNANSWERED)
        await sent(there, await there.house.submit(LONG))
        assert len(shared(slack)) == 2
