"""What Slack delivers twice is answered once, as the first time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bot.blocks import MENU_ACTION
from bot.simulator.slack.delivery import Kind
from bot.views import REASON_BLOCK
from core.model import Outcome, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import decisions
from tests.bot.slack_house import SlackHouse, the_view
from tests.world import eventually

if TYPE_CHECKING:
    from bot.simulator.slack import Message
    from core.model import Json

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
