"""`POST /slack/events`: lets in what Slack signed, once, and nothing else.

bolt parses a request before it checks the signature and then fails with 500 on junk, logs refused bodies, and
runs a request again that is sent again; so everything is looked at here first, over the raw bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.bodies import read_body
from bot.slack.payloads import SIGNED_AT, read
from bot.slack.signature import WINDOW, is_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from slack_bolt.async_app import AsyncApp

    from core.ports import Clock

log = structlog.get_logger()

REMEMBERED = 10_000
"""Answers kept against replays; a signature is good for `WINDOW`, in which Slack sends far fewer.

Each replica keeps its own; what a request would do elsewhere, `Desk.check_timely` and `Commands` stop."""


class Door:
    """Handles the route; `app` gives None until Slack told us who we are."""

    def __init__(self, *, secret: bytes, clock: Clock, app: Callable[[], AsyncApp | None]) -> None:
        self._secret = secret
        self._clock = clock
        self._app = app
        self._answered: dict[bytes, tuple[datetime, str, str]] = {}
        """Signed bodies answered with 200, oldest first: when, and the answer's body and type."""

    async def handle(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        if not self._is_signed(request, body):
            log.warning("callback_refused", channel="slack", reason="signature")
            return web.Response(status=401)
        payload = read(body, request.content_type)
        if payload is None:
            log.warning("callback_refused", channel="slack", reason="malformed")
            return web.Response(status=400)
        return self._again(body) or await self._pass_on(request, body, payload)

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        return is_signed(
            self._secret,
            body,
            timestamp=request.headers.get("X-Slack-Request-Timestamp", ""),
            signature=request.headers.get("X-Slack-Signature", ""),
            now=self._clock.now(),
        )

    async def _pass_on(self, request: web.Request, body: bytes, payload: dict[str, Any]) -> web.Response:
        """As from Socket Mode, whose payloads bolt takes as they are: reading a press and checking its
        signature once more would be a tenth of what it costs."""
        app = self._app()
        if app is None:
            return web.Response(status=503, headers={"Retry-After": "2"})
        payload[SIGNED_AT] = int(request.headers["X-Slack-Request-Timestamp"])
        headers: dict[str, str | Sequence[str]] = {
            name: value for name, value in request.headers.items() if value.isascii()
        }
        answer = await app.async_dispatch(AsyncBoltRequest(body=payload, headers=headers, mode="socket_mode"))
        response = await to_aiohttp_response(answer)
        if response.status == 200:
            self._remember(body, response)
        return response

    def _again(self, body: bytes) -> web.Response | None:
        """The answer that these very bytes got before: replayed, they change nothing."""
        known = self._answered.get(hashlib.sha256(body).digest())
        if known is None:
            return None
        log.info("callback_repeated", channel="slack")
        return web.Response(text=known[1], content_type=known[2])

    def _remember(self, body: bytes, response: web.Response) -> None:
        now = self._clock.now()
        self._answered[hashlib.sha256(body).digest()] = (now, response.text or "", response.content_type)
        oldest, (at, _, _) = next(iter(self._answered.items()))
        # a timestamp may lie that far ahead of our clock, and is then good for as long behind it
        while now - at > 2 * WINDOW or len(self._answered) > REMEMBERED:
            del self._answered[oldest]
            oldest, (at, _, _) = next(iter(self._answered.items()))
