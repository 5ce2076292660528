"""Deliveries over HTTP, encoded and signed as Slack does it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import aiohttp

from bot.simulator.slack.delivery import Answer, Delivery, Failure, Forgery, Kind
from bot.simulator.slack.limits import ACK_SECONDS, SIGNATURE_SECONDS
from core.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.simulator.slack.model import Body

FORM = "application/x-www-form-urlencoded"
USER_AGENT = "Slackbot 1.0 (simulated)"
LINES = 100
"""Deliveries on their way at once, as many as aiohttp's pool holds; waiting for a line takes no time off."""


def refuse_foreign_host(host: str | None) -> None:
    """The simulator neither listens on nor calls anything but this machine."""
    if not is_loopback(host):
        raise ValueError(f"the simulated Slack stays on loopback, and {host!r} is not")


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`X-Slack-Signature` (verifying requests from Slack)."""
    signed = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def encode(delivery: Delivery) -> tuple[str, bytes]:
    """Content type and body: events are JSON, commands a flat form, interactivity JSON inside a form."""
    if delivery.kind is Kind.EVENT:
        return "application/json", json.dumps(delivery.payload).encode()
    if delivery.kind is Kind.COMMAND:
        return FORM, urlencode(delivery.payload).encode()
    return FORM, urlencode({"payload": json.dumps(delivery.payload)}).encode()


class SignedHttp:
    """Posts to the app's request URL; `clock` gives the signed timestamps, in seconds since 1970."""

    def __init__(
        self, *, secret: str, clock: Callable[[], float] = time.time, ack_seconds: float = ACK_SECONDS
    ) -> None:
        self.request_url: str | None = None
        self.ack_seconds = ack_seconds
        self._secret = secret
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._lines = asyncio.Semaphore(LINES)

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(trust_env=False)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def verify(self) -> bool:
        """Whether the request URL answers Slack's challenge, as at saving it in an app's settings."""
        challenge = secrets.token_hex(16)
        payload: Body = {"type": "url_verification", "token": "simulated", "challenge": challenge}
        answer = await self.send(Delivery(kind=Kind.EVENT, payload=payload))
        said = answer.body.get("challenge") if isinstance(answer.body, dict) else answer.body
        return answer.ok and said == challenge

    def headers(self, body: bytes, forged: Forgery | None = None) -> dict[str, str]:
        """The signing headers for a body, or those of a forgery."""
        timestamp = int(self._clock()) - (SIGNATURE_SECONDS + 1 if forged is Forgery.OLD_TIMESTAMP else 0)
        if forged is Forgery.UNSIGNED:
            return {}
        secret = "f" * 32 if forged is Forgery.WRONG_SIGNATURE else self._secret
        signed = body + b" " if forged is Forgery.ALTERED_BODY else body
        return {
            "X-Slack-Request-Timestamp": str(timestamp),
            "X-Slack-Signature": signature(secret, timestamp, signed),
        }

    async def send(self, delivery: Delivery) -> Answer:
        content_type, body = encode(delivery)
        headers = {
            "Content-Type": content_type,
            "User-Agent": USER_AGENT,
            **self.headers(body, delivery.forged),
        }
        if delivery.retry:
            headers["X-Slack-Retry-Num"] = str(delivery.retry)
            headers["X-Slack-Retry-Reason"] = delivery.retry_reason or "unknown_error"
        async with self._lines:
            return await self._timed(body, headers)

    async def _timed(self, body: bytes, headers: dict[str, str]) -> Answer:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(self.ack_seconds):
                return await self._post(body, headers, begun)
        except TimeoutError:
            return Answer(seconds=loop.time() - begun, failure=Failure.TIMEOUT)
        except aiohttp.ClientError:
            return Answer(seconds=loop.time() - begun, failure=Failure.CONNECTION)

    async def _post(self, body: bytes, headers: dict[str, str], begun: float) -> Answer:
        if self._session is None or self.request_url is None:
            return Answer(failure=Failure.CONNECTION)
        posted = self._session.post(self.request_url, data=body, headers=headers, allow_redirects=False)
        async with posted as response:
            raw = await response.read()
            return Answer(
                status=response.status,
                body=_decoded(raw),
                seconds=asyncio.get_running_loop().time() - begun,
                failure=None if 200 <= response.status < 300 else Failure.ERROR,
                no_retry=response.headers.get("X-Slack-No-Retry") == "1",
            )


def _decoded(raw: bytes) -> Body | str | None:
    text = raw.decode(errors="replace").strip()
    if not text.startswith("{"):
        return text or None
    try:
        body: Body = json.loads(text)
    except ValueError:
        return text
    return body
