"""The chat platforms that are switched on; each is imported only then, for that costs time."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiohttp import web

    from bot.buttons import Buttons
    from bot.slack import SlackChannel
    from bot.telegram import TelegramChannel
    from core.ports import Clock
    from core.service import Service
    from core.store.sql import SqlStore
    from countersign.configuration import Configuration
    from countersign.settings import Settings


class Chats:
    """None, one or both of Slack and Telegram."""

    def __init__(self, channels: Sequence[SlackChannel | TelegramChannel]) -> None:
        self.channels = channels

    @classmethod
    async def of(
        cls,
        settings: Settings,
        configuration: Configuration,
        service: Service,
        store: SqlStore,
        clock: Clock,
    ) -> Chats:
        """Those whose tokens are set."""
        channels: list[SlackChannel | TelegramChannel] = []
        if settings.bot.slack_bot_token is not None:
            buttons = await _buttons(store)
            channels.append(_slack(settings, configuration, service, buttons, clock))
        if settings.bot.telegram_bot_token is not None:
            buttons = await _buttons(store)
            channels.append(_telegram(settings, configuration, service, store, buttons, clock))
        return cls(channels)

    @property
    def routes(self) -> list[web.RouteDef]:
        """What the platforms call, where they call us."""
        return [route for channel in self.channels for route in channel.routes()]

    @property
    def public_paths(self) -> frozenset[str]:
        """Paths whose requests prove themselves by signature or secret."""
        return frozenset(route.path for route in self.routes)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Presses are heard and cards can be posted inside."""
        async with AsyncExitStack() as stack:
            for channel in self.channels:
                await stack.enter_async_context(channel.listening())
            yield


async def _buttons(store: SqlStore) -> Buttons:
    from bot.buttons import Buttons

    return Buttons(await store.secret("buttons"))


def _slack(
    settings: Settings, configuration: Configuration, service: Service, buttons: Buttons, clock: Clock
) -> SlackChannel:
    from bot.slack import SlackChannel

    return SlackChannel(
        settings.bot,
        service=service,
        people=configuration.directory,
        buttons=buttons,
        clock=clock,
        public_url=settings.web.base_url,
    )


def _telegram(
    settings: Settings,
    configuration: Configuration,
    service: Service,
    store: SqlStore,
    buttons: Buttons,
    clock: Clock,
) -> TelegramChannel:
    from bot.telegram import TelegramChannel

    return TelegramChannel(
        settings.bot,
        service=service,
        inbox=store,
        dialogs=store,
        people=configuration.directory,
        buttons=buttons,
        clock=clock,
        public_url=settings.web.base_url,
    )
