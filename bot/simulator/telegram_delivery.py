"""How updates reach the bot: the queue, long polling, and the webhook, with knobs to disturb each.

An update is kept until it is confirmed (polling: a later offset; webhook: a 2xx answer) or a day old.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from bot.simulator.telegram_errors import (
    OTHER_POLLER,
    WEBHOOK_IS_ACTIVE,
    WEBHOOK_WAS_SET,
    ApiError,
    bad_request,
    conflict,
)
from bot.simulator.telegram_limits import (
    POLL_SECONDS,
    SECRET,
    UPDATE_LIFE,
    UPDATES_PER_CALL,
    WEBHOOK_CONNECTIONS,
    WEBHOOK_PORTS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Update types that must be asked for by name [api: getUpdates, allowed_updates]."""
WEBHOOK_SECONDS = 10.0
"""How long a webhook may take to answer [ours]."""
LONGEST_RETRY = 5.0
"""Seconds between two tries of one webhook call, at most [ours]."""
REMEMBERED = 1000
"""Confirmed updates that can still be repeated on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update; those of one lane (chat or person) are posted to a webhook one after another."""

    id: int
    kind: str
    body: Mapping[str, Any]
    lane: str
    at: float

    def as_api(self) -> dict[str, Any]:
        return {"update_id": self.id, self.kind: dict(self.body)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
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
    def error(self) -> str:
        """As getWebhookInfo tells it."""
        return f"Wrong response from the webhook: {self.status}" if self.status else self.body


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


@dataclass(slots=True)
class Poll:
    """One getUpdates that waits."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: ApiError | None = None

    def end(self, reason: ApiError) -> None:
        self.ended = reason
        self.news.set()


@dataclass(slots=True, kw_only=True)
class Delivery:
    """The one queue of updates, and the one way (poll or webhook) in which it is emptied."""

    now: Callable[[], float]
    on_change: Callable[[], None]
    """Called whenever a poll opens, an update is taken, or a webhook call fails."""
    retry: float
    """Seconds before the first repetition of a failed webhook call; it doubles up to LONGEST_RETRY."""
    public_rules: bool
    """Take only webhooks that Telegram itself could reach: https, on one of its four ports."""
    next_id: int = 700_000_001
    """Of the next update. Telegram starts again at a random number after a week without any."""
    duplicate: int = 0
    """So many of the next updates are delivered twice, by webhook at the same time."""
    pending: list[Update] = field(default_factory=list)
    allowed: frozenset[str] | None = None
    webhook: Webhook | None = None
    last_error: tuple[int, str] | None = None
    _held: list[tuple[str, Mapping[str, Any], str]] | None = None
    _known: deque[Update] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _again: list[Update] = field(default_factory=list)
    _poll: Poll | None = None
    _busy: set[str] = field(default_factory=set)
    _tasks: Tasks = field(default_factory=Tasks)
    _session: aiohttp.ClientSession | None = None
    _closed: bool = False

    # what the platform puts in

    def put(self, kind: str, body: Mapping[str, Any], *, lane: str) -> None:
        """Something happened. Types that the bot did not ask for are dropped here and now."""
        if self._held is not None:
            self._held.append((kind, body, lane))
        elif self._is_wanted(kind):
            update = Update(id=self.next_id, kind=kind, body=body, lane=lane, at=self.now())
            self.next_id += 1
            self._known.append(update)
            self._enqueue(update)
            if self.duplicate > 0:
                self.duplicate -= 1
                self._enqueue(replace(update, lane=f"{lane} again"))

    def hold(self) -> None:
        """Keep all that happens from now on from the bot, until `release`."""
        self._held = self._held or []

    def release(self, *, reverse: bool = False) -> None:
        """Let out what was held; `reverse`: the last first."""
        held, self._held = self._held or [], None
        for kind, body, lane in reversed(held) if reverse else held:
            self.put(kind, body, lane=lane)

    def repeat(self, update_id: int | None = None) -> None:
        """Deliver an update once more although it was confirmed; by default the last one."""
        known = [update for update in self._known if update_id in {None, update.id}]
        if not known:
            raise LookupError(f"no update {update_id} is remembered")
        if self.webhook is None:
            self._again.append(known[-1])
        else:
            self.pending.append(known[-1])
        self._wake()

    def _is_wanted(self, kind: str) -> bool:
        return kind in self.allowed if self.allowed is not None else kind not in NOT_BY_DEFAULT

    def _enqueue(self, update: Update) -> None:
        self.pending.append(update)
        self._wake()

    def _wake(self) -> None:
        self._forget_old()
        if self._poll is not None:
            self._poll.news.set()
        self._pump()

    def _forget_old(self) -> None:
        oldest = self.now() - UPDATE_LIFE
        self.pending[:] = [update for update in self.pending if update.at >= oldest]

    # polling

    @property
    def polls_open(self) -> int:
        """How many getUpdates wait now: at most one."""
        return 0 if self._poll is None else 1

    async def get_updates(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A newer call ends an older one with 409, as Telegram does; the newer one goes on."""
        if self.webhook is not None:
            raise conflict(WEBHOOK_IS_ACTIVE)
        self._remember_allowed(params)
        self._end_poll(conflict(OTHER_POLLER))
        self._confirm(_integer(params, "offset", 0))
        limit = min(max(_integer(params, "limit", UPDATES_PER_CALL), 1), UPDATES_PER_CALL)
        seconds = min(max(_integer(params, "timeout", 0), 0), POLL_SECONDS)
        poll = self._poll = Poll()
        try:
            await self._news(poll, seconds)
        finally:
            if self._poll is poll:
                self._poll = None
        again, self._again = self._again, []
        return [update.as_api() for update in [*again, *self.pending][:limit]]

    async def _news(self, poll: Poll, seconds: float) -> None:
        """Until there is something, the poll is ended, or the time is over."""
        self._forget_old()
        if self.pending or self._again or self._closed or not seconds:
            return
        try:
            self.on_change()
            async with asyncio.timeout(seconds):
                await poll.news.wait()
        except TimeoutError:
            return
        if poll.ended is not None:
            raise poll.ended

    def _confirm(self, offset: int) -> None:
        """All before `offset` has arrived; a negative one forgets all but the last so many."""
        if offset < 0:
            self.pending[:] = self.pending[offset:]
        else:
            self.pending[:] = [update for update in self.pending if update.id >= offset]

    def _end_poll(self, reason: ApiError) -> None:
        if self._poll is not None:
            self._poll.end(reason)
            self._poll = None

    def _remember_allowed(self, params: Mapping[str, Any]) -> None:
        """Left out: as before. Empty: the default."""
        if isinstance(kinds := params.get("allowed_updates"), list):
            self.allowed = frozenset(str(kind) for kind in kinds) or None

    # webhook

    def set_webhook(self, params: Mapping[str, Any]) -> bool:
        url = str(params.get("url") or "")
        if not url:
            return self.delete_webhook(params)
        self._check_address(url)
        secret = params.get("secret_token")
        if secret is not None and SECRET.fullmatch(str(secret)) is None:
            raise bad_request("secret token contains unallowed characters")
        connections = _integer(params, "max_connections", WEBHOOK_CONNECTIONS)
        self._remember_allowed(params)
        self._drop_if_asked(params)
        self._end_poll(conflict(WEBHOOK_WAS_SET))
        self.webhook = Webhook(url=url, secret=secret, connections=min(max(connections, 1), 100))
        self._pump()
        return True

    def delete_webhook(self, params: Mapping[str, Any]) -> bool:
        self._drop_if_asked(params)
        self.webhook = self.last_error = None
        return True

    def webhook_info(self, _: Mapping[str, Any]) -> dict[str, Any]:
        webhook = self.webhook
        info: dict[str, Any] = {"url": webhook.url if webhook else "", "has_custom_certificate": False}
        info["pending_update_count"] = len(self.pending)
        info |= {"max_connections": webhook.connections} if webhook else {}
        info |= {"allowed_updates": sorted(self.allowed)} if self.allowed is not None else {}
        if self.last_error is not None:
            info["last_error_date"], info["last_error_message"] = self.last_error
        return info

    async def post(self, body: bytes, *, secret: str | None, url: str | None = None) -> WebhookReply:
        """Post these bytes once to the bot's webhook, whatever they are; no secret, no header."""
        address = url or (self.webhook.url if self.webhook else "")
        _check_loopback(address)
        headers = {"Content-Type": "application/json"} | ({SECRET_HEADER: secret} if secret else {})
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_SECONDS))
        try:
            async with self._session.post(
                address, data=body, headers=headers, allow_redirects=False
            ) as response:
                return WebhookReply(status=response.status, body=await response.text(errors="replace"))
        except (aiohttp.ClientError, TimeoutError) as error:
            return WebhookReply(status=0, body=type(error).__name__)

    def _check_address(self, url: str) -> None:
        _check_loopback(url)
        parts = urlsplit(url)
        if self.public_rules and parts.scheme != "https":
            raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
        if self.public_rules and (parts.port or 443) not in WEBHOOK_PORTS:
            raise bad_request("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")

    def _drop_if_asked(self, params: Mapping[str, Any]) -> None:
        if params.get("drop_pending_updates") is True:
            self.pending.clear()

    def _pump(self) -> None:
        """Start to post what may be posted now."""
        webhook = self.webhook
        if webhook is None or self._closed:
            return
        for update in list(self.pending):
            if len(self._busy) < webhook.connections and update.lane not in self._busy:
                self._busy.add(update.lane)
                self._tasks.start(self._deliver(update, webhook))

    async def _deliver(self, update: Update, webhook: Webhook) -> None:
        """Post one update until it is taken; between tries the lane waits."""
        body, pause = json.dumps(update.as_api()).encode(), self.retry
        try:
            while update in self.pending and self.webhook is webhook:
                reply = await self.post(body, secret=webhook.secret, url=webhook.url)
                if reply.is_good:
                    self._taken(update)
                    return
                self.last_error = int(self.now()), reply.error
                self.on_change()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY)
        finally:
            self._busy.discard(update.lane)
            self._pump()

    def _taken(self, update: Update) -> None:
        if update in self.pending:
            self.pending.remove(update)
        self.on_change()

    async def close(self) -> None:
        """End long polls, posts and the client at once."""
        self._closed = True
        if self._poll is not None:
            self._poll.news.set()
        await self._tasks.close()
        if self._session is not None:
            await self._session.close()


def _integer(params: Mapping[str, Any], name: str, default: int) -> int:
    value = params.get(name, default)
    return value if isinstance(value, int) else default


def _check_loopback(url: str) -> None:
    """The simulator calls nobody but this machine."""
    host = urlsplit(url).hostname or ""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise bad_request("bad webhook: the simulator posts to loopback addresses only")
