"""How updates reach the bot: by long polling or by webhook, never both (getUpdates, setWebhook and kin).

An update is kept until it is confirmed (polling: a later offset; webhook: a 2xx answer) or a day old.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.simulator.telegram.errors import (
    OTHER_POLLER,
    WEBHOOK_IS_ACTIVE,
    WEBHOOK_WAS_SET,
    ApiError,
    conflict,
)
from bot.simulator.telegram.limits import POLL_SECONDS, UPDATES_PER_CALL
from bot.simulator.telegram.updates import Update, UpdateQueue
from bot.simulator.telegram.webhook import Webhook, WebhookPoster, WebhookReply, read_webhook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


@dataclass(slots=True)
class Poll:
    """One getUpdates that waits."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: ApiError | None = None

    def end(self, reason: ApiError) -> None:
        self.ended = reason
        self.news.set()


class Delivery:
    """The one way in which the queue of updates is emptied. `on_change` is called whenever a poll opens, an
    update is taken by the webhook, or the webhook fails."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        on_change: Callable[[], None],
        perform: Callable[[Mapping[str, Any]], Awaitable[None]],
        retry: float,
        public_webhook_rules: bool,
    ) -> None:
        self.updates = UpdateQueue(now=now, on_arrival=self._arrived)
        self._poster = WebhookPoster(updates=self.updates, on_change=on_change, perform=perform, retry=retry)
        self._on_change = on_change
        self._public_rules = public_webhook_rules
        self._poll: Poll | None = None
        self._closed = False

    @property
    def polls_open(self) -> int:
        """How many getUpdates wait now: at most one."""
        return 0 if self._poll is None else 1

    @property
    def webhook(self) -> Webhook | None:
        return self._poster.webhook

    @property
    def last_error(self) -> tuple[int, str] | None:
        """The webhook's last failure since it was set: when, in Unix seconds, and what."""
        return self._poster.last_error

    async def post(self, body: bytes, *, secret: str | None, url: str | None = None) -> WebhookReply:
        """Post these bytes once to the bot's webhook, whatever they are; an empty secret is not sent."""
        address = url or (self.webhook.url if self.webhook else "")
        known = self.webhook.secret if self.webhook else None
        return await self._poster.post(body, secret=known if secret is None else secret, url=address)

    async def close(self) -> None:
        """End long polls, posts and the client at once."""
        self._closed = True
        if self._poll is not None:
            self._poll.news.set()
        await self._poster.close()

    # the Bot API's methods

    async def get_updates(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A newer call ends an older one with 409, as Telegram does; the newer one goes on."""
        if self.webhook is not None:
            raise conflict(WEBHOOK_IS_ACTIVE)
        self.updates.remember_allowed(params.get("allowed_updates"))
        self._end_poll(conflict(OTHER_POLLER))
        self.updates.confirm(_integer(params, "offset", 0))
        limit = min(max(_integer(params, "limit", UPDATES_PER_CALL), 1), UPDATES_PER_CALL)
        seconds = min(max(_integer(params, "timeout", 0), 0), POLL_SECONDS)
        if seconds and not self._closed and not self.updates.has_news():
            await self._news(seconds)
        return [update.as_api() for update in self.updates.ready(limit)]

    def set_webhook(self, params: Mapping[str, Any]) -> bool:
        if not params.get("url"):
            return self.delete_webhook(params)
        webhook = read_webhook(params, public_rules=self._public_rules)
        self.updates.remember_allowed(params.get("allowed_updates"))
        self._drop_if_asked(params)
        self._end_poll(conflict(WEBHOOK_WAS_SET))
        self._poster.use(webhook)
        return True

    def delete_webhook(self, params: Mapping[str, Any]) -> bool:
        self._drop_if_asked(params)
        self._poster.use(None)
        return True

    def webhook_info(self, _: Mapping[str, Any]) -> dict[str, Any]:
        webhook, allowed = self.webhook, self.updates.allowed
        info: dict[str, Any] = {"url": webhook.url if webhook else "", "has_custom_certificate": False}
        info["pending_update_count"] = len(self.updates.waiting)
        info |= {"max_connections": webhook.connections} if webhook else {}
        info |= {"allowed_updates": sorted(allowed)} if allowed is not None else {}
        if self.last_error is not None:
            info["last_error_date"], info["last_error_message"] = self.last_error
        return info

    # inside

    def _arrived(self, update: Update) -> None:
        if self._poll is not None:
            self._poll.news.set()
        self._poster.add(update)

    async def _news(self, seconds: float) -> None:
        """Until there is something, this poll is ended, or the time is over."""
        poll = self._poll = Poll()
        self._on_change()
        try:
            async with asyncio.timeout(seconds):
                await poll.news.wait()
        except TimeoutError:
            return
        finally:
            if self._poll is poll:
                self._poll = None
        if poll.ended is not None:
            raise poll.ended

    def _end_poll(self, reason: ApiError) -> None:
        if self._poll is not None:
            self._poll.end(reason)
            self._poll = None

    def _drop_if_asked(self, params: Mapping[str, Any]) -> None:
        if params.get("drop_pending_updates") is True:
            self.updates.waiting.clear()


def _integer(params: Mapping[str, Any], name: str, default: int) -> int:
    value = params.get(name, default)
    return value if isinstance(value, int) else default
