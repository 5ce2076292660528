"""`POST /telegram/webhook`: lets in who knows the secret, and answers 200 once the update is stored,
with what is said to a press."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from bot.bodies import read_body
from bot.telegram.payloads import Unreadable
from bot.telegram.updates import TELEGRAM
from core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.telegram.updates import Intake

log = structlog.get_logger()

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name


class Door:
    """Handles the route; `intake` gives None while we do not listen."""

    def __init__(self, *, secret: bytes, intake: Callable[[], Intake | None]) -> None:
        self._secret = secret
        self._intake = intake

    async def handle(self, request: web.Request) -> web.Response:
        if not self._knows_secret(request):
            log.warning("callback_refused", channel=TELEGRAM, reason="secret")
            return web.Response(status=401)
        raw = _json_object(await read_body(request))
        if raw is None:
            log.warning("callback_refused", channel=TELEGRAM, reason="malformed")
            return web.Response(status=400)
        return await self._taken(raw)

    def _knows_secret(self, request: web.Request) -> bool:
        said = request.headers.get(SECRET_HEADER, "").encode("utf-8", "surrogateescape")
        # bytes, because compare_digest refuses strings that are not ASCII
        return hmac.compare_digest(said, self._secret)

    async def _taken(self, raw: dict[str, Any]) -> web.Response:
        intake = self._intake()
        if intake is None:
            return web.Response(status=503, headers={"Retry-After": "2"})
        try:
            said = await intake.take_and_hear(raw)
        except Unreadable as error:
            log.warning("update_refused", channel=TELEGRAM, update_id=error.update_id, reason="malformed")
            # Telegram sends again what is not answered with 200; this will not get better
            return web.Response(status=400 if error.update_id is None else 200)
        except Unavailable as error:
            log.warning("update_not_stored", channel=TELEGRAM)
            seconds = max(1, round(error.retry_after.total_seconds()))
            return web.Response(status=503, headers={"Retry-After": str(seconds)})
        return web.Response(status=200) if said is None else web.json_response(said)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None
