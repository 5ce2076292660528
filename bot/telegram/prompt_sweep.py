"""Takes the buttons off questions that nobody can answer any more, says why, and takes them away later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from telegram.error import TelegramError

from bot.markup import NO_PREVIEW
from bot.telegram.desk import why_over
from bot.telegram.failures import changed_nothing, failure, is_gone
from bot.telegram.places import parts, place_of
from bot.telegram.updates import TELEGRAM
from core.defects import defect
from core.errors import RateLimited, Unavailable, Unreachable
from core.model import Asks
from core.outages import Outage
from core.pauses import elapse

if TYPE_CHECKING:
    from collections.abc import Callable

    from telegram import Bot

    from bot.telegram.places import Place
    from core.model import Dialog
    from core.ports import Clock, Dialogs
    from core.service import Service

log = structlog.get_logger()

EVERY = timedelta(seconds=2)
"""Between two looks: so soon the card itself is to show a decision."""
PAGE = 100
"""Prompts of one look. The next goes on behind them, and after the last one anew: however many cannot be
changed yet, they hold up no other."""
BY_REPLY = frozenset({Asks.TEXT, Asks.QUESTION})
"""What is answered by a reply: who replies too late is told. Telegram edits no message with a ForceReply (Bot
API, "Updating messages")."""


class PromptSweep:
    """`run` it in one replica. It is safe to be done twice."""

    def __init__(
        self,
        *,
        service: Service,
        dialogs: Dialogs,
        bot: Bot,
        clock: Clock,
        take_turn: Callable[[Place], object],
    ) -> None:
        """`take_turn` counts an edit in a place, and raises `RateLimited` where its limits allow none now."""
        self._service = service
        self._dialogs = dialogs
        self._bot = bot
        self._clock = clock
        self._take_turn = take_turn
        self._closed_until: dict[Place, timedelta] = {}
        """Where Telegram asked for a pause."""
        self._last: Dialog | None = None
        """The one that was looked at last, until they begin anew."""
        self._outage = Outage("prompts_not_ended", channel=TELEGRAM)

    async def run(self) -> None:
        """For ever."""
        while True:
            await elapse(self._clock, EVERY)
            begins_anew = self._last is None
            try:
                await self._sweep()
                if begins_anew:  # one behind what has failed says nothing of it
                    self._outage.over()
            except (Unavailable, Unreachable) as error:
                self._outage.failed(error)
            except Exception as error:  # noqa: BLE001 - a defect must not end it: buttons would stay that do nothing
                log.error("prompts_not_ended", channel=TELEGRAM, **defect(error))

    async def _sweep(self) -> None:
        now = self._clock.steady()
        self._closed_until = {place: until for place, until in self._closed_until.items() if until > now}
        found = await self._dialogs.ended_dialogs(TELEGRAM, after=self._last, limit=PAGE)
        for dialog in found:
            # Also where it fails: what always does stands in nobody's way.
            self._last = dialog
            place = place_of(dialog.message.partition("/")[0])
            if place in self._closed_until:
                continue
            try:
                await self._end(dialog, place)
            except RateLimited as error:
                if error.whole_channel:
                    return
                self._closed_until[place] = now + error.retry_after
        if len(found) < PAGE:
            self._last = None

    async def _end(self, dialog: Dialog, place: Place) -> None:
        """Raises `RateLimited`, `Unreachable` and `Unavailable`: it is left for later."""
        if dialog.ended_at is not None:
            await self._take_away(dialog, place)
            return
        if dialog.asks not in BY_REPLY:
            words = await why_over(self._service, dialog.review)
            self._take_turn(place)
            await self._change(dialog, words)
        await self._dialogs.prompt_ended(TELEGRAM, dialog.message)

    async def _take_away(self, dialog: Dialog, place: Place) -> None:
        """Where Telegram refuses that, as of what is older than 48 hours, at least its buttons go.

        In the same turn: a chat that leaves us one at a time would never leave it another.
        """
        self._take_turn(place)
        try:
            await self._bot.delete_message(*parts(dialog.message))
        except TelegramError as error:
            failed = failure(error)
            if isinstance(failed, (RateLimited, Unreachable)):
                raise failed from error
            log.info("question_not_removed", channel=TELEGRAM, message=dialog.message, error=str(failed))
            if not is_gone(error) and dialog.asks not in BY_REPLY:
                await self._change(dialog, await why_over(self._service, dialog.review))
        await self._dialogs.close_dialog(TELEGRAM, dialog.message)

    async def _change(self, dialog: Dialog, words: str) -> None:
        chat_id, message_id = parts(dialog.message)
        try:
            await self._bot.edit_message_text(
                words, chat_id=chat_id, message_id=message_id, link_preview_options=NO_PREVIEW
            )
        except TelegramError as error:
            if changed_nothing(error):
                return
            failed = failure(error)
            if isinstance(failed, (RateLimited, Unreachable)):
                raise failed from error
            # answered in this moment, asked with a ForceReply, or in a chat that is closed to us
            log.info("prompt_not_changed", channel=TELEGRAM, message=dialog.message, error=str(failed))
