"""Files that Slack put into a thread and never said so: found again, and not put there twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from bot.simulator.faults import Fault
from bot.simulator.slack.method import BOT_SCOPES
from bot.simulator.slack.model import Ts
from core.model import DeliveryState, Verdict
from tests.bot.slack_house import GENERAL, SlackHouse, simulated, slack_house
from tests.world import ANA, StoppedClock, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.slack import Message, SlackSimulator
    from core.model import Delivery, Task
    from core.store.database import Database

LONG = "\n".join(f"{number}. Line <!channel> @everyone" for number in range(1, 400))
COMPLETE, REPLIES = "files.completeUploadExternal", "conversations.replies"
UNANSWERED = Fault(method=COMPLETE, after_acting=True, cut=True)


@pytest.fixture
def clock() -> StoppedClock:
    """bolt and the simulator sign and check by the machine's clock."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture
async def slack(clock: StoppedClock) -> AsyncIterator[SlackSimulator]:
    """Its clock is ours: messages of the last minutes are looked at."""
    async with simulated(now=lambda: clock.now().timestamp()) as started:
        yield started


@pytest.fixture
async def there(
    sqlite_database: Database, clock: StoppedClock, slack: SlackSimulator
) -> AsyncIterator[SlackHouse]:
    async with slack_house(sqlite_database, clock, http=False, running=slack) as started:
        yield started


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


async def test_the_file_of_the_attempt_before_is_another(there: SlackHouse) -> None:
    """Which stands in the same thread and holds the same text."""
    task = await there.house.submit(LONG)
    await sent(there, task)
    there.slack.faults.add(UNANSWERED)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.REJECT, comment="Again.", via="web")
    first, second = await sent(there, task, 2)
    assert [said.files[0].name for said in shared(there.slack)] == ["attempt-1.txt", "attempt-2.txt"]
    assert {first.message, second.message} == {
        f"{GENERAL}/{said.files[0].id}" for said in shared(there.slack)
    }


async def test_somebody_elses_file_is_not_taken_for_ours(there: SlackHouse) -> None:
    """Who reads the thread can put up the same under the same words."""
    there.slack.faults.add(UNANSWERED)
    task = await there.house.submit(LONG)
    await there.slack.until(lambda: shared(there.slack))
    (ours,) = shared(there.slack)
    messages = there.slack.channel(GENERAL).messages
    theirs = replace(ours, user="U01EVE", ts=Ts(f"{float(ours.ts) - 0.5:.6f}"))
    messages[theirs.ts] = theirs
    del messages[ours.ts]
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
