"""Whether Telegram's updates reach us, and what follows from it where they did not, or a chat has moved."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from telegram.error import TelegramError

from bot.telegram.failures import failure
from bot.telegram.updates import TELEGRAM
from core.errors import Unavailable
from core.model import Recipient
from core.pauses import elapse

if TYPE_CHECKING:
    from datetime import datetime

    from telegram import Bot, Update

    from core.ports import ChatInbox, Clock

log = structlog.get_logger()

KEPT = timedelta(hours=24)
"""How long Telegram keeps updates that nobody fetched (Bot API, "Getting updates")."""
EVERY = timedelta(minutes=10)
"""How often it is noted that we hear: a silence is taken for at most so much longer than it was."""


class Hearing:
    """Notes now and then that we hear; after a silence in which taps were lost, open cards come anew."""

    def __init__(self, *, inbox: ChatInbox, clock: Clock) -> None:
        self._inbox = inbox
        self._clock = clock
        self._noted: datetime | None = None

    async def note(self) -> None:
        """To be called whenever updates could come; it is stored every `EVERY`."""
        now = self._clock.now()
        if self._noted is not None and now - self._noted < EVERY:
            return
        try:
            renewed = await self._inbox.heard(TELEGRAM, kept=KEPT)
        except Unavailable:
            log.warning("hearing_not_noted", channel=TELEGRAM)
            return
        self._noted = now
        if renewed:
            log.warning("cards_posted_anew", channel=TELEGRAM, cards=renewed)

    async def watch(self, bot: Bot) -> None:
        """For ever, for a webhook, which says nothing while nobody presses: ask Telegram whether it gets
        through to us."""
        while True:
            await self._ask(bot)
            await elapse(self._clock, EVERY)

    async def _ask(self, bot: Bot) -> None:
        try:
            info = await bot.get_webhook_info()
        except TelegramError as error:
            log.info("webhook_not_asked_for", channel=TELEGRAM, error=str(failure(error)))
            return
        if info.pending_update_count and info.last_error_date is not None:
            log.warning("webhook_not_reached", channel=TELEGRAM, waiting=info.pending_update_count)
        else:
            await self.note()

    async def moved(self, update: Update, _: object) -> None:
        """A handler, for the message that a group leaves behind. Raises `Unavailable`: it comes again."""
        message = update.message
        if message is not None and message.migrate_to_chat_id is not None:
            place = Recipient(channel=TELEGRAM, address=str(message.chat.id))
            log.warning("place_moved", channel=TELEGRAM, moved_to=message.migrate_to_chat_id)
            await self._inbox.place_moved(place, str(message.migrate_to_chat_id))
