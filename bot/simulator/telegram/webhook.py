"""Posting updates to the bot's own server: lane by lane, again and again until each is taken."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from bot.simulator.telegram.errors import bad_request
from bot.simulator.telegram.limits import SECRET, WEBHOOK_CONNECTIONS, WEBHOOK_PORTS
from core.addresses import is_loopback_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from bot.simulator.telegram.updates import Update, UpdateQueue

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
WEBHOOK_SECONDS = 10.0
"""How long a webhook may take to answer [ours]."""
LONGEST_RETRY = 5.0
"""Seconds between two tries of one webhook call, at most [ours]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook as setWebhook asked for it."""

    url: str
    secret: str | None
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReply:
    """What the bot's server answered to a posted update; status 0: it could not be reached."""

    status: int
    body: str

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def call(self) -> Mapping[str, Any] | None:
        """What a taken update is answered with, where that is a call of the Bot API."""
        try:
            said = json.loads(self.body) if self.is_good else None
        except ValueError:
            return None
        return said if isinstance(said, dict) and "method" in said else None

    @property
    def error(self) -> str:
        """As getWebhookInfo tells it."""
        return f"Wrong response from the webhook: {self.status}" if self.status else self.body


def read_webhook(params: Mapping[str, Any], *, public_rules: bool) -> Webhook:
    """Check the parameters of setWebhook; with `public_rules`, as sternly as Telegram does."""
    url, secret = str(params["url"]), params.get("secret_token")
    check_loopback(url)
    parts = urlsplit(url)
    if public_rules and parts.scheme != "https":
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if public_rules and (parts.port or 443) not in WEBHOOK_PORTS:
        raise bad_request("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
    if secret is not None and SECRET.fullmatch(str(secret)) is None:
        raise bad_request("secret token contains unallowed characters")
    connections = params.get("max_connections")
    most = connections if isinstance(connections, int) else WEBHOOK_CONNECTIONS
    return Webhook(url=url, secret=secret, connections=min(max(most, 1), 100))


def check_loopback(url: str) -> None:
    """The simulator calls nobody but this machine."""
    if not is_loopback_url(url):
        raise bad_request("bad webhook: the simulator posts to loopback addresses only")


@dataclass(slots=True)
class Tasks:
    """Owns background tasks; `close` ends them and raises what went wrong in any."""

    running: set[asyncio.Task[None]] = field(default_factory=set)
    failed: list[BaseException] = field(default_factory=list)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed.append(error)

    async def close(self) -> None:
        for task in (running := list(self.running)):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self.failed:
            raise self.failed[0]


@dataclass(slots=True, kw_only=True)
class WebhookPoster:
    """Posts what waits in `updates`, at most `connections` at once and one of a lane at a time."""

    updates: UpdateQueue
    on_change: Callable[[], None]
    perform: Callable[[Mapping[str, Any]], Awaitable[None]]
    """Takes a call that came in the answer to an update."""
    retry: float
    """Seconds before the first repetition of a failed call; it doubles up to LONGEST_RETRY."""
    webhook: Webhook | None = None
    last_error: tuple[int, str] | None = None
    """When, in Unix seconds, and what."""
    _lanes: dict[str, deque[Update]] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _tasks: Tasks = field(default_factory=Tasks)
    _session: aiohttp.ClientSession | None = None

    def use(self, webhook: Webhook | None) -> None:
        """Post there from now on, beginning with what waits; None: nowhere."""
        self.webhook, self.last_error = webhook, None
        self._lanes.clear()
        if webhook is not None:
            for update in self.updates.pending:
                self.add(update)

    def add(self, update: Update) -> None:
        if self.webhook is not None:
            self._lanes.setdefault(update.lane, deque()).append(update)
            self._pump(self.webhook, update.lane)

    async def post(self, body: bytes, *, secret: str | None, url: str) -> WebhookReply:
        """Post these bytes once, whatever they are; no secret, no header."""
        check_loopback(url)
        headers = {"Content-Type": "application/json"} | ({SECRET_HEADER: secret} if secret else {})
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_SECONDS))
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                reply = WebhookReply(status=response.status, body=await response.text(errors="replace"))
        except (aiohttp.ClientError, TimeoutError) as error:
            return WebhookReply(status=0, body=type(error).__name__)
        if said := reply.call:
            await self.perform(said)
        return reply

    async def close(self) -> None:
        self.use(None)
        try:
            await self._tasks.close()
        finally:
            if self._session is not None:
                await self._session.close()

    def _pump(self, webhook: Webhook, lane: str) -> None:
        if lane not in self._busy and len(self._busy) < webhook.connections:
            self._busy.add(lane)
            self._tasks.start(self._drain(webhook, lane))

    async def _drain(self, webhook: Webhook, lane: str) -> None:
        """Post a lane until it is empty or the webhook another, then let waiting lanes have the place."""
        try:
            while self.webhook is webhook and (queue := self._lanes.get(lane)):
                await self._deliver(webhook, queue.popleft())
        finally:
            self._busy.discard(lane)
            if self.webhook is webhook:
                self._lanes.pop(lane, None)
            self._pump_all()

    def _pump_all(self) -> None:
        webhook = self.webhook
        for lane in list(self._lanes) if webhook is not None else ():
            if webhook is None or len(self._busy) >= webhook.connections:
                return
            self._pump(webhook, lane)

    async def _deliver(self, webhook: Webhook, update: Update) -> None:
        """Post one update until it is taken, too old, or the webhook another."""
        body, pause = json.dumps(update.as_api()).encode(), self.retry
        while self.webhook is webhook and update.serial in self.updates.waiting:
            reply = await self.post(body, secret=webhook.secret, url=webhook.url)
            if reply.is_good:
                self.updates.taken(update)
                self.on_change()
                return
            self.last_error = int(self.updates.now()), reply.error
            self.on_change()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY)
            self.updates.forget_old()
