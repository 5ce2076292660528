"""Approve, in Telegram, what cannot be undone: a question under the card, and a second press."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram import Message
from telegram.constants import ChatType

from bot.answers import thanks
from bot.buttons import Action
from bot.telegram.copies import pressed_copy, quoted_copy
from bot.telegram.desk import NO_QUESTION, OVER, UNCHANGED
from bot.telegram.prompts import are_you_sure
from bot.telegram.updates import TELEGRAM
from core.errors import Invalid
from core.model import Asks, Verdict

if TYPE_CHECKING:
    from telegram import CallbackQuery, MaybeInaccessibleMessage

    from bot.buttons import Buttons, Press
    from bot.telegram.desk import Desk
    from core.model import Dialog, PersonId
    from core.service import Service


class Approvals:
    """Asks whether somebody is sure, and takes a press, by the person asked, for a decision."""

    def __init__(self, *, service: Service, buttons: Buttons, desk: Desk) -> None:
        self._service = service
        self._buttons = buttons
        self._desk = desk

    async def ask(self, query: CallbackQuery, said: Press, person: PersonId) -> None:
        """Put the question under a card; raises where this person may not decide."""
        card = query.message
        copy = await pressed_copy(query, said.review, self._service)
        review = await self._service.check_may_decide(said.review, person, via=TELEGRAM, copy=copy)
        if card is None:
            raise Invalid(NO_QUESTION)
        asked = are_you_sure(review, query.from_user, self._buttons)
        opens = self._desk.opens(review, person, Verdict.APPROVE, asks=Asks.CONSENT)
        is_channel = card.chat.type == ChatType.CHANNEL
        if is_channel and await self._desk.ask_privately(asked, asked.keyboard, opens, query.from_user):
            return
        await self._desk.ask(asked, asked.keyboard, opens, to=card)

    async def pressed(self, said: Press, dialog: Dialog, prompt: MaybeInaccessibleMessage) -> str:
        """The words for who was asked."""
        if said.action not in {Action.CONFIRM, Action.NEVER_MIND}:
            raise Invalid(OVER)
        above = prompt.reply_to_message if isinstance(prompt, Message) else None
        async with self._desk.answering(dialog):
            if said.action is Action.NEVER_MIND:
                return UNCHANGED
            copy = quoted_copy(above, dialog.review, self._buttons)
            review = await self._service.decide(
                dialog.review, dialog.person, dialog.verdict, via=TELEGRAM, copy=copy
            )
            return thanks(review, dialog.verdict)
