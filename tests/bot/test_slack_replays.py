"""Whoever gets hold of a request that Slack signed sends it again, to another replica or after a restart."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.answers import NOT_RECORDED
from bot.blocks import MENU_ACTION
from bot.simulator.slack.delivery import Delivery, Kind
from bot.simulator.slack.http import encode
from bot.slack import SlackChannel
from bot.slack.desk import CAME_LATE, CLOCKS_APART, PROMPT
from bot.slack.mentions import BY_THEN
from bot.views import EDIT_BLOCK, REASON_BLOCK
from core.errors import StoreUnavailable
from core.model import Outcome, TaskFilter, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL, decisions, served
from tests.bot.slack_house import GENERAL, PEOPLE, SlackHouse, settings_for, slack_house, the_view, typed
from tests.world import ANA, BEN, CY, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

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
    is_doubled: bool = False
    """Both replicas get what Slack sends, at once."""
    seen: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.startswith(("X-Slack", "Content-T"))
        }
        self.seen.append((body, headers))
        doors = [self.slack_calls, *([self.second] if self.is_doubled else [])]
        answers = await asyncio.gather(*(self._sent(door, body, headers) for door in doors))
        return answers[0]

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


async def approve_on_the_page(there: SlackHouse, task: Task) -> None:
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")


async def approve(there: SlackHouse) -> None:
    await there.slack.press(await there.card(), "Approve", user="U01ANA")


async def reject(there: SlackHouse) -> None:
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    await there.slack.submit(the_view(there), {REASON_BLOCK: "too dear"}, user="U01ANA")


@pytest.mark.parametrize(("say", "verdict"), [(approve, Verdict.APPROVE), (reject, Verdict.REJECT)])
async def test_an_answer_that_was_taken_back_is_not_replayed(
    over_http: SlackHouse,
    wire: Wire,
    clock: StoppedClock,
    say: Callable[[SlackHouse], Awaitable[None]],
    verdict: Verdict,
) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    await say(there)
    assert await verdicts(there, task) == [verdict]
    clock.advance(LATER / 2)
    await withdrawn(there, task)
    clock.advance(LATER / 2)
    answer = await wire.replay()
    assert answer.status == 200
    if verdict is Verdict.REJECT:
        assert CAME_LATE in (answer.text or "")
    else:
        await told_last(there, CAME_LATE)
    assert await verdicts(there, task) == []


@pytest.mark.parametrize(("late", "found"), [(-1, [Verdict.APPROVE]), (1, [])])
async def test_only_for_as_long_as_a_press_takes_a_replay_is_taken_for_one(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock, late: int, found: list[Verdict]
) -> None:
    """What `docs/security.md` says that nobody is kept from."""
    there = over_http
    task = await there.house.submit(flow="lenient")
    await approve(there)
    clock.advance(PROMPT / 2)
    await withdrawn(there, task)
    clock.advance(PROMPT / 2 + timedelta(seconds=late))
    await wire.replay()
    assert await verdicts(there, task) == found


async def test_an_edit_that_was_refused_is_not_replayed_over_an_approval(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    """An edit closes the review, and would stand in the approval's place."""
    there = over_http
    task = await there.house.submit(flow="lenient")
    await there.slack.press(await there.card(), "Edit…", user="U01ANA")
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
    there.house.service.is_down = True
    await there.slack.submit(the_view(there), user="U01ANA")
    there.house.service.is_down = False
    clock.advance(LATER / 2)
    await approve_on_the_page(there, task)
    clock.advance(LATER / 2)
    assert CAME_LATE in ((await wire.replay()).text or "")
    assert await verdicts(there, task) == [Verdict.APPROVE]
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome.OPEN


async def test_an_answer_in_whose_place_another_stands_is_not_replayed(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    await approve(there)
    clock.advance(LATER / 2)
    await reject(there)
    assert await verdicts(there, task) == [Verdict.REJECT]
    clock.advance(LATER / 2)
    await wire.replay(0)
    await told_last(there, CAME_LATE)
    assert await verdicts(there, task) == [Verdict.REJECT]


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
    await told_last(there, CAME_LATE)
    assert await verdicts(there, task) == [Verdict.APPROVE]


def signed_now(there: SlackHouse, wire: Wire, card: Message) -> None:
    """Somebody gets hold of an approval of Ana's on its way, and keeps it."""
    payload = there.slack.action_payload(card, "Approve", user="U01ANA")
    content_type, body = encode(Delivery(kind=Kind.INTERACTIVE, payload=payload))
    wire.seen.append((body, there.slack.signing_headers(body) | {"Content-Type": content_type}))


async def answered_by_delegate(there: SlackHouse, clock: StoppedClock, task: Task, verdict: Verdict) -> None:
    until = clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(ANA.id, CY.id, until, by=ANA.id)
    await there.house.service.decide((await there.house.review(task)).id, CY.id, verdict, via="web")


async def test_a_press_is_not_replayed_over_what_a_delegate_has_said_since(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    signed_now(there, wire, await there.card())
    await answered_by_delegate(there, clock, task, Verdict.REJECT)
    clock.advance(LATER)
    await wire.replay()
    await told_last(there, CAME_LATE)
    (made,) = await decisions(there, task)
    assert (made.reviewer, made.person, made.verdict) == (CY.id, ANA.id, Verdict.REJECT)


async def test_a_press_is_not_replayed_after_a_delegates_answer_was_taken_back(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    """By who had it given in their place: they want none to stand."""
    there = over_http
    task = await there.house.submit(flow="lenient")
    await answered_by_delegate(there, clock, task, Verdict.APPROVE)
    clock.advance(CLOCKS_APART + timedelta(seconds=1))
    signed_now(there, wire, await there.card())
    await withdrawn(there, task)
    clock.advance(LATER)
    await wire.replay()
    await told_last(there, CAME_LATE)
    assert await decisions(there, task) == ()


async def test_a_press_is_not_replayed_after_ones_own_answer_of_long_before_it_was_taken_back(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    """The press was refused then, as one had answered: all that was said since is that it was taken back."""
    there = over_http
    task = await there.house.submit(flow="lenient")
    await approve_on_the_page(there, task)
    clock.advance(CLOCKS_APART + timedelta(seconds=1))
    signed_now(there, wire, await there.card())
    await withdrawn(there, task)
    clock.advance(LATER)
    await wire.replay()
    await told_last(there, CAME_LATE)
    assert await decisions(there, task) == ()


async def test_a_press_is_not_replayed_where_slacks_clock_is_ahead_of_ours(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    """By the clocks the answer was taken back before the press that it followed."""
    there = over_http
    task = await there.house.submit(flow="lenient")
    clock.advance(CLOCKS_APART)
    signed_now(there, wire, await there.card())
    clock.advance(-CLOCKS_APART)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    await withdrawn(there, task)
    clock.advance(CLOCKS_APART + LATER)
    await wire.replay()
    await told_last(there, CAME_LATE)
    assert await decisions(there, task) == ()


async def test_a_press_that_comes_late_counts_where_nothing_was_said_since(
    over_http: SlackHouse, wire: Wire, clock: StoppedClock
) -> None:
    """Also where the clocks of Slack's machines and ours differ by as much."""
    there = over_http
    task = await there.house.submit(flow="lenient")
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    signed_now(there, wire, await there.card())
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
    before = len(there.slack.ephemerals("U01ANA"))
    if by == "command":
        await typed(there, words)
    else:
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
        await eventually(all_said)
        assert len(there.slack.ephemerals("U01ANA")) == before + 1, "Slack itself repeats what is said"
    assert not await delegations.standing()


async def test_being_back_is_not_replayed_to_whoever_is_away_again(over_http: SlackHouse, wire: Wire) -> None:
    there = over_http
    delegations = there.house.service.delegations
    until = there.house.clock.now() + timedelta(days=1)
    await delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    assert "Welcome back" in (await typed(there, "back")).text
    await delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    assert "said that before" in ((await wire.replay()).text or "")
    assert [made.delegate for made in await delegations.standing()] == [BEN.id]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("pending", "Nothing waits for you."),
        ("whoami", "You are Ana Ruiz"),
        ("submit Refund EUR 40", "Handed in"),
        ("away until tomorrow", "You are away"),
        ("what?", "@Countersign pending"),
    ],
)
async def test_a_mention_that_slack_sends_to_two_replicas_is_answered_once(
    over_http: SlackHouse, wire: Wire, words: str, answer: str, *, at_once: bool
) -> None:
    there = over_http
    wire.is_doubled = at_once
    with capture_logs() as logs:
        await there.slack.say(GENERAL, f"<@{there.slack.bot_user.id}> {words}", user="U01ANA")
        await there.slack.until(lambda: there.slack.ephemerals("U01ANA"))
        if not at_once:
            assert (await wire.replay()).status == 200
        await eventually(all_said)
    (seen,) = there.slack.ephemerals("U01ANA")
    assert answer in seen.text, "and not that it was said before"
    assert [line["event"] for line in logs].count("callback_repeated") == 1
    assert len((await there.house.service.tasks(TaskFilter())).tasks) == words.startswith("submit")


async def test_what_failed_on_the_way_is_told_to_whoever_is_told_of_it_again(
    over_http: SlackHouse, wire: Wire, monkeypatch: pytest.MonkeyPatch, clock: StoppedClock
) -> None:
    there = over_http
    with monkeypatch.context() as broken:
        # A defect after the words were noted, as a kill there would leave them.
        broken.setattr(there.house.service.delegations, "add", broken_down)
        await there.slack.say(GENERAL, f"<@{there.slack.bot_user.id}> away until tomorrow", user="U01ANA")
        await there.slack.until(lambda: wire.seen)
    assert (await wire.replay()).status == 200
    assert not there.slack.ephemerals("U01ANA")
    clock.advance(BY_THEN)
    await there.slack.until(lambda: there.slack.ephemerals("U01ANA"))
    (seen,) = there.slack.ephemerals("U01ANA")
    assert "said that before" in seen.text
    assert not await there.house.service.delegations.standing()


async def test_who_is_told_that_nothing_was_changed_is_told_of_what_comes_of_it_again(
    over_http: SlackHouse, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = over_http
    with monkeypatch.context() as away:
        away.setattr(there.house.service, "submit", unavailable)
        await there.slack.say(GENERAL, f"<@{there.slack.bot_user.id}> submit it", user="U01ANA")
        await there.slack.until(lambda: there.slack.ephemerals("U01ANA"))
    assert (await wire.replay()).status == 200
    await there.slack.until(lambda: len(there.slack.ephemerals("U01ANA")) == 2)
    first, second = there.slack.ephemerals("U01ANA")
    assert first.text == NOT_RECORDED
    assert "Handed in" in second.text
    assert len((await there.house.service.tasks(TaskFilter())).tasks) == 1


async def broken_down(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError


async def unavailable(*_: object, **__: object) -> NoReturn:
    raise StoreUnavailable("The database is away.")


async def all_said() -> bool:
    """Nobody is about to answer a mention."""
    await asyncio.sleep(0)
    return all(task.get_name() != "answer to a mention" for task in asyncio.all_tasks())


async def test_words_about_a_review_are_not_replayed(over_http: SlackHouse, wire: Wire) -> None:
    there = over_http
    task = await there.house.submit(flow="lenient")
    card = await there.card()
    await there.slack.press(card, "Approve", user="U01ANA")
    await typed(there, "withdraw")
    await there.slack.press(card, "Approve", user="U01ANA")
    assert "said that before" in ((await wire.replay(1)).text or "")
    assert await verdicts(there, task) == [Verdict.APPROVE]
