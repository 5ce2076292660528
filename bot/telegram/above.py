"""The message of ours that somebody replies to: which review it is about, also before its id is stored.

Telegram shows people a message before it tells us its id, and that answer may be late, or lost: then the card
is posted again, and nobody knows of the first copy. But Telegram quotes the message whole, with its buttons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bot.telegram.places import ref_of
from bot.telegram.updates import TELEGRAM
from core.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from telegram import Message

    from bot.buttons import Buttons
    from core.model import ReviewRequest
    from core.ports import Clock
    from core.service import Service

KNOWN_BY = timedelta(minutes=1)
"""So long after a message of ours was posted its id is stored, or never will be: a call ends within half of
that (`core.delivering.CALL`)."""


class NotKnownYet(Unavailable):
    """What a message of ours is about may be known in a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """Reads what Telegram quotes of a message that somebody replies to."""

    service: Service
    buttons: Buttons
    clock: Clock

    async def review(self, message: Message) -> ReviewRequest | None:
        """The review whose card that is, or the newest of the task that it tells of; else None."""
        known = await self.service.shown_at(TELEGRAM, ref_of(message))
        return known or await self._named_by_buttons(message)

    def check_known(self, message: Message) -> bool:
        """Whether it is ours, and nothing will ever be known of it. Raises `NotKnownYet`."""
        if not _is_ours(message):
            return False
        if abs(self.clock.now() - message.date) < KNOWN_BY:
            raise NotKnownYet("What it replies to may not be noted yet.")
        return True

    async def _named_by_buttons(self, message: Message) -> ReviewRequest | None:
        """By a button that we made; nothing is read from what the message says."""
        if message.reply_markup is None or not _is_ours(message):
            return None
        for button in (one for row in message.reply_markup.inline_keyboard for one in row):
            if (said := self.buttons.read(button.callback_data)) is not None:
                try:
                    return await self.service.review(said.review)
                except NotFound:
                    return None
        return None


def _is_ours(message: Message) -> bool:
    return message.from_user is not None and message.from_user.id == message.get_bot().id
