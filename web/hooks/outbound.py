"""Callbacks: tells a task's `callback_url` that it waits or has ended, signed by Standard Webhooks."""

from __future__ import annotations

import json
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Self

import structlog
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from standardwebhooks import Webhook

from core.errors import DeliveryError, Invalid, RateLimited, Undeliverable, Unreachable, Unwanted
from core.events import Event, ReviewRequested, TaskCancelled, TaskCompleted, TaskFailed
from core.model import ChannelName, MessageRef, Notice, timestamp
from web.hooks.addresses import CallbackGuard, GuardedResolver
from web.schemas import task_json
from web.settings import webhook_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.abc import AbstractResolver

    from core.model import Delivery, Json, Recipient, ReviewRequest
    from core.ports import Clock

log = structlog.get_logger(__name__)

SECONDS = 15
"""Standard Webhooks: 15 to 30 seconds."""
LARGEST = 20_000
"""Standard Webhooks: a payload stays below 20 kB."""
EXCERPT = 2_500
"""Bytes of JSON kept of a text that made the payload too large: one character takes up to twelve."""
LONGEST_PAUSE = timedelta(hours=24)

TYPES: Mapping[type[Event], str] = {
    ReviewRequested: "task.waiting_for_review",
    TaskCompleted: "task.completed",
    TaskFailed: "task.failed",
    TaskCancelled: "task.cancelled",
}


class WebhookChannel:
    """The channel `webhook`: posts notices. Open it with `async with`."""

    name = ChannelName("webhook")

    def __init__(
        self,
        *,
        secret: str,
        guard: CallbackGuard,
        base_url: str,
        clock: Clock,
        resolver: AbstractResolver | None = None,
        carried: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`carried` are headers that hand the present trace on."""
        self._webhook = Webhook(webhook_key(secret))
        self._guard = guard
        self._base_url = base_url
        self._clock = clock
        self._resolver = resolver
        self._carried = carried
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = TCPConnector(
            resolver=GuardedResolver(self._guard, self._resolver),
            use_dns_cache=False,
            limit=50,
            limit_per_host=4,
        )
        self._session = ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=SECONDS),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        """POST the notice; the id is the delivery's, the same on every retry."""
        del thread
        if not isinstance(content, Notice):
            raise Undeliverable("A webhook is told notices, not cards.")
        url = delivery.recipient.address
        try:
            self._guard.check_url(url)
        except Invalid as error:
            raise Undeliverable(str(error)) from error
        await self._send(url, delivery.id, payload(content, base_url=self._base_url))
        return MessageRef(delivery.id)

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        """A notice once told stays as it is."""

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        del recipient, edits
        return 0.0

    async def _send(self, url: str, message_id: str, body: str) -> None:
        if self._session is None:
            raise Unreachable("The webhook channel is not open.")
        try:
            async with self._session.post(
                url, data=body.encode(), headers=self._headers(message_id, body), allow_redirects=False
            ) as response:
                judge(response, self._clock)
                log.info("webhook_sent", delivery_id=message_id, status=response.status)
        except DeliveryError:
            raise
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(
                f"The callback's server could not be reached ({type(error).__name__})."
            ) from None

    def _headers(self, message_id: str, body: str) -> dict[str, str]:
        at = self._clock.now()  # in UTC: the library would sign any other zone's wall time as UTC
        return {
            **self._carried(),
            "Content-Type": "application/json",
            "User-Agent": "countersign",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, at, body),
        }


def judge(response: ClientResponse, clock: Clock) -> None:
    """What an answer's status means for the delivery; its body is never read. Raises `DeliveryError`."""
    status = response.status
    if 200 <= status < 300:
        return
    if status == 410:
        # Standard Webhooks: stop sending; the address was given for this task.
        raise Unwanted("The callback's server says that the address is gone (410).")
    pause = _retry_after(response.headers.get("Retry-After"), clock)
    if status in {429, 503} and pause is not None:
        raise RateLimited(f"The callback's server asks to wait ({status}).", retry_after=pause)
    if 300 <= status < 400:
        raise Unreachable(f"The callback's server redirects ({status}), which is not followed.")
    raise Unreachable(f"The callback's server answered {status}.")


def payload(notice: Notice, *, base_url: str) -> str:
    """`type`, `timestamp` and `data`: the task as the API shows it, with the event's `seq`; below 20 kB."""
    data: dict[str, Json] = {**task_json(notice.task, base_url=base_url), "seq": notice.event.seq}
    message: dict[str, Json] = {
        "type": TYPES[type(notice.event.event)],
        "timestamp": timestamp(notice.event.at),
        "data": data,
    }
    body = json.dumps(message)
    for name in ("input", "draft", "final_result", "metadata", "error", "title"):
        if len(body) < LARGEST:
            break
        _shorten(data, name)
        body = json.dumps(message)
    return body


def _shorten(data: dict[str, Json], name: str) -> None:
    """Cut one field and say so in `truncated`; the whole is at the task's `url`."""
    value = data[name]
    data[name] = _start_of(value) if isinstance(value, str) else None
    if data[name] != value:
        truncated = data.setdefault("truncated", [])
        if isinstance(truncated, list):
            truncated.append(name)


def _start_of(text: str) -> str:
    start = text[:EXCERPT]
    while len(json.dumps(start)) > EXCERPT:
        start = start[: len(start) // 2]
    return start


def _retry_after(header: str | None, clock: Clock) -> timedelta | None:
    """Seconds or an HTTP date, bounded to a day; None where neither is given."""
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return min(timedelta(seconds=int(header[:9])), LONGEST_PAUSE)
    try:
        pause = parsedate_to_datetime(header) - clock.now()
    except (ValueError, TypeError):
        return None
    return min(max(pause, timedelta(0)), LONGEST_PAUSE)
