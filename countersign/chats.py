"""The chat platforms that are switched on.

Their libraries take longer to import than everything else together, so they are imported after the web
server listens, in a thread, and only those that are on.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from bot.buttons import Buttons
from bot.linking import card_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from aiohttp.typedefs import Handler

    from bot.slack import SlackChannel
    from bot.telegram import TelegramChannel
    from core.model import Delivery, ReviewId
    from core.ports import Clock, Turns
    from core.service import Service
    from core.store.sql import SqlStore
    from countersign.configuration import Configuration
    from countersign.settings import Settings

SLACK_PATH, TELEGRAM_PATH = "/slack/events", "/telegram/webhook"


class Chats:
    """None, one or both of Slack and Telegram; `routes` are there at once, the rest once opened."""

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        service: Service,
        store: SqlStore,
        clock: Clock,
        turns: Turns,
        membership_changed: Callable[[str], object] | None = None,
        *,
        is_web: bool = True,
    ) -> None:
        """`is_web`: whether `routes` are served."""
        self._is_web = is_web
        self._settings = settings
        self._configuration = configuration
        self._service = service
        self._store = store
        self._clock = clock
        self._membership_changed = membership_changed
        self._turns = turns
        self._handlers: dict[str, Handler] = {}
        self._opened: Sequence[SlackChannel | TelegramChannel] = ()

    @property
    def public_paths(self) -> frozenset[str]:
        """What the platforms call, where they call us; these requests prove themselves."""
        bot = self._settings.bot
        slack = bot.slack_bot_token is not None and bot.slack_app_token is None
        telegram = bot.telegram_bot_token is not None and bot.telegram_webhook_secret is not None
        return frozenset([SLACK_PATH] * slack + [TELEGRAM_PATH] * telegram)

    def routes(self) -> list[web.RouteDef]:
        """Until the channels are opened these answer 503, and the platform tries again."""
        return [web.post(path, self._handle) for path in self.public_paths]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        handler = self._handlers.get(request.path)
        if handler is None:
            return web.Response(status=503, headers={"Retry-After": "1"})
        return await handler(request)

    def card_links(self, review: ReviewId, deliveries: Sequence[Delivery]) -> list[tuple[str, str]]:
        """Where the review's card stands, as a chat's name and a link, of those chats that have links."""
        found = [(one.name, card_link(review, deliveries, one.name, one.link)) for one in self._opened]
        return [(name.capitalize(), link) for name, link in found if link is not None]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Sequence[SlackChannel | TelegramChannel]]:
        """The channels; inside, presses are heard and cards can be posted.

        Raises `SettingsError` where a platform refuses what is configured.
        """
        channels = await self._channels()
        async with AsyncExitStack() as stack:
            for channel in channels:
                await stack.enter_async_context(channel.listening())
            self._handlers = {r.path: r.handler for channel in channels for r in channel.routes()}
            self._opened = channels
            yield channels

    async def _channels(self) -> list[SlackChannel | TelegramChannel]:
        bot = self._settings.bot
        channels: list[SlackChannel | TelegramChannel] = []
        if bot.slack_bot_token is not None:
            await asyncio.to_thread(importlib.import_module, "bot.slack")
            channels.append(self._slack(await Buttons.kept_in(self._store)))
        if bot.telegram_bot_token is not None:
            await asyncio.to_thread(importlib.import_module, "bot.telegram")
            channels.append(self._telegram(await Buttons.kept_in(self._store)))
        return channels

    def _slack(self, buttons: Buttons) -> SlackChannel:
        from bot.slack import SlackChannel

        made = SlackChannel(
            self._settings.bot,
            service=self._service,
            people=self._configuration.directory,
            buttons=buttons,
            inbox=self._store,
            clock=self._clock,
            public_url=self._settings.web.base_url,
            membership_changed=self._membership_changed,
        )
        self._store.listen(made)
        return made

    def _telegram(self, buttons: Buttons) -> TelegramChannel:
        from bot.telegram import TelegramChannel

        return TelegramChannel(
            self._settings.bot,
            service=self._service,
            inbox=self._store,
            dialogs=self._store,
            turns=self._turns,
            is_web=self._is_web,
            people=self._configuration.directory,
            buttons=buttons,
            clock=self._clock,
            public_url=self._settings.web.base_url,
        )
