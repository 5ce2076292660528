"""`/away`, `/back` and what a card's menu has, answered where they were typed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from telegram import BotCommand
from telegram.constants import ChatType
from telegram.error import TelegramError

from bot.absence import Absences
from bot.answers import ANONYMOUS, STRANGER
from bot.markup import NO_PREVIEW, listed
from bot.menu import Answer, Word
from bot.telegram.failures import failure
from bot.telegram.places import is_anonymous, ref_of
from bot.telegram.updates import COMMAND, TELEGRAM
from core.errors import CountersignError, Invalid, NotAReviewer, Unavailable

if TYPE_CHECKING:
    from telegram import Bot, Message, Update

    from bot.markup import Markup
    from bot.menu import Menu
    from bot.people import Directory
    from core.model import PersonId, ReviewId
    from core.service import Service

log = structlog.get_logger()

PREFIX = "/"
POINTING = "Reply to its card with the command."
NO_NAMES = "Telegram does not tell bots whose @name that is: write the person's name instead."
OFFERED = tuple(
    BotCommand(command, description)
    for command, description in (
        (Word.LOOKING, "Say that you are looking at the review whose card you reply to"),
        (Word.LATER, "Be reminded of it later: 2h, tomorrow, 2026-11-30"),
        (Word.WITHDRAW, "Take back your decision on it, while it is open"),
        ("away", "Say until when you are away, and who decides for you"),
        ("back", "Decide for yourself again"),
    )
)
"""What Telegram lists to whoever types a `/`."""
OFFER_SECONDS = 2.0
"""The longest that telling Telegram of them holds up the start."""


async def offer_commands(bot: Bot) -> None:
    """Tell Telegram what to list, where it lists something else; all works the same without."""
    try:
        async with asyncio.timeout(OFFER_SECONDS):
            if tuple(await bot.get_my_commands()) != OFFERED:
                await bot.set_my_commands(OFFERED)
    except TelegramError as error:
        log.warning("commands_not_offered", channel=TELEGRAM, error=str(failure(error)))
    except TimeoutError:
        log.warning("commands_not_offered", channel=TELEGRAM, error="Telegram did not answer in time.")


class Commands:
    """The handler; called by python-telegram-bot with the update."""

    def __init__(self, *, service: Service, people: Directory, menu: Menu) -> None:
        self._service = service
        self._people = people
        self._menu = menu
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
            word = found[1].lower()
            review = await self._pointed_at(message) if word in tuple(Word) else None
            answer = await self._act(message, word, found[3] or "", review)
        except Unavailable:
            raise
        except CountersignError as error:
            review, answer = None, Answer(line=(str(error),))
        # a group may read what stands on the cards that are in it
        has_titles = review is not None or message.chat.type == ChatType.PRIVATE
        await self._reply(message, listed(answer, has_titles=has_titles))

    async def _act(self, message: Message, word: str, rest: str, review: ReviewId | None) -> Answer:
        person = self._person(message)
        match word:
            case "back":
                return Answer(line=(await self._absences.back(person),))
            case "away":
                if rest.lstrip().startswith("@"):
                    raise Invalid(NO_NAMES)
                return Answer(line=(await self._absences.away(person, rest, prefix=PREFIX),))
            case _:
                return await self._menu.typed(
                    Word(word),
                    rest,
                    person,
                    via=TELEGRAM,
                    prefix=PREFIX,
                    pointing=POINTING,
                    review=review,
                )

    async def _pointed_at(self, message: Message) -> ReviewId | None:
        """The review whose card, or notice, this is a reply to.

        Replies to anything else point at nothing: in a forum every message is one, to its topic's first.
        """
        if message.reply_to_message is None:
            return None
        review = await self._service.shown_at(TELEGRAM, ref_of(message.reply_to_message))
        return None if review is None else review.id

    def _person(self, message: Message) -> PersonId:
        user = message.from_user
        if user is None or message.sender_chat is not None or is_anonymous(user):
            raise NotAReviewer(ANONYMOUS)
        person = self._people.telegram_person(user.id)
        if person is None:
            log.info("stranger_refused", channel=TELEGRAM, user=user.id)
            raise NotAReviewer(STRANGER.format(user.id))
        return person

    async def _reply(self, message: Message, made: Markup) -> None:
        try:
            await message.reply_text(
                made.text, entities=made.entities, do_quote=True, link_preview_options=NO_PREVIEW
            )
        except TelegramError as error:
            log.info("answer_lost", channel=TELEGRAM, error=str(failure(error)))
