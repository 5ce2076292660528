"""How python-telegram-bot talks to Telegram for us: no bodies in logs, and updates stored on arrival.

Polling confirms an update by asking for the next ones. So they are stored before python-telegram-bot sees the
answer at all; what it sees are bare update ids, which move its offset and are handled by nobody.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from telegram.error import TelegramError

from bot.telegram.connection import AiohttpRequest
from bot.telegram.failures import UNAUTHORIZED, PollFailed
from bot.telegram.payloads import Unreadable, sender_of
from bot.telegram.updates import TELEGRAM
from core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = structlog.get_logger()

NOT_STORED = "What Telegram brings cannot be stored now, and is not confirmed."
LONGEST_PAUSE = timedelta(days=1)
"""Whatever Telegram asks for, or what answers in its place: then it is tried again."""
LONGEST_SILENCE = timedelta(minutes=1)
"""Of polls: meanwhile we hear nobody."""
UNTOLD_PAUSE = timedelta(minutes=1)
"""Where a pause is asked for in no number."""


class QuietRequest(AiohttpRequest):
    """An answer that is not JSON is an error, and no line in the log."""

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        return answer_of(payload, LONGEST_PAUSE)


def answer_of(payload: bytes, longest_pause: timedelta) -> dict[str, Any]:
    """The JSON of an answer, with such parameters as python-telegram-bot can read. Raises `TelegramError`."""
    try:
        answer = json.loads(payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise TelegramError("Invalid server response") from None
    if not isinstance(answer, dict):
        raise TelegramError("Invalid server response")
    if "parameters" in answer:
        answer["parameters"] = _parameters(answer["parameters"], longest_pause)
    return answer


def _parameters(found: object, longest_pause: timedelta) -> dict[str, int]:
    """Those that the Bot API knows (ResponseParameters). What is no number there ended a call with an error
    of Python's, and so did a pause of a million years."""
    known = found if isinstance(found, dict) else {}
    read: dict[str, int] = {}
    if type(moved_to := known.get("migrate_to_chat_id")) is int:
        read["migrate_to_chat_id"] = moved_to
    if (asked := known.get("retry_after")) is not None:
        seconds = asked if type(asked) is int else int(UNTOLD_PAUSE.total_seconds())
        read["retry_after"] = max(1, min(seconds, int(longest_pause.total_seconds())))
    return read


class KeepingRequest(QuietRequest):
    """For getUpdates alone: `keep` stores one update, or raises `Unreadable` or `Unavailable`.

    `heard` is called after every answer that could bring some.
    """

    def __init__(
        self,
        keep: Callable[[Mapping[str, Any]], Awaitable[None]],
        heard: Callable[[], Awaitable[None]],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._keep = keep
        self._heard = heard

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        return answer_of(payload, LONGEST_SILENCE)

    async def do_request(self, *args: Any, **options: Any) -> tuple[int, bytes]:
        if (poll := asyncio.current_task()) is not None:
            poll.add_done_callback(_looked_at)
        status, payload = await super().do_request(*args, **options)
        if status in {401, 404}:
            # python-telegram-bot would stop polling for ever, because of one answer
            raise PollFailed(UNAUTHORIZED)
        return (status, await self._kept(payload)) if status == 200 else (status, payload)

    async def _kept(self, payload: bytes) -> bytes:
        result = self.parse_json_payload(payload).get("result")
        if not isinstance(result, list):
            return payload
        try:
            ids = await self._keep_all(result)
        except Unavailable as error:
            raise PollFailed(f"{NOT_STORED} {error}") from error
        await self._heard()
        known = [update_id for update_id in ids if update_id is not None]
        if result and not known:
            raise PollFailed("Telegram brings updates without an id, which cannot be confirmed.")
        return json.dumps({"ok": True, "result": [{"update_id": update_id} for update_id in known]}).encode()

    async def _keep_all(self, result: list[Any]) -> list[int | None]:
        """What one person says is stored one after the other, and no further than it can be: what comes again
        would be handled after what they said next."""
        ids: list[int | None] = [None] * len(result)
        lines: dict[int | None, list[int]] = defaultdict(list)
        for place, raw in enumerate(result):
            lines[sender_of(raw)].append(place)

        async def keep(line: list[int]) -> None:
            for place in line:
                ids[place] = await self._keep_one(result[place])

        await asyncio.gather(*(keep(line) for line in lines.values()))
        return ids

    async def _keep_one(self, raw: Any) -> int | None:
        """The id of an update that may be confirmed: it is stored, or will never be readable."""
        try:
            await self._keep(raw)
        except Unreadable as error:
            log.warning("update_refused", channel=TELEGRAM, update_id=error.update_id, reason="malformed")
            return error.update_id
        return int(raw["update_id"])


def _looked_at(poll: asyncio.Task[Any]) -> None:
    """python-telegram-bot does not ask how a poll ended that ends as it stops polling, and asyncio would tell
    of an error that nobody handled: of a replica that was frozen and wakes, as of a defect."""
    if not poll.cancelled():
        poll.exception()
