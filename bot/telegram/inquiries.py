"""Ask, in Telegram: what a reviewer replies to us is asked; what the submitter replies to that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.answers import ANONYMOUS, sentence, unlisted
from bot.telegram.desk import check_words, place_for_words
from bot.telegram.payloads import PREFIX
from bot.telegram.places import is_somebody, parts, place_of
from bot.telegram.prompts import reply_field, request_for_question
from bot.telegram.updates import TELEGRAM
from core.errors import CountersignError, Invalid, NotAReviewer, NotTheSubmitter, Unavailable
from core.model import Asks, Verdict

if TYPE_CHECKING:
    from telegram import CallbackQuery, Message

    from bot.buttons import Press
    from bot.telegram.desk import Desk
    from core.model import Delivery, Dialog, PersonId, Question
    from core.service import Service


UNKNOWN = (
    "Nothing was recorded: nobody knows any more which question that answers. Please reply to the newest "
    "message that asks it, or answer on its page."
)


class Inquiries:
    """Takes what reviewers ask and submitters answer. Neither decides anything."""

    def __init__(self, *, service: Service, desk: Desk) -> None:
        self._service = service
        self._questions = service.questions
        self._desk = desk

    async def ask(self, query: CallbackQuery, said: Press, person: PersonId) -> None:
        """Ask what they want to know; raises where this person may not ask."""
        review = await self._questions.check_may_ask(said.review, person)
        card = place_for_words(query.message)
        asked = request_for_question(review, query.from_user)
        opens = self._desk.opens(review, person, Verdict.EDIT, asks=Asks.QUESTION)
        await self._desk.ask(asked, reply_field("Your question"), opens, to=card)

    async def take_question(self, reply: Message, words: str, dialog: Dialog) -> None:
        """Handed to the submitter; the same dialog asks once."""
        key = f"{TELEGRAM}:{dialog.message}"
        try:
            await self._questions.ask(dialog.review, dialog.person, words, via=TELEGRAM, key=key)
        except Unavailable:
            raise
        except CountersignError as error:
            await self._desk.refuse(reply, error, dialog.review)
        await self._desk.end(dialog)

    async def take_answer(self, reply: Message, words: str, asked: Question, person: PersonId | None) -> None:
        """What somebody (None: nobody we know) wrote in reply to a question; of a picture no words."""
        if not is_somebody(reply):
            await self._desk.refuse(reply, NotAReviewer(ANONYMOUS))
            return
        if person is None:
            user = reply.from_user
            await self._desk.tell(user, sentence(unlisted(user.id if user else "unknown", PREFIX)))
            return
        try:
            try:
                check_words(words)
            except Invalid:
                await self._questions.check_may_answer(asked.id, person)
                raise
            await self._questions.answer(asked.id, person, words, via=TELEGRAM)
        except Unavailable:
            raise
        except NotTheSubmitter as error:
            # people may talk below a question; that is not worth a message that all of them read
            await self._desk.tell(reply.from_user, sentence(error), asked.review)
        except CountersignError as error:
            await self._desk.refuse(reply, error, asked.review)

    async def take_stray(self, reply: Message, person: PersonId) -> None:
        """What was replied to a message of ours of which nothing is known: perhaps a question whose post was
        cut off, perhaps something that is never noted.

        Only who has been asked something in this chat and has not answered is told anything.
        """
        waiting = [
            asked
            for asked in await self._questions.for_submitter(person)
            if await self._is_asked_in(asked, reply)
        ]
        if waiting:
            of = waiting[0].review if len(waiting) == 1 else None
            await self._desk.refuse(reply, Invalid(UNKNOWN), of)

    async def _is_asked_in(self, asked: Question, reply: Message) -> bool:
        """Whether its task has something in the chat of the reply."""
        told = await self._service.deliveries(asked.task)
        return any(one.recipient.channel == TELEGRAM and _chat(one) == reply.chat.id for one in told)


def _chat(told: Delivery) -> int | str:
    """The address may be a name, and then only a message in it says which chat that is."""
    return place_of(told.recipient.address).chat if told.message is None else parts(told.message)[0]
