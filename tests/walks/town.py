"""Both simulated platforms, their people, and the whole composition between them and the web.

    async with platforms() as chats, town(chats, database) as there:
        sam = await there.browser("sam")
        task = await sam.submit("hello world")
        card = await there.telegram.card("hello world")

Time is real here, and nothing sleeps: whoever waits, waits for a change in a simulator or for a message of a
task's stream.
"""

from __future__ import annotations

import asyncio
import tomllib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from bot.settings import BotSettings
from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from core.model import PersonId
from core.settings import CoreSettings
from countersign.composition import flows, house
from countersign.configuration import parsed
from countersign.membership import asker
from countersign.outside import Keeper
from countersign.reloading import FIRST_ANSWERS, Live, Reloader
from countersign.settings import Settings
from tests.bench.server import free_port
from tests.walks.browsers import Browser
from tests.walks.rooms import PATIENCE, SlackRoom, TelegramRoom
from tests.walks.runs import eventually
from web.auth import new_token
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.ports import Clock
    from core.store.database import Database
    from countersign.composition import House
    from tests.walks.rooms import Room

GENERAL = "C01GEN"
GROUP = -1001234567890
SLACK = {"ana": "U01ANA", "ben": "U01BEN", "sam": "U01SAM", "eve": "U01EVE"}
TELEGRAM = {"ana": 42, "ben": 43, "sam": 44, "eve": 66}
TELEGRAM_SECRET = "a-secret_for-the-webhook"
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0" * 4

CONFIGURATION = f"""
[people.ana]
name = "Ana Ruiz"
slack = "{SLACK["ana"]}"
telegram = {TELEGRAM["ana"]}
[people.ben]
name = "Ben Okri"
slack = "{SLACK["ben"]}"
telegram = {TELEGRAM["ben"]}
[people.sam]
name = "Sam Lee"
slack = "{SLACK["sam"]}"
telegram = {TELEGRAM["sam"]}
[recipients]
slack = ["{GENERAL}"]
telegram = [{GROUP}]
[policies.default]
reviewers = ["ana", "ben", "sam"]
[policies.two]
reviewers = ["ana", "ben", "sam"]
approvals = 2
[flows.two]
policy = "two"
"""
"""Ana, Ben and Sam review; Sam submits, and nobody knows Eve."""


@dataclass(frozen=True)
class Platforms:
    """The two simulators; they outlive a house."""

    slack: SlackSimulator
    telegram: TelegramSimulator


@asynccontextmanager
async def platforms(
    *, channels: tuple[str, ...] = (GENERAL,), groups: tuple[int, ...] = (GROUP,), **app: Any
) -> AsyncIterator[Platforms]:
    """Ana, Ben, Sam and Eve are in every channel and group; `app` is what Slack is told of ours.

    A press in Telegram may be answered for longer than there: a house that starts anew takes its time.
    """
    async with SlackSimulator(**app) as slack, TelegramSimulator(answer_window=PATIENCE) as telegram:
        for person, slack_id in SLACK.items():
            slack.add_user(slack_id, person.title())
            telegram.add_user(TELEGRAM[person], person.title(), started=True)
        for channel in channels:
            slack.add_channel(channel, channel.lower(), members=SLACK.values())
        for group in groups:
            telegram.add_chat(group, "supergroup", "Reviews", TELEGRAM.values())
        yield Platforms(slack, telegram)


@dataclass
class Town:
    """One running house, and the ways in."""

    house: House
    chats: Platforms
    url: str
    slack: SlackRoom
    telegram: TelegramRoom
    _stack: AsyncExitStack

    @property
    def rooms(self) -> tuple[Room, Room]:
        return self.slack, self.telegram

    def room(self, name: str) -> Room:
        (found,) = [room for room in self.rooms if room.name == name]
        return found

    async def browser(self, person: str) -> Browser:
        """Signed in by that person's own link; closed with the town."""
        token, credential = new_token(PersonId(person), datetime.now(UTC))
        await self.house.store.add_credential(credential)
        return await self._stack.enter_async_context(Browser.signed_in(self.url, token))


def bot_settings(chats: Platforms, *, slack_http: bool, telegram_webhook: bool) -> BotSettings:
    slack, telegram = chats.slack, chats.telegram
    return BotSettings(
        slack_bot_token=SecretStr(slack.bot_token),
        slack_signing_secret=SecretStr(slack.signing_secret),
        slack_app_token=None if slack_http else SecretStr(slack.app_token),
        slack_api_url=slack.api_url,
        telegram_bot_token=SecretStr(telegram.token),
        telegram_webhook_secret=SecretStr(TELEGRAM_SECRET) if telegram_webhook else None,
        telegram_api_url=telegram.api_url,
        telegram_file_url=telegram.file_url,
    )


@asynccontextmanager
async def town(
    chats: Platforms,
    database: Database,
    *,
    slack_http: bool = False,
    telegram_webhook: bool = False,
    configuration: str = CONFIGURATION,
) -> AsyncIterator[Town]:
    """The real composition on a free port, listening to both platforms on entry."""
    settings = house_settings(chats, database, slack_http=slack_http, telegram_webhook=telegram_webhook)
    known = parsed(tomllib.loads(configuration), None, {})
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(house(settings, known, flows(known), database))
        yield _seen(running, chats, stack)


@asynccontextmanager
async def town_of_groups(
    chats: Platforms, database: Database, clock: Clock, *, configuration: str, **transports: bool
) -> AsyncIterator[Town]:
    """The same whose groups are those of chats, as `serve` has it; they are asked for by this clock."""
    settings = house_settings(chats, database, **transports)
    live = Live(parsed(tomllib.loads(configuration), None, {}))
    known = flows(live.configuration)
    async with (
        AsyncExitStack() as stack,
        Keeper(live.read.outside, asker(settings.bot), clock) as keeper,
        asyncio.TaskGroup() as tasks,
    ):
        await keeper.answered(FIRST_ANSWERS)
        live.replace(live.read, keeper.members())
        running = await stack.enter_async_context(
            house(
                settings,
                live.configuration,
                known,
                database,
                membership_changed=keeper.changed,
                as_read=live.read,
            )
        )
        reloader = Reloader(
            lambda: live.read, live, known, running.service, look=running.timekeeper.look, keeper=keeper
        )
        asking = tasks.create_task(keeper.run(reloader.members_changed))

        async def is_known() -> bool:
            return keeper.is_at_rest and not keeper.unknown()

        await eventually(is_known)  # on a busy machine the start does not wait for it
        yield _seen(running, chats, stack)
        asking.cancel()


def house_settings(
    chats: Platforms, database: Database, *, slack_http: bool = False, telegram_webhook: bool = False
) -> Settings:
    """On a free port, which Slack then calls where it is to."""
    port = free_port()
    chats.slack.request_url = f"http://127.0.0.1:{port}/slack/events" if slack_http else None
    return Settings(
        core=CoreSettings(database_url=SecretStr(database.url.render_as_string(hide_password=False))),
        bot=bot_settings(chats, slack_http=slack_http, telegram_webhook=telegram_webhook),
        web=WebSettings(port=port, webhook_secret=SecretStr(WEBHOOK_SECRET), webhook_allow=("127.0.0.1",)),
    )


def _seen(running: House, chats: Platforms, stack: AsyncExitStack) -> Town:
    slack = SlackRoom(chats.slack, GENERAL, SLACK)
    telegram = TelegramRoom(chats.telegram, GROUP, TELEGRAM)
    return Town(running, chats, running.address, slack, telegram, stack)
