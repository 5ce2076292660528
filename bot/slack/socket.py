"""Socket Mode: slack_sdk's connections for one bolt app, opened with our own words about what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from logging import Logger

    import aiohttp
    from slack_bolt.async_app import AsyncApp
    from slack_sdk.socket_mode.aiohttp import SocketModeClient
    from slack_sdk.web.async_client import AsyncWebClient

PING_SECONDS = 5.0
"""Between two pings; a silent connection is renewed after four of them (slack_sdk, is_ping_pong_failing)."""
CONNECTIONS = 2
"""Slack sends each payload to one of them, and ends each now and then: presses find the other. Up to ten are
allowed, by all processes of the app together (docs.slack.dev, "Using Socket Mode")."""


class Socket:
    """One connection. To be made while the event loop runs; `close` it."""

    def __init__(self, app: AsyncApp, *, app_token: str, client: AsyncWebClient, logger: Logger) -> None:
        self._handler = AsyncSocketModeHandler(
            app, app_token, logger=logger, web_client=client, ping_interval=PING_SECONDS
        )
        self._client: SocketModeClient = self._handler.client
        session: Any = _OneUse(self._client, self._client.aiohttp_client_session)
        self._client.aiohttp_client_session = session

    async def connect(self) -> None:
        """Raises what `AsyncWebClient` raises; slack_sdk's own `connect` would log that and try for ever."""
        self._client.wss_uri = await self._client.issue_new_wss_url()
        await self._handler.connect_async()  # type: ignore[no-untyped-call]  # slack_bolt

    async def close(self) -> None:
        await self._handler.close_async()  # type: ignore[no-untyped-call]  # slack_bolt


class _OneUse:
    """The session that slack_sdk opens connections by, which forgets an address that failed.

    Slack lets each address be used once, and slack_sdk would try the same one for ever.
    """

    def __init__(self, client: SocketModeClient, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._session = session

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def ws_connect(self, url: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
        self._client.wss_uri = None
        opened: aiohttp.ClientWebSocketResponse = await self._session.ws_connect(url, **options)
        return opened

    def close(self) -> Awaitable[None]:
        return self._session.close()
