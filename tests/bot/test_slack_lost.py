"""Posts that Slack made and never answered: found again, and not posted twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from structlog.testing import capture_logs

from bot.pace import Pace
from bot.simulator.faults import Fault
from bot.simulator.slack.method import BOT_SCOPES
from bot.simulator.slack.model import Message, Ts
from bot.slack.lost import CLOCKS_APART, REMEMBERED, LostPosts, Place
from core.model import DeliveryId, DeliveryState, Verdict
from tests.bot import slack_fixtures
from tests.bot.slack_house import GENERAL, SlackHouse, simulated, slack_house, text_of
from tests.world import ANA, StoppedClock, eventually

if TYPE_CHECKING:
    from bot.simulator.slack import SlackSimulator
    from core.model import Delivery, Task
    from core.store.database import Database

HISTORY, REPLIES, POST = "conversations.history", "conversations.replies", "chat.postMessage"
UNANSWERED = Fault(method=POST, after_acting=True, cut=True)

clock, slack, there = slack_fixtures.clock, slack_fixtures.slack, slack_fixtures.on_one_clock


async def deliveries(there: SlackHouse, task: Task) -> list[Delivery]:
    return list(await there.house.service.deliveries(task.id))


async def settled(there: SlackHouse, task: Task, count: int = 1) -> list[Delivery]:
    """Once so many deliveries show what they should; time passes meanwhile, a second at a look."""

    async def ask() -> list[Delivery]:
        await there.house.quiet()
        there.house.clock.advance(seconds=1)
        found = await deliveries(there, task)
        is_done = len(found) == count and all(one.shown == one.version for one in found)
        return found if is_done else []

    return await eventually(ask)


async def failed(there: SlackHouse, task: Task) -> Delivery:
    """Its first delivery, once a try of it has failed."""
    return await there.house.delivery(task, lambda one: one.tries or one.failing_since)


def cards(slack: SlackSimulator) -> list[Message]:
    return list(slack.messages(GENERAL))


def calls(slack: SlackSimulator, method: str) -> int:
    return [call.method for call in slack.calls].count(method)


def a_moment_ago(there: SlackHouse) -> Ts:
    return Ts(f"{there.house.clock.now().timestamp() - 1:.6f}")


async def test_a_post_that_was_answered_is_never_looked_for(there: SlackHouse) -> None:
    task = await there.house.submit()
    await settled(there, task)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.REJECT, comment="Again.", via="web")
    await settled(there, task, 2)
    assert calls(there.slack, HISTORY) == calls(there.slack, REPLIES) == 0


@pytest.mark.parametrize(
    "fault",
    [
        UNANSWERED,
        Fault(method=POST, after_acting=True, status=502),
        Fault(method=POST, after_acting=True, status=500),
    ],
    ids=["cut", "502", "500"],
)
async def test_a_card_whose_answer_was_lost_is_found_and_not_posted_again(
    there: SlackHouse, fault: Fault
) -> None:
    there.slack.faults.add(fault)
    task = await there.house.submit()
    (card,) = await settled(there, task)
    (shown,) = cards(there.slack)
    assert card.message == f"{GENERAL}/{shown.ts}"
    assert (calls(there.slack, POST), calls(there.slack, HISTORY)) == (1, 1)
    await there.slack.press(shown, "Approve", user="U01ANA")
    await settled(there, task)
    (closed,) = cards(there.slack)
    assert closed.labels == ()
    assert "Approved by Ana Ruiz" in text_of(closed)


async def test_a_post_that_was_not_made_is_made(there: SlackHouse) -> None:
    there.slack.faults.add(Fault(method=POST, cut=True))
    task = await there.house.submit()
    await settled(there, task)
    assert len(cards(there.slack)) == 1
    assert (calls(there.slack, POST), calls(there.slack, HISTORY)) == (2, 1)


async def test_a_reply_is_found_in_its_thread(there: SlackHouse) -> None:
    task = await there.house.submit()
    await settled(there, task)
    there.slack.faults.add(UNANSWERED)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.REJECT, comment="Again.", via="web")
    await settled(there, task, 2)
    first, second = cards(there.slack)
    assert second.thread_ts == first.ts
    assert (calls(there.slack, REPLIES), calls(there.slack, HISTORY)) == (1, 0)


async def test_what_was_decided_meanwhile_is_shown_by_the_copy_that_is_found(there: SlackHouse) -> None:
    there.slack.faults.add(UNANSWERED)
    task = await there.house.submit()
    review = await there.house.review(task)
    await failed(there, task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    await settled(there, task)
    (closed,) = cards(there.slack)
    assert closed.labels == ()
    assert "Approved by Ana Ruiz" in text_of(closed)


async def test_it_is_found_after_a_restart_too(
    sqlite_database: Database, clock: StoppedClock, slack: SlackSimulator
) -> None:
    """Also where the crash came before anybody could note that the call had failed."""
    slack.faults.add(Fault(method=POST, after_acting=True, delay=30.0))
    async with slack_house(sqlite_database, clock, http=False, running=slack) as there:
        task = await there.house.submit()
        await slack.until(lambda: cards(slack))
        (before,) = await deliveries(there, task)
        assert (before.tries, before.message) == (0, None)
    clock.advance(seconds=10)
    async with slack_house(sqlite_database, clock, http=False, running=slack) as there:
        (card,) = await settled(there, task)
        (shown,) = cards(slack)
        assert card.message == f"{GENERAL}/{shown.ts}"


async def test_one_reading_serves_all_that_waited_there(
    sqlite_database: Database, clock: StoppedClock, slack: SlackSimulator
) -> None:
    async with slack_house(sqlite_database, clock, http=False, running=slack, listening=False) as there:
        tasks = [await there.house.submit(f"number {number}") for number in range(5)]
        for task in tasks:
            await there.house.review(task)
    clock.advance(seconds=10)
    async with slack_house(sqlite_database, clock, http=False, running=slack) as there:
        for task in tasks:
            await settled(there, task)
    assert len(cards(slack)) == 5
    assert (calls(slack, HISTORY), calls(slack, POST)) == (1, 5)


async def test_a_reading_tells_nothing_of_what_was_posted_after_it(there: SlackHouse) -> None:
    for number in range(2):
        there.slack.faults.add(UNANSWERED)
        await settled(there, await there.house.submit(f"number {number}"))
    assert len(cards(there.slack)) == 2
    assert (calls(there.slack, POST), calls(there.slack, HISTORY)) == (2, 2)


async def test_a_reading_tells_nothing_of_what_was_due_before_it_begins(
    there: SlackHouse, clock: StoppedClock
) -> None:
    """Of two that wait in one place the later one may be looked for first."""
    (card,) = await settled(there, await there.house.submit())
    (shown,) = cards(there.slack)
    due = clock.now()
    clock.advance(hours=2)
    posts, place = LostPosts(clock, Pace(clock)), Place(GENERAL, None)
    posts.doubt()
    client = AsyncWebClient(token=there.slack.bot_token, base_url=there.slack.api_url)
    later = replace(card, id=DeliveryId("0" * 32), due_at=clock.now())
    assert await posts.find(client, later, place) is None
    found = await posts.find(client, replace(card, due_at=due), place)
    assert found is not None
    assert found.ts == shown.ts


async def test_of_several_copies_the_first_is_the_one(there: SlackHouse) -> None:
    """People have it before them for the longest, and may have replied to it."""
    there.slack.faults.add(Fault(method=POST, cut=True))
    task = await there.house.submit()
    await there.house.review(task)
    (card,) = await deliveries(there, task)
    now = there.house.clock.now().timestamp()
    payload = {"delivery": card.id, "version": 1}
    for seconds in (1, 3, 2):
        copy = Message(
            channel=GENERAL,
            ts=Ts(f"{now - seconds:.6f}"),
            user=there.slack.bot_user.id,
            text="Ours",
            metadata={"event_type": "countersign_card", "event_payload": payload},
        )
        there.slack.channel(GENERAL).messages[copy.ts] = copy
    (card,) = await settled(there, task)
    assert card.message == f"{GENERAL}/{now - 3:.6f}"


async def test_without_the_scope_it_is_posted_again_and_that_is_logged(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """As it was before there was such a scope; the copy that nobody knows closes when it is pressed."""
    scopes = BOT_SCOPES - {"channels:history", "groups:history", "im:history"}
    async with (
        simulated(bot_scopes=scopes, now=lambda: clock.now().timestamp()) as slack,
        slack_house(sqlite_database, clock, http=False, running=slack) as there,
    ):
        slack.faults.add(UNANSWERED)
        began = clock.now()
        with capture_logs() as logs:
            task = await there.house.submit()
            await settled(there, task)
        assert clock.now() - began < timedelta(minutes=1), "waiting would give us no scope"
        (entry,) = [entry for entry in logs if entry["event"] == "lost_posts_not_looked_for"]
        assert "missing_scope" in entry["error"]
        first, second = cards(slack)
        for pressed in (second, first):
            await slack.press(pressed, "Approve", user="U01ANA")
        await slack.until(lambda: not [card for card in cards(slack) if card.labels])


async def test_a_pause_asked_for_is_kept_and_then_it_is_found(there: SlackHouse) -> None:
    there.slack.faults.add(UNANSWERED)
    there.slack.faults.add(Fault(method=HISTORY, status=429, headers={"Retry-After": "30"}))
    task = await there.house.submit()
    await there.slack.until(lambda: calls(there.slack, POST) == 1)
    began = there.house.clock.now()
    await settled(there, task)
    assert there.house.clock.now() - began >= timedelta(seconds=30)
    assert (len(cards(there.slack)), calls(there.slack, HISTORY)) == (1, 2)


async def test_a_channel_that_cannot_be_read_holds_a_card_up_for_minutes_only(there: SlackHouse) -> None:
    there.slack.faults.add(UNANSWERED)
    there.slack.faults.add(Fault(method=HISTORY, status=502, times=None))
    task = await there.house.submit()
    began = there.house.clock.now()
    await settled(there, task)
    assert timedelta(minutes=10) <= there.house.clock.now() - began <= timedelta(minutes=20)
    assert len(cards(there.slack)) == 2


async def test_nor_for_hours_where_the_clock_is_set_back(there: SlackHouse) -> None:
    there.slack.faults.add(UNANSWERED)
    there.slack.faults.add(Fault(method=HISTORY, status=502, times=None))
    await there.house.submit("first")

    async def is_read() -> bool:
        await there.house.quiet()
        there.house.clock.advance(seconds=1)
        return calls(there.slack, HISTORY) > 0

    await eventually(is_read)
    there.house.clock.advance(hours=-6)
    task = await there.house.submit("second")
    began = there.house.clock.now()
    await settled(there, task)
    assert there.house.clock.now() - began <= timedelta(minutes=20)


async def test_somebody_else_s_message_with_the_same_metadata_is_not_taken_for_ours(
    there: SlackHouse,
) -> None:
    """Who reads a channel can copy what stands there, and put it up earlier than we look."""
    there.slack.faults.add(Fault(method=POST, cut=True))
    task = await there.house.submit()
    await there.house.review(task)
    (card,) = await deliveries(there, task)
    forged = Message(
        channel=GENERAL,
        ts=a_moment_ago(there),
        user="U01EVE",
        text="Mine",
        metadata={"event_type": "countersign_card", "event_payload": {"delivery": card.id, "version": 1}},
    )
    there.slack.channel(GENERAL).messages[forged.ts] = forged
    (card,) = await settled(there, task)
    assert card.state is DeliveryState.SENT
    assert card.message != f"{GENERAL}/{forged.ts}"
    assert calls(there.slack, HISTORY) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"event_type": "x"},
        {"event_type": "x", "event_payload": {"delivery": 7, "version": 1}},
        {"event_type": "x", "event_payload": {"delivery": "other", "version": "1"}},
    ],
)
async def test_other_messages_of_ours_are_passed_over(
    there: SlackHouse, metadata: dict[str, Any] | None
) -> None:
    other = Message(
        channel=GENERAL,
        ts=a_moment_ago(there),
        user=there.slack.bot_user.id,
        text="Ours",
        metadata=metadata,
    )
    there.slack.channel(GENERAL).messages[other.ts] = other
    there.slack.faults.add(UNANSWERED)
    task = await there.house.submit()
    (card,) = await settled(there, task)
    assert len(cards(there.slack)) == 2
    assert card.message == f"{GENERAL}/{cards(there.slack)[-1].ts}"


async def test_what_falls_due_around_a_taking_over_is_looked_for(
    there: SlackHouse, clock: StoppedClock
) -> None:
    """The replica that served Slack before us may have posted it, and have died before it could note that."""
    there.channel.taken_over()
    await settled(there, await there.house.submit())
    assert (calls(there.slack, POST), calls(there.slack, HISTORY)) == (1, 1)
    clock.advance(CLOCKS_APART)
    await settled(there, await there.house.submit())
    assert (calls(there.slack, POST), calls(there.slack, HISTORY)) == (2, 1)


@pytest.mark.parametrize("has_read", [False, True])
async def test_a_post_refused_to_us_may_stand_there_once_another_replica_has_served_slack(
    there: SlackHouse, *, has_read: bool
) -> None:
    """Also where we have read that place before the other replica posted there."""
    if has_read:
        there.slack.faults.add(UNANSWERED)
        await settled(there, await there.house.submit("read before"))
    before = calls(there.slack, POST)
    there.slack.faults.add(Fault(method=POST, status=429, headers={"Retry-After": "5"}))
    task = await there.house.submit()
    await there.slack.until(lambda: calls(there.slack, POST) == before + 1)
    await there.house.quiet()
    (card,) = await deliveries(there, task)
    theirs = Message(
        channel=GENERAL,
        ts=a_moment_ago(there),
        user=there.slack.bot_user.id,
        text="Theirs",
        metadata={"event_type": "countersign_card", "event_payload": {"delivery": card.id, "version": 1}},
    )
    there.slack.channel(GENERAL).messages[theirs.ts] = theirs
    there.channel.taken_over()
    (card,) = await settled(there, task)
    assert card.message == f"{GENERAL}/{theirs.ts}"
    assert calls(there.slack, POST) == before + 1


async def test_what_is_remembered_of_posts_has_an_end(there: SlackHouse, clock: StoppedClock) -> None:
    """What was tried in vain and given up is never asked for again."""
    (card,) = await settled(there, await there.house.submit())
    posts = LostPosts(clock, Pace(clock))
    for number in range(3 * REMEMBERED):
        one = replace(card, id=DeliveryId(f"{number:032x}"))
        posts.begun(one)
        if number % 2:
            posts.refused(one)
    assert posts.remembered <= 2 * REMEMBERED
