"""The table of faults, each against real bolt or python-telegram-bot and a simulated platform.

`python -m tests.faults` prints a line for each. In every one of them no decision is lost or doubled, every
card is right in the end, and no buttons are left alive.
"""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest
from telegram import Bot

from bot.simulator.faults import Fault
from bot.simulator.slack.socket import Reason
from core.model import DeliveryState
from tests.bot import slack_house, telegram_house
from tests.bot.fault_scenes import POLLING, SOCKET, TRANSPORTS, WEBHOOK, Scene, scene, through
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.store.database import Database
    from tests.world import StoppedClock

TELEGRAM = (POLLING, WEBHOOK)
SEED = int(os.environ.get("COUNTERSIGN_SOAK_SEED", "5"))
POLLS = "getUpdates"


class Line(NamedTuple):
    """What goes wrong, over which transports, and the story told under it."""

    name: str
    transports: tuple[str, ...]
    story: Callable[[Scene], Awaitable[None]]


async def pauses(there: Scene) -> None:
    """python-telegram-bot waits out a pause of polling in real seconds, so that one is short."""
    wait = Fault(status=429, headers={"Retry-After": "30"}, times=None)
    await through(
        there, Fault(method=POLLS, status=429, headers={"Retry-After": "1"}, times=None), wait, minutes=10
    )


async def breaks(there: Scene) -> None:
    await through(there, Fault(status=502, times=None), minutes=10)


async def is_cut(there: Scene) -> None:
    await through(there, Fault(cut=True, times=None), minutes=10)


async def acts_and_is_cut(there: Scene) -> None:
    await through(there, *after_acting(there, cut=True), minutes=1)


async def acts_and_breaks(there: Scene) -> None:
    await through(there, *after_acting(there, status=502), minutes=1)


async def acts_and_says_so_too_late(there: Scene) -> None:
    """Our calls wait for an answer in real seconds: ten in Slack, five in Telegram."""
    await there.posted("one", "two")
    for fault in after_acting(there, delay=60.0):
        there.faults.add(fault)
    await there.submit("three")
    there.press("two")
    await there.decided("two")
    await there.decide("one")
    await there.waited_in_vain()
    there.faults.clear()
    await there.decide("three")
    await there.is_right()


def after_acting(there: Scene, **how: Any) -> list[Fault]:
    return [Fault(method=method, after_acting=True, times=2, **how) for method in (there.post, there.edit)]


async def is_not_modified(there: Scene) -> None:
    said = "Bad Request: message is not modified: specified new message content is the same"
    body = {"ok": False, "error_code": 400, "description": said}
    fault = Fault(method=there.edit, status=400, body=body, after_acting=True, times=2)
    await through(there, fault, minutes=1)
    for task in there.tasks.values():
        states = [one.state for one in await there.house.service.deliveries(task.id)]
        assert set(states) == {DeliveryState.SENT}, "what is shown is not said to be undelivered"


async def asks_meanwhile(there: Scene) -> None:
    await there.posted("one", "two")
    there.press("one", label="Reject…")
    prompt = await there.telegram.until(lambda: there.room.cards("why do you reject")[0])
    there.faults.add(Fault(method=there.edit, status=502, times=None))
    there.press("two")
    await there.decide("one")
    await there.pass_time(minutes=10)
    there.faults.clear()
    await there.decided("two")
    await there.is_right()

    async def has_ended() -> bool:
        await there.turn()
        return not there.room.now(prompt).labels

    await eventually(has_ended)


async def is_deleted(there: Scene) -> None:
    await there.posted("one", "two")
    (card,) = there.cards("one")
    if there.is_slack:
        place = there.slack.channel(card.channel)
        place.messages.pop(card.ts)
    else:
        there.telegram.delete(card)
    there.press("two")
    await there.decide("one")
    await there.decided("two")
    await there.is_right()


async def come_twice_and_reversed(there: Scene) -> None:
    await there.posted("one", "two")
    disturbed: Any = there.slack.deliveries if there.is_slack else there.telegram.updates
    disturbed.duplicate = 6
    disturbed.hold()
    for person in ("ana", "ana", "eve"):
        there.press("two", person)
    if there.is_slack:
        await there.slack.until(lambda: there.slack.deliveries.held == 3)
    disturbed.release(reverse=True)
    await there.decide("one")
    await there.decided("two")
    if not there.is_slack:
        there.telegram.updates.repeat()
    await there.is_right()


async def restarts_between_press_and_edit(there: Scene) -> None:
    await there.posted("one", "two")
    there.faults.add(Fault(method=there.edit, cut=True, times=None))
    there.press("two")
    await there.decided("two")
    await there.decide("one")
    await there.stop()
    there.faults.clear()
    await there.start()
    await there.is_right()


async def is_away_when_pressed(there: Scene) -> None:
    """Telegram keeps the press; Slack shows that it failed, and the same button works afterwards."""
    await there.posted("one", "two")
    await there.stop()
    there.press("two")
    await there.start()
    if there.is_slack:
        there.press("two")
    await there.decide("one")
    await there.decided("two")
    await there.is_right()


async def two_poll(there: Scene) -> None:
    await there.posted("one", "two")
    async with Bot(there.telegram.token, base_url=there.telegram.api_url) as rival:
        for _ in range(3):
            await rival.get_updates(timeout=0)
        there.press("two")
        await rival.get_updates(timeout=0)
    await there.telegram.until(lambda: [call for call in there.telegram.calls if call.status == 409])
    await there.decide("one")
    await there.decided("two")
    await there.is_right()


async def is_cut_at_rest(there: Scene) -> None:
    await cut(there)


async def is_cut_while_it_opens(there: Scene) -> None:
    await cut(there, next_too=1)


async def cut(there: Scene, **more: int) -> None:
    await there.posted("one", "two")
    there.slack.cut_connections(**more)
    await there.slack.until(lambda: not there.slack.connections)
    there.press("two")
    await there.decide("one")
    await there.slack.connected()
    there.press("two")  # Slack told the person that the first one failed
    await there.decided("two")
    await there.is_right()


async def is_cut_before_the_answer(there: Scene) -> None:
    await there.posted("one", "two")
    there.house.service.slow = asyncio.Event()
    there.press("two")
    await there.slack.until(lambda: there.slack.connections)
    await there.turn()
    there.slack.cut_connections()
    await there.slack.until(lambda: not there.slack.connections)
    there.house.service.slow.set()
    await there.decided("two")
    there.house.service.slow = None
    await there.decide("one")
    await there.is_right()


def is_ended(reason: Reason) -> Callable[[Scene], Awaitable[None]]:
    async def story(there: Scene) -> None:
        await there.posted("one", "two")
        await there.slack.disconnect(reason)
        there.press("two")
        await there.decide("one")
        await there.slack.connected()
        there.press("two")
        await there.decided("two")
        await there.is_right()

    return story


TABLE = (
    Line("429 to everything for ten minutes", TRANSPORTS, pauses),
    Line("5xx to everything for ten minutes", TRANSPORTS, breaks),
    Line("every line cut for ten minutes", TRANSPORTS, is_cut),
    Line("the line cut after the server acted", TRANSPORTS, acts_and_is_cut),
    Line("5xx after the server acted", TRANSPORTS, acts_and_breaks),
    Line("no answer in time after the server acted", (SOCKET, POLLING), acts_and_says_so_too_late),
    Line("an edit answered 'not modified'", TELEGRAM, is_not_modified),
    Line("5xx to edits while a question is open", TELEGRAM, asks_meanwhile),
    Line("an edit answered 'not found'", TRANSPORTS, is_deleted),
    Line("presses come twice and in the wrong order", TRANSPORTS, come_twice_and_reversed),
    Line("restarted between press and edit", TRANSPORTS, restarts_between_press_and_edit),
    Line("pressed while the service is away", TRANSPORTS, is_away_when_pressed),
    Line("two pollers (409)", (POLLING,), two_poll),
    Line("a socket cut at rest", (SOCKET,), is_cut_at_rest),
    Line("a socket cut while it opens", (SOCKET,), is_cut_while_it_opens),
    Line("a socket cut between press and answer", (SOCKET,), is_cut_before_the_answer),
    *(Line(f"a socket ended by Slack: {reason}", (SOCKET,), is_ended(reason)) for reason in get_args(Reason)),
)


@pytest.mark.parametrize(
    ("transport", "line"),
    [
        pytest.param(transport, line, id=f"{transport}: {line.name}")
        for line in TABLE
        for transport in line.transports
    ],
)
async def test_in_every_fault_nothing_is_lost_or_doubled_and_no_button_is_left(
    sqlite_database: Database, clock: StoppedClock, transport: str, line: Line
) -> None:
    async with scene(transport, sqlite_database, clock) as there:
        await line.story(there)


def a_fault(chance: Random, there: Scene) -> Fault:
    """Any fault of any call, for a while."""
    how: list[dict[str, Any]] = [
        {"status": 429, "headers": {"Retry-After": str(chance.choice([1, 5, 60]))}},
        {"status": chance.choice([500, 502, 503])},
        {"cut": True},
        {"cut": True, "after_acting": True},
        {"status": 502, "after_acting": True},
    ]
    method = chance.choice([there.post, there.edit])
    return Fault(method=method, times=chance.randint(1, 6), **chance.choice(how))


async def rounds(transport: str, database: Database, clock: StoppedClock, *, count: int) -> None:
    chance = Random(f"{SEED} {transport}")  # noqa: S311 - the same faults each time
    async with scene(transport, database, clock) as there:
        for _ in range(count):
            there.tasks.clear()
            faults = [a_fault(chance, there) for _ in range(chance.randint(1, 4))]
            try:
                await through(there, *faults, minutes=chance.choice([0, 1, 10]))
            except (AssertionError, TimeoutError) as error:
                error.add_note(f"seed {SEED}: {faults}")
                raise
            assert not there.open_cards()
            forget(there)


def forget(there: Scene) -> None:
    """The next round's cards are its own."""
    if there.is_slack:
        there.slack.channel(slack_house.GENERAL).messages.clear()
    else:
        there.telegram.chat(telegram_house.GROUP).messages.clear()


@pytest.mark.parametrize("transport", [SOCKET, WEBHOOK])
async def test_faults_at_random_a_few_rounds(
    sqlite_database: Database, clock: StoppedClock, transport: str
) -> None:
    await rounds(transport, sqlite_database, clock, count=2)


@pytest.mark.soak
@pytest.mark.parametrize("transport", [SOCKET, POLLING, WEBHOOK])
async def test_faults_at_random_many_rounds(
    sqlite_database: Database, clock: StoppedClock, transport: str
) -> None:
    await rounds(transport, sqlite_database, clock, count=60)
    print(f"figures: 60 rounds over {transport}, 180 decisions, none lost or doubled; seed={SEED}")  # noqa: T201 - figures
