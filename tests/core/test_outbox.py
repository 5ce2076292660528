"""The outbox: what is stored is shown, in order, at least once, and one channel's trouble is its own."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from core.definitions import definition
from core.delivering import GIVE_UP_AFTER, SWEEP
from core.errors import MessageGone, PlaceMoved, RateLimited, Undeliverable, Unreachable
from core.events import ReviewerReminded
from core.model import (
    ChannelName,
    DeliveryState,
    MessageRef,
    Notice,
    Outcome,
    Policy,
    Recipient,
    ReviewId,
    ReviewRequest,
    Status,
    Verdict,
)
from core.outbox import Outbox
from core.store.sql import SqlStore
from tests.contracts.steps import waiting
from tests.world import (
    ANA,
    BEN,
    CY,
    DESK,
    HALL,
    PAPER,
    PATIENCE,
    SAM,
    PaperChannel,
    StoppedClock,
    World,
    draft_flows,
    eventually,
    flow_settings,
    policies,
    whole_core,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from core.model import Delivery, Task
    from core.store.database import Database

STONE = ChannelName("stone")
WEBHOOK = ChannelName("webhook")
HOOK = "https://ci.example/hook"
WALL = Recipient(channel=STONE, address="wall")


@pytest.fixture
def paper() -> PaperChannel:
    return PaperChannel()


@pytest.fixture
def stone() -> PaperChannel:
    return PaperChannel(STONE)


@pytest.fixture
async def desk(sqlite_database: Database, clock: StoppedClock, paper: PaperChannel) -> AsyncIterator[World]:
    """Cards go to one desk."""
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        yield world


async def settled(world: World, task: str) -> list[Delivery]:
    """The task's deliveries, once each shows what it should."""

    async def ask() -> list[Delivery]:
        found = list(await world.service.deliveries(task))
        done = found and all(d.shown == d.version or d.state is DeliveryState.GIVEN_UP for d in found)
        return found if done else []

    return await eventually(ask)


async def test_every_copy_of_a_card_is_posted_and_changed(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel, stone: PaperChannel
) -> None:
    flows = draft_flows(DESK, HALL, WALL)
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper, stone]) as world:
        task = await world.submit("x")
        await settled(world, task.id)
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        await settled(world, task.id)
    assert sorted(paper.kinds + stone.kinds) == ["post"] * 3 + ["update"] * 3
    for call in paper.calls + stone.calls:
        assert isinstance(call.content, ReviewRequest)
        if call.kind == "update":
            assert call.content.outcome is Outcome.APPROVED
            assert call.content.decisions[0].reviewer_name == ANA.name
            assert str(call.message).startswith(call.delivery.recipient.address)


async def test_a_card_shows_no_decision_that_counts_no_more(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    policy = replace(policies(DESK)["two"], keeps_removed=False)
    flow = definition(flow_settings(policy="two"), {"two": policy}, None)
    in_force = {"two": policy}
    async with whole_core(
        sqlite_database, clock, flows={"draft": flow}, channels=[paper], in_force=in_force
    ) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id))
        await settled(world, task.id)
        shown = paper.calls[-1].content
        assert isinstance(shown, ReviewRequest)
        assert [made.reviewer for made in shown.decisions] == [ANA.id]
        in_force["two"] = replace(policy, reviewers=(BEN.id, CY.id))
        await world.service.reconsidering.under(["two"])
        await settled(world, task.id)
        shown = paper.calls[-1].content
    assert isinstance(shown, ReviewRequest)
    assert shown.decisions == ()


async def test_a_reminder_tells_no_decision_that_counts_no_more(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    policy = replace(policies(DESK)["two"], keeps_removed=False, reminders=(timedelta(hours=1),))
    flow = definition(flow_settings(policy="two"), {"two": policy}, None)
    in_force = {"two": policy}
    async with whole_core(
        sqlite_database, clock, flows={"draft": flow}, channels=[paper], in_force=in_force
    ) as world:
        task = await world.submit("x")
        await world.approve(await world.open_review(task.id))
        in_force["two"] = replace(policy, reviewers=(BEN.id, CY.id))
        clock.advance(hours=1)
        await world.event(task.id, ReviewerReminded)
        # Not for the card: what a reminder changes on it has five seconds' time, and the clock stands still.
        await paper.until(lambda: any(isinstance(call.content, Notice) for call in paper.calls))
        (told,) = [call.content for call in paper.calls if isinstance(call.content, Notice)]
    assert told.review is not None
    assert told.review.decisions == ()


async def test_the_next_attempts_card_follows_in_the_thread_and_the_old_one_says_superseded(
    desk: World, paper: PaperChannel
) -> None:
    task = await desk.submit("x")
    await settled(desk, task.id)
    await desk.reject(await desk.open_review(task.id))
    await desk.open_review(task.id, 2)
    await settled(desk, task.id)
    first = paper.calls[0]
    reply = next(call for call in paper.calls[1:] if call.kind == "post")
    assert (first.thread, reply.thread) == (None, "desk/1")
    last_change = [call for call in paper.calls if call.kind == "update"][-1]
    assert isinstance(last_change.content, ReviewRequest)
    assert last_change.content.superseded_by == 2


async def test_a_reply_waits_for_the_post_that_it_answers(
    desk: World, paper: PaperChannel, clock: StoppedClock
) -> None:
    paper.faults = [Unreachable("down")] * 3
    task = await desk.submit("x")
    await paper.called(1)
    await desk.reject(await desk.open_review(task.id))
    await desk.open_review(task.id, 2)
    await eventually(lambda: called_as_it_falls_due(desk, task.id, paper, clock, 4))
    await settled(desk, task.id)
    posts = [call for call in paper.calls if call.kind == "post"]
    assert [post.delivery.id for post in posts[:4]] == [posts[0].delivery.id] * 4
    assert posts[4].thread == "desk/4"


async def called_as_it_falls_due(
    world: World, task: str, paper: PaperChannel, clock: StoppedClock, times: int
) -> bool:
    """Time goes on to the next try of the first card and no further: beyond, it would be given up."""
    first, *_ = await world.service.deliveries(task)
    if len(paper.calls) < times and first.due_at is not None and first.due_at > clock.now():
        clock.advance(first.due_at - clock.now())
    return len(paper.calls) >= times


async def test_changes_coalesce_while_a_card_cannot_be_changed(desk: World, paper: PaperChannel) -> None:
    task = await desk.submit("x", flow="three")
    await settled(desk, task.id)
    review = await desk.open_review(task.id)
    paper.close()
    await desk.approve(review, ANA)
    await paper.called(2)
    await desk.approve(review, BEN)
    await desk.approve(review, CY)
    await desk.end(task.id)
    paper.open()
    await settled(desk, task.id)
    assert paper.kinds == ["post", "update", "update"]
    content = paper.calls[-1].content
    assert isinstance(content, ReviewRequest)
    assert len(content.decisions) == 3


async def test_one_message_is_never_changed_twice_at_once(desk: World, paper: PaperChannel) -> None:
    paper.close()
    tasks = [await desk.submit(f"task {n}") for n in range(5)]
    await paper.called(1)
    for task in tasks:
        await desk.approve(await desk.open_review(task.id))
    assert paper.inside == 1, "one recipient is served at a time"
    paper.open()
    for task in tasks:
        await settled(desk, task.id)
    for task in tasks:
        kinds = [call.kind for call in paper.calls if call.delivery.task == task.id]
        assert kinds[0] == "post"
        assert set(kinds[1:]) <= {"update"}


async def test_changes_go_before_new_cards(desk: World, paper: PaperChannel) -> None:
    first = await desk.submit("first")
    await settled(desk, first.id)
    paper.close()
    blocker = await desk.submit("blocker")
    others = [await desk.submit(f"other {n}") for n in range(3)]
    await paper.called(2)
    for task in (blocker, *others):
        await desk.open_review(task.id)
    await desk.approve(await desk.open_review(first.id))
    paper.open()
    for task in (first, *others):
        await settled(desk, task.id)
    change = next(n for n, call in enumerate(paper.calls) if call.kind == "update")
    assert change <= 2, paper.kinds


async def test_a_change_does_not_wait_for_a_post_that_hangs(desk: World, paper: PaperChannel) -> None:
    first = await desk.submit("first")
    await settled(desk, first.id)
    paper.close()
    await desk.submit("one that hangs")
    await paper.called(2)
    await desk.approve(await desk.open_review(first.id))
    assert (await paper.called(3)).kind == "update"
    paper.open()
    await settled(desk, first.id)


async def test_a_new_card_waits_while_one_is_changed_there(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    """What the platform still takes there is for those who wait to see a decision."""
    flows = draft_flows(DESK) | {"wide": draft_flows(DESK, HALL)["draft"]}
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper]) as world:
        first = await world.submit("x")
        await settled(world, first.id)
        paper.close()
        await world.approve(await world.open_review(first.id))
        await paper.called(2)
        second = await world.submit("y", flow="wide")
        await paper.called(3)  # whatever of the second may be begun, is begun by the same look
        paper.open()
        await settled(world, second.id)
    assert [(call.kind, call.delivery.recipient) for call in paper.calls] == [
        ("post", DESK),
        ("update", DESK),
        ("post", HALL),
        ("post", DESK),
    ]


async def test_a_pause_of_one_lane_holds_up_nothing_of_the_other(
    desk: World, paper: PaperChannel, clock: StoppedClock
) -> None:
    first = await desk.submit("first")
    await settled(desk, first.id)
    paper.faults = [RateLimited("no posts now", retry_after=timedelta(seconds=30), lane_only=True)]
    second = await desk.submit("second")
    await eventually(lambda: due_in(desk, second.id, clock, 30))
    await desk.approve(await desk.open_review(first.id))
    assert (await paper.called(3)).kind == "update"
    await settled(desk, first.id)
    await quiet(desk.store)
    assert paper.kinds == ["post", "post", "update"]
    clock.advance(seconds=30)
    await settled(desk, second.id)


async def test_a_deleted_card_that_cannot_be_posted_yet_holds_up_no_edit(
    desk: World, paper: PaperChannel, clock: StoppedClock
) -> None:
    first, second = await desk.submit("first"), await desk.submit("second")
    for task in (first, second):
        await settled(desk, task.id)
    pause = RateLimited("no posts now", retry_after=timedelta(seconds=30), lane_only=True)
    paper.faults = [MessageGone("deleted"), pause]
    await desk.service.looking.claim(await desk.open_review(first.id), ANA.id, via="web")
    await eventually(lambda: due_in(desk, first.id, clock, 30))
    await desk.approve(await desk.open_review(second.id))
    await settled(desk, second.id)
    assert paper.kinds == ["post", "post", "update", "post", "update"]
    paper.faults = [MessageGone("deleted")]
    clock.advance(seconds=30)
    (card,) = await settled(desk, first.id)
    assert paper.kinds[5:] == ["update", "post"]
    assert card.message == "desk/7"


async def test_what_moved_is_followed_and_nothing_new_asks_at_the_old_address_again(
    desk: World, paper: PaperChannel
) -> None:
    first = await desk.submit("first")
    await settled(desk, first.id)
    paper.faults = [PlaceMoved("It is the attic now.", address="attic")]
    second = await desk.submit("second")
    for task in (second, first):
        (card,) = await settled(desk, task.id)
        assert (card.recipient.address, str(card.message)[:6]) == ("attic", "attic/")
    third = await desk.submit("third")
    (card,) = await settled(desk, third.id)
    assert card.recipient.address == "attic"
    assert [call.delivery.recipient.address for call in paper.calls] == ["desk", "desk", *["attic"] * 3]


async def test_after_a_start_what_moved_is_known(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    async with SqlStore(sqlite_database, clock) as store:
        await store.place_moved(DESK, "attic")
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        (card,) = await settled(world, (await world.submit("x")).id)
    assert card.recipient.address == "attic"
    assert [call.delivery.recipient.address for call in paper.calls] == ["attic"]


async def test_retry_after_is_honoured_to_the_microsecond(
    desk: World, paper: PaperChannel, clock: StoppedClock
) -> None:
    paper.faults = [RateLimited("slow down", retry_after=timedelta(seconds=30))]
    task = await desk.submit("x")
    await paper.called(1)
    await eventually(lambda: due_in(desk, task.id, clock, 30))
    clock.advance(timedelta(seconds=30) - timedelta(microseconds=1))
    await quiet(desk.store)
    assert len(paper.calls) == 1
    clock.advance(timedelta(microseconds=1))
    await paper.called(2)
    (card,) = await settled(desk, task.id)
    assert (card.tries, card.error) == (0, None), "being asked for patience is no failure"


async def due_in(world: World, task: str, clock: StoppedClock, seconds: float) -> bool:
    found = await world.service.deliveries(task)
    return any(d.due_at == clock.now() + timedelta(seconds=seconds) for d in found)


async def quiet(store: SqlStore) -> None:
    """Let everything that is due be seen: the loop's own reads come before these."""
    for _ in range(5):
        await store.counts()
        await store.check()


async def test_a_decision_does_not_break_into_retry_after(
    desk: World, paper: PaperChannel, clock: StoppedClock
) -> None:
    paper.gap = 3.0
    paper.faults = [RateLimited("slow down", retry_after=timedelta(seconds=30))]
    task = await desk.submit("x")
    await paper.called(1)
    await eventually(lambda: due_in(desk, task.id, clock, 30))
    await desk.approve(await desk.open_review(task.id))
    await desk.end(task.id)
    for _ in range(2):
        await quiet(desk.store)
        assert len(paper.calls) == 1
        clock.advance(seconds=15)
    await paper.called(2)


async def test_patience_that_is_asked_for_in_a_place_holds_for_changes_there_too(
    desk: World, paper: PaperChannel, clock: StoppedClock
) -> None:
    first = await desk.submit("first")
    await settled(desk, first.id)
    paper.faults = [RateLimited("slow down", retry_after=timedelta(seconds=30))]
    second = await desk.submit("second")
    await eventually(lambda: due_in(desk, second.id, clock, 30))
    await desk.approve(await desk.open_review(first.id))
    await desk.end(first.id)
    await quiet(desk.store)
    assert paper.kinds == ["post", "post"]
    clock.advance(seconds=30)
    await settled(desk, first.id)
    await settled(desk, second.id)


async def test_a_limit_on_the_whole_channel_holds_for_every_recipient(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel, stone: PaperChannel
) -> None:
    paper.faults = [RateLimited("slow down", retry_after=timedelta(seconds=30), whole_channel=True)]
    flows = draft_flows(DESK, WALL)
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper, stone]) as world:
        await world.submit("x")
        await paper.called(1)
        await quiet(world.store)
        other = await world.submit("y")
        await stone.called(2)
        await quiet(world.store)
        assert len(paper.calls) == 1
        clock.advance(seconds=30)
        await settled(world, other.id)


@pytest.mark.parametrize("whole_channel", [False, True], ids=["a place", "the channel"])
async def test_a_clock_that_is_set_back_by_hours_makes_no_pause_longer_by_them(
    desk: World, paper: PaperChannel, clock: StoppedClock, *, whole_channel: bool
) -> None:
    paused = RateLimited("slow down", retry_after=timedelta(seconds=30), whole_channel=whole_channel)
    paper.faults = [paused]
    first = await desk.submit("first")
    await eventually(lambda: due_in(desk, first.id, clock, 30))
    clock.advance(hours=-6)
    second = await desk.submit("second")
    await quiet(desk.store)
    assert len(paper.calls) == 1
    clock.advance(seconds=30)
    await settled(desk, second.id)


async def test_of_two_limits_on_the_whole_channel_the_longer_holds(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    """Two calls under way are told so, the second of a shorter time."""
    flows = draft_flows(DESK, HALL)
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper]) as world:
        paper.close()
        task = await world.submit("x")
        await paper.called(2)
        paper.faults = [
            RateLimited("slow down", retry_after=timedelta(seconds=wait), whole_channel=True)
            for wait in (60, 5)
        ]
        paper.open()
        await eventually(lambda: due_in(world, task.id, clock, 5))
        clock.advance(seconds=59)
        await quiet(world.store)
        assert len(paper.calls) == 2
        clock.advance(seconds=1)
        await settled(world, task.id)


async def test_a_blocked_channel_delays_no_other_and_no_decision(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel, stone: PaperChannel
) -> None:
    paper.close()
    flows = draft_flows(DESK, HALL, WALL)
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper, stone]) as world:
        for number in range(4):
            task = await world.submit("x")
            await stone.called(2 * number + 1)
            await world.approve(await world.open_review(task.id))
            assert (await world.end(task.id)).status is Status.COMPLETED
            await stone.called(2 * number + 2)
        assert paper.inside == 2
        paper.open()
        await settled(world, task.id)


@pytest.mark.parametrize(("name", "longest"), [(PAPER, timedelta(minutes=5)), (WEBHOOK, timedelta(hours=1))])
async def test_failures_back_off_and_end_in_a_visible_giving_up(
    sqlite_database: Database, clock: StoppedClock, name: ChannelName, longest: timedelta
) -> None:
    channel = PaperChannel(name)
    channel.faults = [Unreachable("no route")] * 60
    flows = draft_flows(*([DESK] if name == PAPER else []))
    hook = {} if name == PAPER else {"callback_url": HOOK}
    async with whole_core(sqlite_database, clock, flows=flows, channels=[channel]) as world:
        task = await world.submit("x", **hook)
        waits: list[timedelta] = []
        while len(waits) < 50:
            (card,) = await eventually(lambda: noted(world, task.id, len(waits) + 1))
            assert card.due_at is not None
            waits.append(card.due_at - clock.now())
            clock.advance(waits[-1])
        await eventually(lambda: noted(world, task.id, 51))
        clock.advance(GIVE_UP_AFTER)
        (card,) = await settled(world, task.id)
    assert (card.state, card.error, card.due_at) == (DeliveryState.GIVEN_UP, "no route", None)
    assert timedelta(seconds=0.8) <= waits[0] <= timedelta(seconds=1.2)
    assert all(later > earlier for earlier, later in itertools.pairwise(waits[:9]))
    assert all(0.8 * longest <= wait <= 1.2 * longest for wait in waits[-2:])


async def test_whoever_asks_for_patience_for_ever_is_given_up_like_a_failure(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    channel = PaperChannel(WEBHOOK)
    channel.faults = [RateLimited("503", retry_after=timedelta(hours=5))] * 100
    async with whole_core(sqlite_database, clock, channels=[channel]) as world:
        task = await world.submit("x", callback_url=HOOK)
        began = clock.now()
        for number in range(1, 16):
            await channel.called(number)
            await eventually(lambda: due_in(world, task.id, clock, 5 * 3600))
            clock.advance(hours=5)
        (card,) = await settled(world, task.id)
        assert (card.state, card.error) == (DeliveryState.GIVEN_UP, "503")
        assert clock.now() - began == GIVE_UP_AFTER
        assert len(channel.calls) == 16


async def test_what_failed_is_tried_at_once_after_a_start(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    paper.faults = [Unreachable("no route")]
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        task = await world.submit("x")
        await eventually(lambda: noted(world, task.id, 1))
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        (card,) = await settled(world, task.id)
    assert (card.state, paper.kinds) == (DeliveryState.SENT, ["post", "post"])


async def test_what_was_postponed_keeps_its_time_over_a_start(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    paper.faults = [RateLimited("slow down", retry_after=timedelta(seconds=30))]
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        task = await world.submit("x")
        await eventually(lambda: due_in(world, task.id, clock, 30))
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        await quiet(world.store)
        assert paper.kinds == ["post"]
        clock.advance(seconds=30)
        await settled(world, task.id)


async def noted(world: World, task: str, tries: int) -> list[Delivery]:
    found = await world.service.deliveries(task)
    return [d for d in found if d.tries == tries or d.state is DeliveryState.GIVEN_UP]


@pytest.mark.parametrize("fault", [Undeliverable("kicked out"), MessageGone("deleted")])
async def test_what_will_never_work_is_given_up_at_once(
    desk: World, paper: PaperChannel, fault: Exception
) -> None:
    paper.faults = [fault]
    task = await desk.submit("x")
    (card,) = await settled(desk, task.id)
    assert (card.state, card.error) == (DeliveryState.GIVEN_UP, str(fault))
    await desk.approve(await desk.open_review(task.id))
    assert (await desk.end(task.id)).status is Status.COMPLETED


async def test_a_message_that_was_deleted_is_not_edited_again(desk: World, paper: PaperChannel) -> None:
    task = await desk.submit("x")
    await settled(desk, task.id)
    paper.faults = [MessageGone("deleted")]
    await desk.reject(await desk.open_review(task.id))
    await desk.open_review(task.id, 2)
    cards = await settled(desk, task.id)
    assert [card.state for card in cards] == [DeliveryState.GIVEN_UP, DeliveryState.SENT]


@pytest.mark.parametrize("fault", [KeyError("a defect"), asyncio.CancelledError(), TimeoutError()])
async def test_a_channels_defect_is_tried_again_like_any_failure(
    desk: World, paper: PaperChannel, clock: StoppedClock, fault: BaseException
) -> None:
    paper.faults = [fault]  # type: ignore[list-item]  # not only errors of deliveries
    task = await desk.submit("x")
    (card,) = await eventually(lambda: noted(desk, task.id, 1))
    assert card.error
    clock.advance(seconds=2)
    (card,) = await settled(desk, task.id)
    assert card.state is DeliveryState.SENT


class Defective(SqlStore):
    """Some of what it is asked breaks, once each."""

    faults: tuple[str, ...] = ()

    async def due_deliveries(self, channel: ChannelName) -> Sequence[Delivery]:
        self._break("due")
        return await super().due_deliveries(channel)

    async def delivery_shown(self, wanted: Delivery, message: MessageRef) -> None:
        self._break("shown")
        await super().delivery_shown(wanted, message)

    def _break(self, what: str) -> None:
        if what in self.faults:
            self.faults = ()
            raise KeyError("a defect")


@pytest.mark.parametrize(
    ("fault", "told", "posts"), [("due", "outbox_broke", 1), ("shown", "delivery_not_served", 2)]
)
async def test_a_defect_of_ours_is_told_and_ends_no_loop(
    sqlite_database: Database,
    clock: StoppedClock,
    paper: PaperChannel,
    fault: str,
    told: str,
    posts: int,
) -> None:
    """The channel would be dumb until the next start."""
    async with Defective(sqlite_database, clock) as store:
        review = await waiting(store, Policy(name="desk", reviewers=(ANA.id,), recipients=(DESK,)))
        store.faults = (fault,)
        with capture_logs() as logs:
            async with Outbox(store, [paper], clock):
                while not logs:
                    await store.counts()
                await quiet(store)
                clock.advance(SWEEP)
                await paper.called(posts)
                await quiet(store)
        (card,) = await store.deliveries((await store.review(review)).task.id)
    assert card.state is DeliveryState.SENT
    assert [(line["event"], line["error"]) for line in logs] == [(told, "KeyError")]


async def test_calls_to_one_recipient_keep_their_distance(
    desk: World, paper: PaperChannel, clock: StoppedClock
) -> None:
    paper.gap = 3.0
    tasks = [await desk.submit(f"task {n}") for n in range(3)]
    for number in (1, 2, 3):
        await paper.called(number)
        await quiet(desk.store)
        assert len(paper.calls) == number
        clock.advance(seconds=3)
    for task in tasks:
        await settled(desk, task.id)


class SlowReader(SqlStore):
    """Its second answer of what is due is kept back until the channel's first call has been noted."""

    reads = 0

    def __init__(self, database: Database, clock: StoppedClock) -> None:
        super().__init__(database, clock)
        self.read_twice = asyncio.Event()
        self.noted = asyncio.Event()

    async def due_deliveries(self, channel: ChannelName) -> Sequence[Delivery]:
        found = await super().due_deliveries(channel)
        self.reads += 1
        if self.reads == 2:
            self.read_twice.set()
            await self.noted.wait()
        return found

    async def delivery_shown(self, wanted: Delivery, message: MessageRef) -> None:
        await super().delivery_shown(wanted, message)
        # Set when the loop turns next: the serving has ended by then.
        asyncio.get_running_loop().call_soon(self.noted.set)


async def test_a_card_noted_while_the_due_ones_were_read_is_not_posted_again(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    async with SlowReader(sqlite_database, clock) as store:
        review = await waiting(store, Policy(name="desk", reviewers=(ANA.id,), recipients=(DESK,)))
        paper.close()
        outbox = Outbox(store, [paper], clock)
        async with outbox:
            await paper.called(1)
            outbox.committed([], {PAPER})
            await asyncio.wait_for(store.read_twice.wait(), PATIENCE)
            paper.open()
            await asyncio.wait_for(store.noted.wait(), PATIENCE)
            while store.reads < 3:
                await store.counts()
            await quiet(store)
            assert paper.kinds == ["post"]
        (card,) = await store.deliveries((await store.review(review)).task.id)
        assert card.shown == card.version


class CountingReader(SqlStore):
    """Counts how often it is asked what is due."""

    reads = 0

    async def due_deliveries(self, channel: ChannelName) -> Sequence[Delivery]:
        self.reads += 1
        return await super().due_deliveries(channel)


async def test_while_all_has_to_wait_the_outbox_rests_between_looks(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    rests: asyncio.Queue[float] = asyncio.Queue()
    over = asyncio.Event()

    async def rest(seconds: float) -> None:
        rests.put_nowait(seconds)
        await over.wait()

    async with CountingReader(sqlite_database, clock) as store:
        desk = Policy(name="desk", reviewers=(ANA.id,), recipients=(DESK,))
        for _ in range(2):
            await waiting(store, desk)
        paper.faults = [RateLimited("no posts now", retry_after=timedelta(hours=1), lane_only=True)]
        async with Outbox(store, [paper], clock, rest=rest) as outbox:
            await paper.called(1)
            assert await asyncio.wait_for(rests.get(), PATIENCE) > 0
            before = store.reads
            for _ in range(5):
                outbox.committed([], {PAPER})
                await store.counts()
            assert store.reads == before
            clock.advance(hours=1)
            over.set()
            await paper.called(2)
            clock.advance(hours=1)
            await paper.called(3)


async def test_a_post_whose_note_was_lost_comes_again_with_the_same_id(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    flows = draft_flows(DESK)
    paper.close()
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper]) as world:
        task = await world.submit("x")
        await paper.called(1)
    paper.open()
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper]) as world:
        await settled(world, task.id)
        first, second = paper.calls
        assert (first.kind, second.kind) == ("post", "post")
        assert first.delivery.id == second.delivery.id
        lost = (DESK, MessageRef("desk/lost"))
        await world.service.decide(
            await one_review(world, task.id), ANA.id, Verdict.APPROVE, via="slack", copy=lost
        )
        await settled(world, task.id)
        changed = {call.message for call in paper.calls if call.kind == "update"}
        assert changed == {"desk/2", "desk/lost"}, "a press adopts the copy that nobody knew"


async def one_review(world: World, task: str) -> ReviewId:
    return (await world.service.reviews(task))[0].id


async def test_what_was_due_while_the_service_was_down_is_shown_at_its_start(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK)) as world:
        task = await world.submit("x")
        await world.open_review(task.id)
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world:
        await settled(world, task.id)
    assert paper.kinds == ["post"]


async def test_a_callback_is_told_with_the_task_and_one_id(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    hook = PaperChannel(ChannelName("webhook"))
    hook.faults = [Unreachable("502")]
    async with whole_core(sqlite_database, clock, channels=[hook]) as world:
        task = await world.submit("x", callback_url="https://ci.example/hook")
        await hook.called(1)
        await eventually(lambda: noted(world, task.id, 1))
        clock.advance(seconds=2)
        await hook.called(2)
        await world.approve(await world.open_review(task.id))
        await world.end(task.id)
        await hook.called(3)
        await settled(world, task.id)
    first, again, end = hook.calls
    assert first.delivery.id == again.delivery.id != end.delivery.id
    assert isinstance(end.content, Notice)
    assert (end.content.task.status, end.content.task.submitter) == (Status.COMPLETED, SAM.id)


@asynccontextmanager
async def posting(
    database: Database, clock: StoppedClock, paper: PaperChannel
) -> AsyncIterator[tuple[World, Outbox, str]]:
    """A task's card is being posted, until `paper` is opened."""
    async with whole_core(database, clock, flows=draft_flows(DESK)) as world:
        outbox = Outbox(world.store, [paper], clock)
        paper.close()
        async with outbox:
            task = await world.submit("x")
            await world.open_review(task.id)
            outbox.committed([], {PAPER})
            await paper.called(1)
            yield world, outbox, task.id


def under_way() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith(("outbox", "delivery"))]


async def test_a_stop_lets_calls_end_and_keeps_their_answers(
    sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    async with posting(sqlite_database, clock, paper) as (world, outbox, task):
        stopping = asyncio.ensure_future(outbox.stop(timedelta(seconds=20)))
        await asyncio.sleep(0)
        paper.open()
        await stopping
        (card,) = await world.service.deliveries(task)
        assert (card.state, card.message) == (DeliveryState.SENT, "desk/1")
        assert not under_way()


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 20])
async def test_a_stop_that_is_cut_off_leaves_no_call_behind(
    turns: int, sqlite_database: Database, clock: StoppedClock, paper: PaperChannel
) -> None:
    async with posting(sqlite_database, clock, paper) as (_, outbox, _):
        stopping = asyncio.ensure_future(outbox.stop(timedelta(seconds=20)))
        for _ in range(turns):
            await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert all(task.cancelling() for task in under_way())
        paper.open()


async def test_what_is_said_in_a_thread_waits_for_the_card_that_begins_it(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    reminding = Policy(
        name="default", reviewers=(ANA.id,), reminders=(timedelta(hours=1),), recipients=(DESK,)
    )
    flows = {"draft": definition(flow_settings(), {"default": reminding}, None)}
    paper = PaperChannel()
    paper.faults += [Unreachable("gone")] * 9
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper]) as world:
        task = await world.submit()
        await paper.called(1)
        clock.advance(hours=1)
        await world.event(task.id, ReviewerReminded)
        await eventually(lambda: postponed(world, task, clock.now()))
        paper.faults.clear()
        clock.advance(minutes=10)
        said = await paper.until(
            lambda: next((call for call in paper.calls if isinstance(call.content, Notice)), None)
        )
        assert said is not None
        assert said.thread is not None


async def postponed(world: World, task: Task, now: datetime) -> bool:
    """Whether the task's card has failed and is to be tried again later."""
    card, _ = await world.service.deliveries(task.id)
    return card.due_at is not None and card.due_at > now
