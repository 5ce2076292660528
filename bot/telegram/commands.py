"""`/away` and `/back`, answered where they were typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from telegram.error import TelegramError

from bot.absence import Absences
from bot.answers import ANONYMOUS, STRANGER
from bot.markup import NO_PREVIEW
from bot.telegram.failures import failure
from bot.telegram.places import is_anonymous
from bot.telegram.updates import COMMAND, TELEGRAM
from core.errors import CountersignError, Invalid, NotAReviewer, Unavailable

if TYPE_CHECKING:
    from telegram import Message, Update

    from bot.people import Directory
    from core.model import PersonId
    from core.service import Service

log = structlog.get_logger()

NO_NAMES = "Telegram does not tell bots whose @name that is: write the person's name instead."


class Commands:
    """The handler; called by python-telegram-bot with the update."""

    def __init__(self, *, service: Service, people: Directory) -> None:
        self._people = people
        self._absences = Absences(service=service, people=people)

    async def typed(self, update: Update, _: object) -> None:
        """Raises `Unavailable`: what was typed is stored, and comes again."""
        message = update.message
        found = COMMAND.match(message.text or "") if message else None
        if message is None or found is None:
            return
        name = message.get_bot().username
        if found[2] and found[2].lower() != name.lower():
            return
        try:
            words = await self._act(message, found[1].lower(), found[3] or "")
        except Unavailable:
            raise
        except CountersignError as error:
            words = str(error)
        await self._reply(message, words)

    async def _act(self, message: Message, word: str, rest: str) -> str:
        person = self._person(message)
        if word == "back":
            return await self._absences.back(person)
        if rest.lstrip().startswith("@"):
            raise Invalid(NO_NAMES)
        return await self._absences.away(person, rest, prefix="/")

    def _person(self, message: Message) -> PersonId:
        user = message.from_user
        if user is None or message.sender_chat is not None or is_anonymous(user):
            raise NotAReviewer(ANONYMOUS)
        person = self._people.telegram_person(user.id)
        if person is None:
            log.info("stranger_refused", channel=TELEGRAM, user=user.id)
            raise NotAReviewer(STRANGER.format(user.id))
        return person

    async def _reply(self, message: Message, words: str) -> None:
        try:
            await message.reply_text(words, do_quote=True, link_preview_options=NO_PREVIEW)
        except TelegramError as error:
            log.info("answer_lost", channel=TELEGRAM, error=str(failure(error)))
