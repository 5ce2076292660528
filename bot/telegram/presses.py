"""What happens when somebody in Telegram presses a button or answers a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from telegram.error import TelegramError

from bot.answers import ANONYMOUS, KEPT, LIMIT, STRANGER, UNREADABLE, sentence, thanks
from bot.buttons import Action
from bot.literal import clipped
from bot.menu import ACTIONS
from bot.telegram.failures import failure
from bot.telegram.places import copy_of, is_anonymous
from bot.telegram.updates import TELEGRAM
from core.errors import (
    ConfirmOnPage,
    CountersignError,
    Invalid,
    NotAReviewer,
    ReasonMissing,
    Unavailable,
)
from core.model import Verdict

if TYPE_CHECKING:
    from telegram import CallbackQuery, Update, User

    from bot.buttons import Buttons
    from bot.menu import Menu
    from bot.people import Directory
    from bot.telegram.reasons import Reasons
    from core.model import PersonId
    from core.service import Service

log = structlog.get_logger()


class Presses:
    """The handlers; each is called by python-telegram-bot with the update."""

    def __init__(
        self, *, service: Service, people: Directory, buttons: Buttons, reasons: Reasons, menu: Menu
    ) -> None:
        self._service = service
        self._people = people
        self._buttons = buttons
        self._reasons = reasons
        self._menu = menu

    async def pressed(self, update: Update, _: object) -> None:
        """Raises `Unavailable`: the press is stored, and comes again."""
        query = update.callback_query
        if query is None:
            return
        try:
            words = await self._act(query)
        except Unavailable:
            await self._answer(query, KEPT, alert=True)
            raise
        except ConfirmOnPage as error:
            await self._answer(query, sentence(error), alert=True)
            if said := self._buttons.read(query.data):
                await self._reasons.send_to_page(query.from_user, sentence(error), said.review)
        except CountersignError as error:
            await self._answer(query, sentence(error), alert=True)
        else:
            await self._answer(query, words, alert=False)

    async def replied(self, update: Update, _: object) -> None:
        """Raises `Unavailable`, likewise."""
        message = update.message
        if message is None or message.from_user is None:
            return
        is_somebody = message.sender_chat is None and not is_anonymous(message.from_user)
        person = self._people.telegram_person(message.from_user.id) if is_somebody else None
        await self._reasons.replied(message, person)

    async def _act(self, query: CallbackQuery) -> str | None:
        """What the presser reads once it is done; raises a refusal."""
        said = self._buttons.read(query.data)
        if said is None:
            log.warning("token_refused", channel=TELEGRAM)
            raise Invalid(UNREADABLE)
        person = self._person(query.from_user)
        if said.action in ACTIONS:
            return clipped((await self._menu.pressed(said, person, via=TELEGRAM)).text, LIMIT)
        if said.action is Action.REJECT:
            await self._reasons.ask(query, said, person, Verdict.REJECT)
            return None
        if said.action is not Action.APPROVE:
            return await self._reasons.pressed(query, said, person)
        try:
            review = await self._service.decide(
                said.review, person, Verdict.APPROVE, via=TELEGRAM, copy=copy_of(query.message)
            )
        except ReasonMissing:
            await self._reasons.ask(query, said, person, Verdict.APPROVE)
            return None
        return thanks(review, Verdict.APPROVE)

    def _person(self, user: User) -> PersonId:
        if is_anonymous(user):
            raise NotAReviewer(ANONYMOUS)
        person = self._people.telegram_person(user.id)
        if person is None:
            log.info("stranger_refused", channel=TELEGRAM, user=user.id)
            raise NotAReviewer(STRANGER.format(user.id))
        return person

    async def _answer(self, query: CallbackQuery, words: str | None, *, alert: bool) -> None:
        """What was decided stands, whether or not Telegram still takes the answer."""
        try:
            await query.answer(words, show_alert=alert)
        except TelegramError as error:
            log.info("private_answer_lost", channel=TELEGRAM, error=str(failure(error)))
