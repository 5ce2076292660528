"""Private words and dialogs when Slack asks for a pause: tried again, where that still makes sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler

if TYPE_CHECKING:
    from slack_sdk.http_retry import HttpResponse

LONGEST = 30
"""Seconds: who pressed reads an answer that comes later with somebody else's eyes."""


class Patience(AsyncRateLimitErrorRetryHandler):
    """Honours a Retry-After of up to `LONGEST`, once; a call's own deadline holds besides."""

    async def _can_retry_async(self, *, response: HttpResponse | None = None, **asked: Any) -> bool:
        if response is None or not await super()._can_retry_async(response=response, **asked):
            return False
        headers = {name.lower(): values for name, values in response.headers.items()}
        value = next(iter(headers.get("retry-after", ())), "1")
        return value.isascii() and value.isdigit() and int(value[:6]) <= LONGEST
