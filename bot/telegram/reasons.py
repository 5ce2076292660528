"""Why somebody decides: a question under the card, kept until it is answered or expires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram import Message
from telegram.constants import ChatType

from bot.answers import thanks
from bot.buttons import Action
from bot.telegram.copies import IN_QUESTIONS, pressed_copy, quoted_copy
from bot.telegram.desk import NO_QUESTION, OVER, UNCHANGED
from bot.telegram.prompts import question, reply_field, request_for_reason
from bot.telegram.updates import TELEGRAM
from core.errors import CountersignError, Invalid, Unavailable

if TYPE_CHECKING:
    from telegram import CallbackQuery, MaybeInaccessibleMessage, User

    from bot.buttons import Buttons, Press
    from bot.telegram.desk import Desk
    from core.model import Dialog, Json, PersonId, ReviewRequest, Verdict
    from core.service import Service

NO_WORDS = (
    "Nothing was changed: a reason is asked for, and none can be written here. Please use the task's page, "
    "or press Start in a chat with me and then the button again."
)
ANSWERS = IN_QUESTIONS - {Action.CONFIRM}
"""The buttons of a question."""


class Reasons:
    """Asks, and takes the answers of the person asked."""

    def __init__(self, *, service: Service, buttons: Buttons, desk: Desk) -> None:
        self._service = service
        self._buttons = buttons
        self._desk = desk

    async def ask(self, query: CallbackQuery, said: Press, person: PersonId, verdict: Verdict) -> None:
        """Put the question under a card; raises where this person may not decide."""
        card = query.message
        copy = await pressed_copy(query, said.review, self._service)
        review = await self._service.check_may_decide(said.review, person, via=TELEGRAM, copy=copy)
        if card is None:
            raise Invalid(NO_QUESTION)
        may_write = card.chat.type != ChatType.CHANNEL
        if not may_write and await self._ask_privately(query.from_user, said, review, person, verdict):
            return
        await self._put(query.from_user, said, review, person, verdict, to=card)

    async def ask_of_edit(self, query: CallbackQuery, said: Press, dialog: Dialog) -> None:
        """Put the question to somebody who has confirmed an edit."""
        review = await self._service.check_may_decide(said.review, dialog.person, via=TELEGRAM)
        shown = query.message
        to = (shown.reply_to_message if isinstance(shown, Message) else None) or shown
        if to is None:
            raise Invalid(NO_QUESTION)
        await self._put(
            query.from_user, said, review, dialog.person, dialog.verdict, to=to, content=dialog.content
        )

    async def _put(
        self,
        user: User,
        said: Press,
        review: ReviewRequest,
        person: PersonId,
        verdict: Verdict,
        *,
        to: MaybeInaccessibleMessage,
        content: Json = None,
    ) -> None:
        may_write = to.chat.type != ChatType.CHANNEL
        if not may_write and review.policy.asks_why(verdict) and not review.policy.quick_reasons:
            raise Invalid(NO_WORDS)
        asked = question(review, said, user, self._buttons, verdict=verdict, may_write=may_write)
        opens = self._desk.opens(review, person, verdict, content=content)
        await self._desk.ask(asked, asked.keyboard, opens, to=to)

    async def _ask_privately(
        self, user: User, said: Press, review: ReviewRequest, person: PersonId, verdict: Verdict
    ) -> bool:
        """In their own chat with the bot: in a channel nobody can answer in words, and everybody reads along.

        False where they never started one.
        """
        asked = question(review, said, user, self._buttons, verdict=verdict, may_write=True)
        opens = self._desk.opens(review, person, verdict)
        return await self._desk.ask_privately(asked, asked.keyboard, opens, user)

    async def pressed(
        self, query: CallbackQuery, said: Press, dialog: Dialog, prompt: MaybeInaccessibleMessage
    ) -> str | None:
        """The words for who pressed a button of a question; None where another message follows."""
        if said.action not in ANSWERS:
            raise Invalid(OVER)
        async with self._desk.answering(dialog):
            return await self._follow(query, said, dialog, prompt)

    async def take_words(self, reply: Message, words: str, dialog: Dialog) -> None:
        """What the person asked wrote in answer."""
        try:
            await self._service.decide(
                dialog.review,
                dialog.person,
                dialog.verdict,
                comment=words,
                content=dialog.content,
                via=TELEGRAM,
            )
        except Unavailable:
            raise
        except CountersignError as error:
            await self._desk.refuse(reply, error, dialog.review)
        await self._desk.end(dialog)

    async def _follow(
        self, query: CallbackQuery, said: Press, dialog: Dialog, prompt: MaybeInaccessibleMessage
    ) -> str | None:
        if said.action is Action.NEVER_MIND:
            return UNCHANGED
        above = prompt.reply_to_message if isinstance(prompt, Message) else None
        if said.action is Action.GIVE_REASON:
            await self._ask_in_words(query.from_user, dialog, above or prompt)
            return None
        comment = await self._chosen(said) if said.action is Action.CHOOSE else None
        review = await self._service.decide(
            dialog.review,
            dialog.person,
            dialog.verdict,
            comment=comment,
            content=dialog.content,
            via=TELEGRAM,
            copy=quoted_copy(above, dialog.review, self._buttons),
        )
        return thanks(review, dialog.verdict)

    async def _chosen(self, said: Press) -> str | None:
        """What the button stood for, by the policy that the review keeps."""
        reasons = (await self._service.review(said.review)).policy.quick_reasons
        return reasons[said.choice] if said.choice < len(reasons) else None

    async def _ask_in_words(self, user: User, dialog: Dialog, to: MaybeInaccessibleMessage) -> None:
        """A second message, because an edit cannot open somebody's reply field."""
        review = await self._service.check_may_decide(dialog.review, dialog.person, via=TELEGRAM)
        asked = request_for_reason(review, user, dialog.verdict)
        opens = self._desk.opens(review, dialog.person, dialog.verdict, content=dialog.content)
        await self._desk.ask(asked, reply_field(f"Why do you {dialog.verdict} it?"), opens, to=to)
