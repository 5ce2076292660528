"""Answers to presses: in our answer to the webhook that brought them, where it waits, else by a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from telegram.error import TelegramError

from bot.telegram.failures import failure
from bot.telegram.updates import TELEGRAM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from telegram import CallbackQuery

    Said: TypeAlias = Mapping[str, str | bool]
    """A call of the Bot API, as a webhook's answer may carry one: `method`, and its parameters."""

log = structlog.get_logger()

SECONDS = 1.0
"""How long a webhook waits for what is said to its press; it is a call of its own from then on."""


class Answers:
    """Telegram takes a call in the answer to a webhook ("Making requests when getting updates"): a quarter of
    what a press costs is a call of its own. Nobody hears what becomes of it, which nobody could mend."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[str, asyncio.Future[Said | None]] = {}

    async def to(self, query_id: str) -> Said | None:
        """What is said to this press in time; None where nothing is, or a call says it.

        Whoever gives it must not have run before this was awaited.
        """
        self.nothing_more(query_id)
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Said | None] = loop.create_future()
        self._waiting[query_id] = waiting
        # The timer ends the wait as an answer does: of the two the first counts, and none is lost.
        timer = loop.call_later(self._seconds, self.nothing_more, query_id)
        try:
            return await waiting
        finally:
            timer.cancel()
            if self._waiting.get(query_id) is waiting:
                del self._waiting[query_id]

    async def give(self, query: CallbackQuery, words: str | None, *, alert: bool) -> bool:
        """Whether it is given, as far as anybody hears of it.

        What was decided stands, whether or not Telegram still takes the answer.
        """
        waiting = self._waiting.pop(query.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(_said(query.id, words, alert=alert))
            return True
        try:
            await query.answer(words, show_alert=alert)
        except TelegramError as error:
            log.info("private_answer_lost", channel=TELEGRAM, error=str(failure(error)))
            return False
        return True

    def nothing_more(self, query_id: str) -> None:
        """Nobody is to wait any longer for what is said to this press."""
        waiting = self._waiting.pop(query_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


def _said(query_id: str, words: str | None, *, alert: bool) -> Said:
    said: dict[str, str | bool] = {"method": "answerCallbackQuery", "callback_query_id": query_id}
    if words is not None:
        said["text"] = words
    if alert:
        said["show_alert"] = True
    return said
