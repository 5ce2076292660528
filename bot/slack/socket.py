"""Socket Mode: slack_sdk's connection for one bolt app, opened with our own words about what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

if TYPE_CHECKING:
    from logging import Logger

    from slack_bolt.async_app import AsyncApp
    from slack_sdk.web.async_client import AsyncWebClient

PING_SECONDS = 5.0
"""Between two pings; a silent connection is renewed after four of them (slack_sdk, is_ping_pong_failing)."""


class Socket:
    """To be made while the event loop runs; `close` it."""

    def __init__(self, app: AsyncApp, *, app_token: str, client: AsyncWebClient, logger: Logger) -> None:
        self._handler = AsyncSocketModeHandler(
            app, app_token, logger=logger, web_client=client, ping_interval=PING_SECONDS
        )

    async def connect(self) -> None:
        """Raises what `AsyncWebClient` raises; slack_sdk's own `connect` would log that and try for ever."""
        connection = self._handler.client
        connection.wss_uri = await connection.issue_new_wss_url()
        await self._handler.connect_async()  # type: ignore[no-untyped-call]  # slack_bolt

    async def close(self) -> None:
        await self._handler.close_async()  # type: ignore[no-untyped-call]  # slack_bolt
