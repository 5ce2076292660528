"""A house with a simulated Telegram, over either transport."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import SecretStr

from bot.people import Directory
from bot.settings import BotSettings
from bot.simulator.telegram import TelegramSimulator
from bot.telegram import TelegramChannel
from core.leases import Alone
from core.model import ChannelName, Recipient
from tests.bot.house import PUBLIC_URL, core_with, served
from tests.world import ANA, BEN, SAM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from bot.simulator.telegram import TelegramSimulator as Simulator
    from bot.simulator.telegram.chats import Message
    from core.model import PersonId, Policy, Task
    from core.ports import Turns
    from core.store.database import Database
    from tests.bot.house import House
    from tests.world import StoppedClock

GROUP = -1001234567890
ANA_ID, BEN_ID, SAM_ID, EVE_ID = 42, 43, 44, 66
PEOPLE = Directory.of(slack={}, telegram={ANA.id: ANA_ID, BEN.id: BEN_ID, SAM.id: SAM_ID})
SECRET = "a-secret_for-the-webhook"


@dataclass
class TelegramHouse:
    """`webhook_url` is where Telegram calls; None where we poll."""

    telegram: Simulator
    house: House
    channel: TelegramChannel
    webhook_url: str | None

    @property
    def public_url(self) -> str:
        return self.webhook_url.removesuffix("/telegram/webhook") if self.webhook_url else PUBLIC_URL

    async def card(self, number: int = 1, chat: int = GROUP) -> Message:
        """The `number`-th message of the bot in a chat, once it is posted, and noted."""
        found = await self.telegram.until(lambda: self.ours(chat)[number - 1])
        await self.house.noted()
        return found

    async def card_with(self, words: str, chat: int = GROUP) -> Message:
        """The first message that says so, once one does."""
        found = await self.telegram.until(lambda: self.saying(words, chat)[0])
        await self.house.noted()
        return found

    async def gone(self, message: Message) -> None:
        await self.telegram.until(lambda: self.telegram.message(message.chat, message.id).deleted)

    def saying(self, words: str, chat: int = GROUP) -> list[Message]:
        return [message for message in self.ours(chat) if words in message.text]

    def ours(self, chat: int = GROUP) -> list[Message]:
        bot = self.telegram.bot
        return [message for message in self.telegram.messages(chat) if message.sender in {None, bot}]


def settings_for(telegram: Simulator, *, webhook: bool, **changes: Any) -> BotSettings:
    found: dict[str, Any] = {
        "telegram_bot_token": SecretStr(telegram.token),
        "telegram_webhook_secret": SecretStr(SECRET) if webhook else None,
        "telegram_api_url": telegram.api_url,
        "telegram_file_url": telegram.file_url,
    }
    return BotSettings(**(found | changes))


@asynccontextmanager
async def telegram_house(
    database: Database,
    clock: StoppedClock,
    *,
    webhook: bool,
    listening: bool = True,
    telegram: Simulator | None = None,
    chat: int | str = GROUP,
    also: Collection[int] = (),
    admins: Collection[PersonId] = (),
    in_force: Mapping[str, Policy] = {},
    turns: Turns | None = None,
    is_web: bool = True,
) -> AsyncIterator[TelegramHouse]:
    """Leaving it leaves a `telegram` that was given running, as when the service stops."""
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(simulated()) if telegram is None else telegram
        channels: list[TelegramChannel] = []
        url = None
        if webhook:
            url = await stack.enter_async_context(served([web.post("/{tail:.*}", _later(channels))]))

        def make(house: House) -> TelegramChannel:
            channels.append(
                TelegramChannel(
                    settings_for(there, webhook=webhook),
                    service=house.service,
                    people=PEOPLE,
                    buttons=house.buttons,
                    inbox=house.inbox,
                    dialogs=house.store,
                    clock=clock,
                    turns=turns or Alone(),
                    is_web=is_web,
                    public_url=url or PUBLIC_URL,
                )
            )
            return channels[0]

        recipients = [Recipient(channel=ChannelName("telegram"), address=str(one)) for one in (chat, *also)]
        house = await stack.enter_async_context(
            core_with(database, clock, recipients, make, admins=admins, in_force=in_force)
        )
        if listening:
            await stack.enter_async_context(channels[0].listening())
        yield TelegramHouse(there, house, channels[0], url and f"{url}/telegram/webhook")


def _later(channels: list[TelegramChannel]) -> Any:
    """The channel is made knowing its server's address, so the server asks for the channel's route late."""

    async def handle(request: web.Request) -> web.StreamResponse:
        (route,) = channels[0].routes()
        assert request.path == route.path
        answer: web.StreamResponse = await route.handler(request)
        return answer

    return handle


def named(there: TelegramHouse, sentence: str, task: Task) -> str:
    """As it reads apart from the card that it is about."""
    return f"{sentence}\n{task.title} {there.public_url}/tasks/{task.id}"


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[Simulator]:
    async with TelegramSimulator(**options) as telegram:
        people = [
            telegram.add_user(ANA_ID, "Ana", username="ana", started=True),
            telegram.add_user(BEN_ID, "Ben"),
            telegram.add_user(SAM_ID, "Sam"),
            telegram.add_user(EVE_ID, "Eve", started=True),
        ]
        telegram.add_chat(GROUP, "supergroup", "Reviews", people)
        yield telegram


async def said(
    there: TelegramHouse,
    text: str,
    *,
    user: int = ANA_ID,
    chat: int = GROUP,
    reply_to: Message | None = None,
) -> Message:
    """What the bot answers to that, where it was said."""
    message = await there.telegram.say(chat, text, user=user, reply_to=reply_to)
    return (
        await there.telegram.until(
            lambda: next((one for one in there.ours(chat) if one.reply_to == message.id), None)
        )
        or message
    )
