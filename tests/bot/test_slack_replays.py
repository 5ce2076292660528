"""Whoever gets hold of a request that Slack signed sends it again, to another replica or after a restart."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from bot.blocks import MENU_ACTION, REASON_BLOCK
from bot.simulator.slack.delivery import Delivery, Kind
from bot.simulator.slack.http import encode
from bot.slack import SlackChannel
from core.model import TaskFilter, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL, decisions, served
from tests.bot.slack_house import GENERAL, PEOPLE, SlackHouse, settings_for, slack_house, the_view, typed
from tests.world import ANA, BEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.slack import Message
    from core.model import Task
    from core.store.database import Database
    from tests.world import StoppedClock

WITHDRAW = "Take back my decision"
LATER = timedelta(seconds=40)
"""Far within the time that a signature is good for."""

clock = slack_fixtures.clock


@pytest.fixture
async def over_http(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[SlackHouse]:
    """Whose Slack signs by the same clock."""
    ticking = partial(_seconds, clock)
    async with slack_house(sqlite_database, clock, http=True, signature_clock=ticking) as started:
        yield started


def _seconds(clock: StoppedClock) -> float:
    return clock.now().timestamp()


@dataclass
class Wire:
    """What passes between Slack and the first replica's door, and can be sent to the second one's."""

    slack_calls: str
    session: aiohttp.ClientSession
    second: str = ""
    seen: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.startswith(("X-Slack", "Content-T"))
        }
        self.seen.append((body, headers))
        return await self._sent(self.slack_calls, body, headers)

    async def replay(self, number: int = -1) -> web.Response:
        """The `number`-th of what has passed, as it was."""
        return await self._sent(self.second, *self.seen[number])

    async def _sent(self, url: str, body: bytes, headers: dict[str, str]) -> web.Response:
        async with self.session.post(url, data=body, headers=headers) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )


@pytest.fixture
async def wire(over_http: SlackHouse, clock: StoppedClock) -> AsyncIterator[Wire]:
    there = over_http
    assert there.events_url is not None
    async with aiohttp.ClientSession() as session, other_door(there, clock) as second:
        tapped = Wire(there.events_url, session, second)
        async with served([web.post("/slack/events", tapped.pass_on)]) as url:
            there.slack.request_url = f"{url}/slack/events"
            yield tapped


@asynccontextmanager
async def other_door(there: SlackHouse, clock: StoppedClock) -> AsyncIterator[str]:
    """Of another replica on the same store."""
    channel = SlackChannel(
        settings_for(there.slack, http=True),
        service=there.house.service,
        people=PEOPLE,
        buttons=there.house.buttons,
        inbox=there.house.store,
        clock=clock,
        public_url=PUBLIC_URL,
    )
    async with channel.listening(), served(channel.routes()) as url:
        yield f"{url}/slack/events"


async def menu(there: SlackHouse, card: Message, option: str) -> None:
    before = len(there.slack.ephemerals("U01ANA"))
    await there.slack.press(card, MENU_ACTION, option=option, user="U01ANA")
    await there.slack.until(lambda: len(there.slack.ephemerals("U01ANA")) > before)


async def verdicts(there: SlackHouse, task: Task) -> list[Verdict]:
    return [made.verdict for made in await decisions(there, task)]


async def told_last(there: SlackHouse, words: str) -> None:
    await there.slack.until(lambda: any(words in seen.text for seen in there.slack.ephemerals("U01ANA")))


async def withdrawn(there: SlackHouse, task: Task) -> None:
    review = (await there.house.service.reviews(task.id))[0]
    await there.house.service.withdraw(review.id, ANA.id, via="web")


async def test_an_approval_that_was_taken_back_is_not_replayed(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    await there.slack.press(await there.card(), "Approve", user="U01ANA")
    assert await verdicts(there, task) == [Verdict.APPROVE]
    clock.advance(LATER / 2)
    await withdrawn(there, task)
    clock.advance(LATER / 2)
    assert (await wire.replay()).status == 200
    await told_last(there, "came late, and you have answered since")
    assert await verdicts(there, task) == []


async def test_an_answer_in_whose_place_another_stands_is_not_replayed(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    card = await there.card()
    await there.slack.press(card, "Approve", user="U01ANA")
    clock.advance(LATER / 2)
    await there.slack.press(card, "Reject…", user="U01ANA")
    await there.slack.submit(the_view(there), {REASON_BLOCK: "too dear"}, user="U01ANA")
    assert await verdicts(there, task) == [Verdict.REJECT]
    clock.advance(LATER / 2)
    await wire.replay(0)
    await told_last(there, "came late")
    assert await verdicts(there, task) == [Verdict.REJECT]


async def test_a_rejection_that_was_taken_back_is_not_replayed(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    await there.slack.submit(the_view(there), {REASON_BLOCK: "too dear"}, user="U01ANA")
    assert await verdicts(there, task) == [Verdict.REJECT]
    clock.advance(LATER / 2)
    await withdrawn(there, task)
    clock.advance(LATER / 2)
    answer = await wire.replay()
    assert "came late" in (answer.text or "")
    assert await verdicts(there, task) == []


async def test_taking_back_is_not_replayed_on_what_was_decided_anew(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    card = await there.card()
    await there.slack.press(card, "Approve", user="U01ANA")
    await menu(there, await there.card_with("Approved by Ana Ruiz"), WITHDRAW)
    taking_back = len(wire.seen) - 1
    assert await verdicts(there, task) == []
    clock.advance(LATER / 2)
    await there.slack.press(there.slack.message(card.channel, card.ts), "Approve", user="U01ANA")
    clock.advance(LATER / 2)
    await wire.replay(taking_back)
    await told_last(there, "came late")
    assert await verdicts(there, task) == [Verdict.APPROVE]


async def test_a_press_that_comes_late_counts_where_nothing_was_said_since(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    """Also where the clocks of Slack's machines and ours differ by as much."""
    there = over_http
    task = await there.house.submit(flow="lenient")
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    payload = there.slack.action_payload(await there.card(), "Approve", user="U01ANA")
    content_type, body = encode(Delivery(kind=Kind.INTERACTIVE, payload=payload))
    wire.seen.append((body, there.slack.signing_headers(body) | {"Content-Type": content_type}))
    clock.advance(LATER)
    assert (await wire.replay()).status == 200
    assert len(await decisions(there, task)) == 2


async def test_handing_in_is_not_replayed(over_http: SlackHouse, wire: Wire) -> None:
    there = over_http
    await typed(there, "submit Refund EUR 40", user="U01SAM")
    answer = await wire.replay()
    assert answer.status == 200
    assert len((await there.house.service.tasks(TaskFilter())).tasks) == 1


@pytest.mark.parametrize("by", ["command", "mention"])
async def test_being_away_is_not_replayed_to_whoever_is_back(
    over_http: SlackHouse, wire: Wire, by: str
) -> None:
    there = over_http
    words = "away <@U01BEN|ben> until tomorrow"
    if by == "command":
        await typed(there, words)
    else:
        before = len(there.slack.ephemerals("U01ANA"))
        await there.slack.say(GENERAL, f"<@{there.slack.bot_user.id}> {words}", user="U01ANA")
        await there.slack.until(lambda: len(there.slack.ephemerals("U01ANA")) > before)
    delegations = there.house.service.delegations
    assert await delegations.standing()
    await delegations.end(ANA.id, by=ANA.id)
    answer = await wire.replay()
    assert answer.status == 200
    if by == "command":
        assert "said that before" in (answer.text or "")
    else:
        await told_last(there, "said that before")
    assert not await delegations.standing()


async def test_words_about_a_review_are_not_replayed(over_http: SlackHouse, wire: Wire) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    card = await there.card()
    await there.slack.press(card, "Approve", user="U01ANA")
    await typed(there, "withdraw")
    await there.slack.press(card, "Approve", user="U01ANA")
    assert "said that before" in ((await wire.replay(1)).text or "")
    assert await verdicts(there, task) == [Verdict.APPROVE]
