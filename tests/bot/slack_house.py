"""A house with a simulated Slack, over either transport."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pydantic import SecretStr

from bot.buttons import Buttons
from bot.people import Directory
from bot.settings import BotSettings
from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.people import EVENTS
from bot.slack import SlackChannel, desk
from core.clock import SystemClock
from core.model import ChannelName, Recipient
from tests.bot.house import PUBLIC_URL, core_with, served
from tests.world import ANA, BEN, SAM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from bot.simulator.slack import Message
    from bot.simulator.slack.model import View
    from core.model import PersonId, Policy
    from core.service import Service
    from core.store.database import Database
    from tests.bot.house import House
    from tests.world import StoppedClock, World

GENERAL = "C01GEN"
PARTNER = "T0PARTNER"
PEOPLE = Directory.of(slack={ANA.id: "U01ANA", BEN.id: f"{PARTNER}/U01BEN", SAM.id: "U01SAM"}, telegram={})


@dataclass
class SlackHouse:
    """`events_url` is where Slack calls, over HTTP; None in Socket Mode."""

    slack: SlackSimulator
    house: House
    channel: SlackChannel
    events_url: str | None

    @property
    def transcript(self) -> list[str]:
        return [call.method for call in self.slack.calls]

    async def card(self, number: int = 1) -> Message:
        """The `number`-th message in the channel, once it is posted, and noted."""
        await self.slack.until(lambda: len(self.slack.messages(GENERAL)) >= number)
        await self.house.noted()
        return self.slack.messages(GENERAL)[number - 1]

    async def card_with(self, words: str) -> Message:
        """The first message that says so, once one does."""
        await self.slack.until(lambda: any(words in text_of(seen) for seen in self.slack.messages(GENERAL)))
        await self.house.noted()
        return next(seen for seen in self.slack.messages(GENERAL) if words in text_of(seen))

    async def told(self, user: str) -> str:
        """What only this user sees, once there is something."""
        await self.slack.until(lambda: self.slack.ephemerals(user))
        (seen,) = self.slack.ephemerals(user)
        return seen.text


LINES = frozenset({"rich_text_section", "rich_text_quote", "rich_text_preformatted"})
"""What reads as one line: its parts are texts, dates and people."""


def text_of(message: Message) -> str:
    """Everything that the message's blocks say."""
    return "\n".join(_texts(list(message.blocks)))


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        if str(value.get("type")) in LINES:
            parts = [part.get("text") or part.get("fallback", "") for part in value["elements"]]
            return ["".join(parts)]
        inner = [text for each in value.values() for text in _texts(each)]
        return [value["text"], *inner] if isinstance(value.get("text"), str) else inner
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []


def settings_for(slack: SlackSimulator, *, http: bool, **changes: Any) -> BotSettings:
    found: dict[str, Any] = {
        "slack_bot_token": SecretStr(slack.bot_token),
        "slack_signing_secret": SecretStr(slack.signing_secret),
        "slack_app_token": None if http else SecretStr(slack.app_token),
        "slack_api_url": slack.api_url,
    }
    return BotSettings(**(found | changes))


@asynccontextmanager
async def slack_house(
    database: Database,
    clock: StoppedClock,
    *,
    http: bool,
    listening: bool = True,
    running: SlackSimulator | None = None,
    place: str = GENERAL,
    admins: Collection[PersonId] = (),
    in_force: Mapping[str, Policy] = {},
    **options: Any,
) -> AsyncIterator[SlackHouse]:
    """Leaving it leaves a Slack that was `running` before as it is, as when the service stops.

    It waits for checks as long as a busy machine may take for them, not only as long as Slack would. Cards go
    to `place`; what `SlackHouse` has to say of messages is about the channel.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.object(desk, "CHECK_SECONDS", 20.0))
        there = await stack.enter_async_context(simulated(**options)) if running is None else running
        channels: list[SlackChannel] = []

        def make(house: House) -> SlackChannel:
            channels.append(
                SlackChannel(
                    settings_for(there, http=http),
                    service=house.service,
                    people=PEOPLE,
                    buttons=house.buttons,
                    inbox=house.inbox,
                    clock=clock,
                    public_url=PUBLIC_URL,
                )
            )
            return channels[0]

        recipient = Recipient(channel=ChannelName("slack"), address=place)
        house = await stack.enter_async_context(
            core_with(database, clock, [recipient], make, admins=admins, in_force=in_force)
        )
        house.store.listen(channels[0])
        url = None
        if http:
            url = await stack.enter_async_context(served(channels[0].routes())) + "/slack/events"
            there.request_url = url
        if listening:
            await stack.enter_async_context(channels[0].listening())
        yield SlackHouse(there, house, channels[0], url)


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[SlackSimulator]:
    async with SlackSimulator(**options) as slack:
        slack.add_user("U01ANA", "Ana Ruiz")
        slack.add_user("U01SAM", "Sam Lee")
        slack.add_user("U01EVE", "Eve Moss")
        slack.add_user("U01BEN", "Ben Okri", team=PARTNER)
        slack.add_channel(GENERAL, "general", members=["U01ANA", "U01SAM", "U01EVE", "U01BEN"])
        yield slack


@asynccontextmanager
async def memberships_heard(
    slack: SlackSimulator, world: World, service: Service, *, http: bool
) -> AsyncIterator[list[str]]:
    """The ids of user groups and channels of which Slack told us that somebody came or left."""
    slack.events, heard = EVENTS, list[str]()
    channel = SlackChannel(
        settings_for(slack, http=http),
        service=service,
        people=PEOPLE,
        buttons=await Buttons.kept_in(world.store),
        inbox=world.store,
        clock=SystemClock(),  # Slack signs with the machine's time
        public_url=PUBLIC_URL,
        membership_changed=heard.append,
    )
    async with asyncio.timeout(20), channel.listening(), served(channel.routes()) as url:
        if http:
            slack.request_url = f"{url}/slack/events"
        else:
            await slack.connected()
        yield heard


async def typed(there: SlackHouse, text: str, user: str = "U01ANA") -> Message:
    """What only they read in answer to a slash command."""
    before = len(there.slack.ephemerals(user))
    answer = await there.slack.command("/countersign", text, user=user, channel=GENERAL)
    assert answer.status == 200
    (seen,) = there.slack.ephemerals(user)[before:]
    return seen


def the_view(there: SlackHouse, user: str = "U01ANA") -> View:
    """The only dialog that this person has open."""
    (view,) = there.slack.open_views(user)
    return view
