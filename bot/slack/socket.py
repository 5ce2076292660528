"""Socket Mode: slack_sdk's connections for one bolt app, opened with our own words about what went wrong."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from logging import Logger

    import aiohttp
    from slack_bolt.async_app import AsyncApp
    from slack_sdk.socket_mode.aiohttp import SocketModeClient
    from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
    from slack_sdk.web.async_client import AsyncWebClient

PING_SECONDS = 5.0
"""Between two pings; a silent connection is renewed after four of them (slack_sdk, is_ping_pong_failing)."""
CONNECTIONS = 2
"""Slack sends each payload to one of them, and ends each now and then: presses find the other. Up to ten are
allowed, by all processes of the app together (docs.slack.dev, "Using Socket Mode")."""
PATIENCE = 5.0
"""Seconds for which one that is told to go waits for another: some ten after the warning it is closed."""
GREETING_SECONDS = 2.0
"""Slack uses a connection from its "hello" on, which is its first word there."""


class Socket:
    """One connection. To be made while the event loop runs; `close` it."""

    def __init__(
        self,
        app: AsyncApp,
        *,
        app_token: str,
        client: AsyncWebClient,
        logger: Logger,
        turn: asyncio.Lock,
    ) -> None:
        """`turn` is what all connections of the app have in common."""
        self._turn = turn
        self._renewing = asyncio.Lock()
        self._greeted = asyncio.Event()
        self._handler = AsyncSocketModeHandler(
            app, app_token, logger=logger, web_client=client, ping_interval=PING_SECONDS
        )
        self._client: SocketModeClient = self._handler.client
        session: Any = _OneUse(self._client, self._client.aiohttp_client_session, self._greeted)
        self._client.aiohttp_client_session = session
        self._client.message_listeners.append(self._heard)
        self._renew_at_once = self._client.connect_to_new_endpoint
        self._client.connect_to_new_endpoint = self._renew  # type: ignore[method-assign]

    async def connect(self) -> None:
        """Raises what `AsyncWebClient` raises; slack_sdk's own `connect` would log that and try for ever."""
        self._client.wss_uri = await self._client.issue_new_wss_url()
        await self._handler.connect_async()  # type: ignore[no-untyped-call]  # slack_bolt

    async def close(self) -> None:
        await self._handler.close_async()  # type: ignore[no-untyped-call]  # slack_bolt

    async def _heard(self, _: AsyncBaseSocketModeClient, message: dict[str, Any], __: str | None) -> None:
        if message.get("type") == "hello":
            self._greeted.set()

    async def _renew(self, force: bool = False) -> None:
        """As slack_sdk does it: by closing the connection first. So while another is away, not yet.

        Of one that was told to go, and is closed meanwhile, both ask for it: once is enough.
        """
        old = self._client.current_session
        async with self._in_turn(), self._renewing:
            if self._client.closed or self._client.current_session is not old:
                return
            await self._renew_at_once(force)
            with suppress(TimeoutError):
                async with asyncio.timeout(GREETING_SECONDS):
                    await self._greeted.wait()

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Whoever is gone already waits for nobody; but others do for them."""
        is_mine = False
        if not self._turn.locked() or await self._client.is_connected():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    is_mine = await self._turn.acquire()
        try:
            yield
        finally:
            if is_mine:
                self._turn.release()


class _OneUse:
    """The session that slack_sdk opens connections by, which forgets an address that failed.

    Slack lets each address be used once, and slack_sdk would try the same one for ever.
    """

    def __init__(
        self, client: SocketModeClient, session: aiohttp.ClientSession, greeted: asyncio.Event
    ) -> None:
        self._client = client
        self._session = session
        self._greeted = greeted

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def ws_connect(self, url: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
        self._client.wss_uri = None
        self._greeted.clear()
        opened: aiohttp.ClientWebSocketResponse = await self._session.ws_connect(url, **options)
        return opened

    def close(self) -> Awaitable[None]:
        return self._session.close()
