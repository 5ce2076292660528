"""What Slack delivers twice is answered once, as the first time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from slack_bolt.response import BoltResponse

from bot.blocks import MENU_ACTION
from bot.simulator.slack.delivery import Kind
from bot.slack.repeats import KEPT, REMEMBERED, Repeats
from bot.views import REASON_BLOCK
from core.model import Outcome, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import decisions
from tests.bot.slack_house import SlackHouse, the_view
from tests.world import eventually

if TYPE_CHECKING:
    from bot.simulator.slack import Message
    from core.model import Json
    from tests.world import StoppedClock

clock, there = slack_fixtures.clock, slack_fixtures.there

ERRANDS = ("slack private answer", "slack copy")


async def nothing_more_is_said() -> bool:
    await asyncio.sleep(0)
    return all(task.get_name() not in ERRANDS for task in asyncio.all_tasks())


async def told(there: SlackHouse, user: str = "U01ANA") -> list[str]:
    """What only this person reads, once all is said."""
    await eventually(nothing_more_is_said)
    return [seen.text for seen in there.slack.ephemerals(user)]


async def pressed(there: SlackHouse, card: Message, *, at_once: bool) -> list[int]:
    """The statuses of the answers to one press of Approve, which comes twice."""
    payload = there.slack.action_payload(card, "Approve", user="U01ANA")
    if at_once:
        there.slack.deliveries.duplicate = 1
        answer = await there.slack.deliver(payload, kind=Kind.INTERACTIVE)
        return [answer.status, *(copy.status for copy in answer.duplicates)]
    return [(await there.slack.deliver(payload, kind=Kind.INTERACTIVE)).status for _ in range(2)]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("flow", ["draft", "two"])
async def test_an_approval_that_comes_twice_is_not_told_that_it_was_given(
    there: SlackHouse, flow: str, *, at_once: bool
) -> None:
    task = await there.house.submit(flow=flow)
    assert await pressed(there, await there.card(), at_once=at_once) == [200, 200]
    assert await told(there) == []
    assert len(await decisions(there, task)) == 1


async def test_who_presses_again_is_told_that_they_did(there: SlackHouse) -> None:
    await there.house.submit()
    card = await there.card()
    for _ in range(2):
        assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    (words,) = await told(there)
    assert words.startswith("Already approved by Ana Ruiz at ")


async def test_a_dialog_whose_press_comes_twice_opens_once_and_nobody_is_told_that_it_did_not(
    there: SlackHouse,
) -> None:
    await there.house.submit()
    there.slack.deliveries.duplicate = 1
    assert (await there.slack.press(await there.card(), "Reject…", user="U01ANA")).ok
    assert await told(there) == []
    assert the_view(there).blocks


async def test_a_reason_that_comes_twice_closes_its_dialog_both_times(there: SlackHouse) -> None:
    task = await there.house.submit()
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    there.slack.deliveries.duplicate = 1
    answer = await there.slack.submit(the_view(there), {REASON_BLOCK: "too dear"}, user="U01ANA")
    bodies: list[Json] = [answer.body, *(copy.body for copy in answer.duplicates)]
    assert bodies == [None, None]
    assert [made.verdict for made in await decisions(there, task)] == [Verdict.REJECT]


async def test_a_choice_that_comes_twice_is_answered_once(there: SlackHouse) -> None:
    await there.house.submit()
    there.slack.deliveries.duplicate = 1
    await there.slack.press(await there.card(), MENU_ACTION, option="I'm looking", user="U01ANA")
    (words,) = await told(there)
    assert "The cards say that you are looking" in words


async def test_a_refusal_that_comes_twice_is_said_once(there: SlackHouse) -> None:
    await there.house.submit(flow="own")
    there.slack.deliveries.duplicate = 1
    await there.slack.press(await there.card(), "Approve", user="U01SAM")
    (words,) = await told(there, "U01SAM")
    assert words.startswith("You submitted this task")


async def test_a_press_that_was_not_recorded_counts_when_it_comes_again(there: SlackHouse) -> None:
    task = await there.house.submit()
    payload = there.slack.action_payload(await there.card(), "Approve", user="U01ANA")
    there.house.service.is_down = True
    assert not (await there.slack.deliver(payload, kind=Kind.INTERACTIVE)).ok
    there.house.service.is_down = False
    assert (await there.slack.deliver(payload, kind=Kind.INTERACTIVE)).status == 200
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


# For how long


class Counted:
    """Something that is done, which says how often it was."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> BoltResponse:
        self.times += 1
        return BoltResponse(status=200, body=str(self.times))


async def test_an_answer_is_kept_for_an_hour_whatever_the_clock_is_set_to(clock: StoppedClock) -> None:
    repeats, act = Repeats(clock), Counted()
    await repeats.once("a", act)
    clock.advance(days=-1)
    clock.advance(KEPT)
    assert (await repeats.once("a", act)).body == "1"
    clock.advance(seconds=1)
    assert (await repeats.once("a", act)).body == "2"


async def test_what_is_older_than_any_repeat_is_forgotten_as_soon_as_something_comes(
    clock: StoppedClock,
) -> None:
    repeats, act = Repeats(clock), Counted()
    for number in range(100):
        await repeats.once(number, act)
    clock.advance(KEPT + timedelta(seconds=1))
    await repeats.once("later", act)
    assert repeats.remembered == 1
    for number in range(REMEMBERED + 10):
        await repeats.once(f"many {number}", act)
    assert repeats.remembered == REMEMBERED


async def test_what_is_done_for_longer_than_that_is_done_anew_and_neither_forgets_the_other(
    clock: StoppedClock,
) -> None:
    repeats, act, gate = Repeats(clock), Counted(), asyncio.Event()

    async def hang() -> BoltResponse:
        await gate.wait()
        return BoltResponse(status=500)

    hanging = asyncio.create_task(repeats.once("a", hang))
    await asyncio.sleep(0)
    clock.advance(KEPT + timedelta(seconds=1))
    assert (await repeats.once("a", act)).body == "1"
    gate.set()
    assert (await hanging).status == 500
    assert (await repeats.once("a", act)).body == "1"
