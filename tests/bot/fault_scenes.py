"""A chat in a house, and what is done there while something goes wrong: for the table of faults.

Three tasks: cards of `one` and `two` are in the chat when the fault begins, `three` is handed in under it.
`one` and `three` are decided elsewhere by Ben, `two` is approved in the chat by Ana.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from core.events import DecisionRecorded
from core.model import DeliveryState, Outcome, Status, Verdict
from tests.bot import slack_house, telegram_house
from tests.walks.rooms import SlackRoom, TelegramRoom
from tests.world import ANA, BEN, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.faults import Fault, Faults
    from core.model import Delivery, ReviewRequest, Task
    from core.store.database import Database
    from tests.bot.house import House
    from tests.bot.slack_house import SlackHouse
    from tests.bot.telegram_house import TelegramHouse
    from tests.world import StoppedClock

SOCKET, HTTP, POLLING, WEBHOOK = "slack socket", "slack http", "telegram polling", "telegram webhook"
TRANSPORTS = (SOCKET, HTTP, POLLING, WEBHOOK)
WHO = {"one": "Ben Okri", "two": "Ana Ruiz", "three": "Ben Okri"}
SLACK_PEOPLE = {"ana": "U01ANA", "ben": "U01BEN", "sam": "U01SAM", "eve": "U01EVE"}
TELEGRAM_PEOPLE = {"ana": 42, "ben": 43, "sam": 44, "eve": 66}
STEP = 5.0
"""Simulated seconds between two looks at what has become due."""


@dataclass
class Scene:
    """One chat over one transport; `stop` and `start` the service as often as you like."""

    transport: str
    platform: SlackSimulator | TelegramSimulator
    room: Any
    """A `SlackRoom` or a `TelegramRoom`."""
    database: Database
    clock: StoppedClock
    tasks: dict[str, Task] = field(default_factory=dict)
    _there: SlackHouse | TelegramHouse | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _presses: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def is_slack(self) -> bool:
        return self.transport in {SOCKET, HTTP}

    @property
    def slack(self) -> SlackSimulator:
        assert isinstance(self.platform, SlackSimulator)
        return self.platform

    @property
    def telegram(self) -> TelegramSimulator:
        assert isinstance(self.platform, TelegramSimulator)
        return self.platform

    @property
    def post(self) -> str:
        return "chat.postMessage" if self.is_slack else "sendMessage"

    @property
    def edit(self) -> str:
        return "chat.update" if self.is_slack else "editMessageText"

    @property
    def faults(self) -> Faults:
        return self.platform.faults

    @property
    def spoilt(self) -> list[str]:
        """Methods whose calls did not go well, in their order."""
        return [call.method for call in self.platform.calls if call.status != HTTPStatus.OK]

    @property
    def house(self) -> House:
        assert self._there is not None
        return self._there.house

    async def start(self) -> None:
        if self.is_slack:
            opened: Any = slack_house.slack_house(
                self.database, self.clock, http=self.transport == HTTP, running=self.slack
            )
        else:
            opened = telegram_house.telegram_house(
                self.database, self.clock, webhook=self.transport == WEBHOOK, telegram=self.telegram
            )
        self._there = await self._stack.enter_async_context(opened)

    async def stop(self) -> None:
        await self._stack.aclose()
        self._there = None

    async def close(self) -> None:
        for press in self._presses:
            press.cancel()
        await asyncio.gather(*self._presses, return_exceptions=True)
        await self.stop()

    # what is done

    async def submit(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = await self.house.submit(f"Please review number {name}.")
            await self.house.review(self.tasks[name])

    async def posted(self, *names: str) -> None:
        """Submit, and wait for the cards."""
        await self.submit(*names)

        async def ask() -> bool:
            await self.turn()
            return all(self.cards(name) for name in names) and not await self.unsettled()

        await eventually(ask)

    def cards(self, name: str) -> list[Any]:
        return list(self.room.cards(f"number {name}."))

    def open_cards(self) -> list[Any]:
        """What still has buttons."""
        return [card for card in self.room.cards() if card.labels]

    def press(self, name: str, person: str = "ana", label: str = "Approve") -> None:
        """In the chat, without waiting for what becomes of it."""
        card = self.cards(name)[0]
        if self.is_slack:
            pressing = self.slack.press(card, label, user=SLACK_PEOPLE[person])
            self._presses.append(asyncio.ensure_future(pressing))
        else:
            self.telegram.tap(card, label, user=TELEGRAM_PEOPLE[person])

    async def review(self, name: str) -> ReviewRequest:
        return (await self.house.service.reviews(self.tasks[name].id))[0]

    async def decide(self, *names: str) -> None:
        """On the web, by Ben."""
        for name in names:
            review = await self.review(name)
            await self.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")

    async def decided(self, name: str) -> None:
        async def ask() -> bool:
            return bool((await self.review(name)).decisions)

        await eventually(ask)

    async def turn(self, seconds: float = STEP) -> None:
        """Let what is due begin, and some time pass."""
        await self.house.store.counts()
        self.clock.advance(seconds=seconds)
        await self.house.store.check()

    async def pass_time(self, **parts: float) -> None:
        until = self.clock.now() + timedelta(**parts)
        while self.clock.now() < until:
            await self.turn()

    async def waited_in_vain(self) -> None:
        """A new card's post and the change of another have failed: nothing was heard of them in time."""

        async def ask() -> bool:
            found = [
                one for task in self.tasks.values() for one in await self.house.store.deliveries(task.id)
            ]
            return {one.message is None for one in found if one.tries} == {True, False}

        await eventually(ask)

    async def unsettled(self) -> list[Delivery]:
        """What does not show yet what it should."""
        found = [one for task in self.tasks.values() for one in await self.house.store.deliveries(task.id)]
        return [one for one in found if one.shown != one.version and one.state is not DeliveryState.GIVEN_UP]

    async def settled(self) -> None:
        """The tasks have ended, and every card shows what it should, or was given up."""

        async def ask() -> bool:
            await self.turn()
            tasks = [await self.house.task(task) for task in self.tasks.values()]
            return all(task.status is Status.COMPLETED for task in tasks) and not await self.unsettled()

        await eventually(ask)

    # what must hold

    async def is_right(self) -> None:
        """No decision lost or doubled, every card right in the end, no buttons left alive."""
        await self.settled()
        for name in self.tasks:
            await self._was_decided_once(name)
        if self.is_slack:
            assert not self.open_cards(), "a post whose answer was lost is found again"
            assert all(len(self.cards(name)) <= 1 for name in self.tasks)
        # In Telegram a copy whose post was never answered is known to nobody: a press changes nothing, and
        # closes it.
        for card in self.open_cards():
            words = await self.room.refusal(card, "Approve", "ben")
            assert "Already approved by" in words, words
        await self.settled()
        for name in self.tasks:
            for card in self.cards(name):
                await self._is_closed(card, name)
            await self._was_decided_once(name)

    async def _was_decided_once(self, name: str) -> None:
        (review,) = await self.house.service.reviews(self.tasks[name].id)
        (decision,) = review.decisions
        assert review.outcome is Outcome.APPROVED
        assert decision.reviewer_name == WHO[name], name
        events = [stored.event for stored in await self.house.store.events(self.tasks[name].id, 0)]
        assert [type(event) for event in events].count(DecisionRecorded) == 1, name

    async def _is_closed(self, card: Any, name: str) -> None:
        async def ask() -> bool:
            await self.turn()
            return not self.room.now(card).labels

        await eventually(ask)
        shown = self.room.cards(f"number {name}.", f"Approved by {WHO[name]}")
        assert card in shown or self.room.now(card) in shown, name


async def through(scene: Scene, *faults: Fault, **parts: float) -> None:
    """Everything happens while the faults last."""
    await scene.posted("one", "two")
    for fault in faults:
        scene.faults.add(fault)
    await scene.submit("three")
    scene.press("two")
    await scene.decide("one", "three")
    await scene.pass_time(**parts)
    assert scene.spoilt or not parts.get("minutes"), "the faults were met"
    scene.faults.clear()
    await scene.decided("two")
    await scene.is_right()


@asynccontextmanager
async def scene(transport: str, database: Database, clock: StoppedClock) -> AsyncIterator[Scene]:
    """A platform with nobody listening yet, but for a start."""
    async with AsyncExitStack() as stack:
        if transport in {SOCKET, HTTP}:

            def signed_at() -> float:
                """We compare signatures with the house's clock, and bolt with the machine's."""
                return (time.time() + clock.now().timestamp()) / 2

            clock.advance(datetime.now(UTC) - clock.now())
            slack = await stack.enter_async_context(
                slack_house.simulated(signature_clock=signed_at, now=lambda: clock.now().timestamp())
            )
            made = Scene(
                transport, slack, SlackRoom(slack, slack_house.GENERAL, SLACK_PEOPLE), database, clock
            )
        else:
            telegram = await stack.enter_async_context(telegram_house.simulated())
            room = TelegramRoom(telegram, telegram_house.GROUP, TELEGRAM_PEOPLE)
            made = Scene(transport, telegram, room, database, clock)
        stack.push_async_callback(made.close)
        await made.start()
        yield made


assert WHO["two"] == ANA.name
