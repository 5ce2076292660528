"""Why somebody rejects, or approves: a question under the card, kept until it is answered or expires."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from telegram import Message, ReplyParameters
from telegram.constants import ChatType
from telegram.error import TelegramError

from bot.answers import sentence, thanks
from bot.buttons import Action
from bot.cards import url_of
from bot.markup import NO_PREVIEW
from bot.telegram.failures import failure
from bot.telegram.places import copy_of, parts, ref_of, topic_of
from bot.telegram.prompts import MINUTES, question, reply_field, request_for_reason
from bot.telegram.updates import TELEGRAM
from core.errors import CountersignError, Invalid, NotAReviewer, Unavailable
from core.model import Dialog

if TYPE_CHECKING:
    from telegram import Bot, CallbackQuery, ForceReply, InlineKeyboardMarkup, MaybeInaccessibleMessage, User

    from bot.buttons import Buttons, Press
    from bot.markup import Markup
    from core.model import PersonId, ReviewId, ReviewRequest, Verdict
    from core.ports import Clock, Dialogs
    from core.service import Service

log = structlog.get_logger()

NO_QUESTION = "Nothing was changed: Telegram could not ask you why. Please use the task's page instead."
OVER = "This question is over. Please press the button on the card again."
NO_WORDS = (
    "Nothing was changed: a reason is asked for, and none can be written here. Please use the task's page, "
    "or press Start in a chat with me and then the button again."
)
UNCHANGED = "Nothing was changed."
IN_WORDS = "Please answer in words: reply to the question with a text message."


class Reasons:
    """Asks, and takes the answers of the person asked."""

    def __init__(
        self,
        *,
        service: Service,
        buttons: Buttons,
        dialogs: Dialogs,
        bot: Bot,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._service = service
        self._buttons = buttons
        self._dialogs = dialogs
        self._bot = bot
        self._clock = clock
        self._public_url = public_url

    async def ask(self, query: CallbackQuery, said: Press, person: PersonId, verdict: Verdict) -> None:
        """Put the question; raises where this person may not decide."""
        card = query.message
        review = await self._service.check_may_decide(said.review, person, via=TELEGRAM, copy=copy_of(card))
        if card is None:
            raise Invalid(NO_QUESTION)
        may_write = card.chat.type != ChatType.CHANNEL
        if not may_write and await self._ask_privately(query, said, review, person, verdict):
            return
        if not may_write and review.policy.asks_why(verdict) and not review.policy.quick_reasons:
            raise Invalid(NO_WORDS)
        asked = question(review, said, query.from_user, self._buttons, verdict=verdict, may_write=may_write)
        prompt = await self._send(asked, asked.keyboard, to=card)
        await self._open(prompt, review, person, verdict)

    async def _ask_privately(
        self, query: CallbackQuery, said: Press, review: ReviewRequest, person: PersonId, verdict: Verdict
    ) -> bool:
        """In their own chat with the bot: in a channel nobody can answer in words, and everybody reads along.

        False where they never started one.
        """
        asked = question(review, said, query.from_user, self._buttons, verdict=verdict, may_write=True)
        try:
            prompt = await self._bot.send_message(
                query.from_user.id,
                asked.text,
                entities=asked.entities,
                reply_markup=asked.keyboard,
                link_preview_options=NO_PREVIEW,
            )
        except TelegramError as error:
            log.info("question_not_sent", channel=TELEGRAM, error=str(failure(error)))
            return False
        await self._open(prompt, review, person, verdict)
        return True

    async def pressed(self, query: CallbackQuery, said: Press, person: PersonId) -> str | None:
        """The words for who pressed a button of a question; None where another message follows."""
        prompt = query.message
        dialog = None if prompt is None else await self._dialogs.dialog(TELEGRAM, ref_of(prompt))
        if prompt is None or dialog is None or dialog.review != said.review:
            # nothing is tidied up: a client can name any message, a card of ours too
            raise Invalid(OVER)
        self._check_asked(dialog, person)
        try:
            return await self._follow(query, said, dialog, prompt)
        except Unavailable:
            raise
        except CountersignError:
            await self._end(dialog)
            raise

    async def replied(self, reply: Message, person: PersonId | None) -> None:
        """What `person` (None: nobody we know) wrote in answer to some message; only questions count."""
        if reply.reply_to_message is None:
            return
        dialog = await self._dialogs.dialog(TELEGRAM, ref_of(reply.reply_to_message))
        if dialog is None:
            return
        try:
            self._check_asked(dialog, person)
        except NotAReviewer as error:
            await self._tell(reply.from_user, sentence(error))
            return
        if words := (reply.text or "").strip():
            await self._take_words(reply, words, dialog)
        else:
            await self._tell(reply.from_user, IN_WORDS)

    async def _take_words(self, reply: Message, words: str, dialog: Dialog) -> None:
        """Here is no press to be answered in private, so a refusal goes where Telegram lets it."""
        try:
            await self._service.decide(
                dialog.review, dialog.person, dialog.verdict, comment=words, via=TELEGRAM
            )
        except Unavailable:
            raise
        except CountersignError as error:
            if not await self._tell(reply.from_user, sentence(error)):
                await self._tell_in_reply(reply, sentence(error))
        await self._end(dialog)

    async def _follow(
        self, query: CallbackQuery, said: Press, dialog: Dialog, prompt: MaybeInaccessibleMessage
    ) -> str | None:
        if said.action is Action.NEVER_MIND:
            await self._end(dialog)
            return UNCHANGED
        card = prompt.reply_to_message if isinstance(prompt, Message) else None
        if said.action is Action.GIVE_REASON:
            await self._ask_in_words(query.from_user, dialog, card or prompt)
            return None
        comment = await self._chosen(said) if said.action is Action.CHOOSE else None
        review = await self._service.decide(
            dialog.review, dialog.person, dialog.verdict, comment=comment, via=TELEGRAM, copy=copy_of(card)
        )
        await self._end(dialog)
        return thanks(review, dialog.verdict)

    async def _chosen(self, said: Press) -> str | None:
        """What the button stood for, by the policy that the review keeps."""
        reasons = (await self._service.review(said.review)).policy.quick_reasons
        return reasons[said.choice] if said.choice < len(reasons) else None

    async def _ask_in_words(self, user: User, dialog: Dialog, to: MaybeInaccessibleMessage) -> None:
        """A second message, because an edit cannot open somebody's reply field."""
        review = await self._service.check_may_decide(dialog.review, dialog.person, via=TELEGRAM)
        asked = request_for_reason(review, user, dialog.verdict)
        sent = await self._send(asked, reply_field(dialog.verdict), to=to)
        await self._open(sent, review, dialog.person, dialog.verdict)
        await self._end(dialog)

    def _check_asked(self, dialog: Dialog, person: PersonId | None) -> None:
        if dialog.person != person:
            asked = self._service.person(dialog.person)
            raise NotAReviewer(f"Only {asked.name if asked else dialog.person} can answer this question.")

    async def _open(self, prompt: Message, review: ReviewRequest, person: PersonId, verdict: Verdict) -> None:
        dialog = Dialog(
            message=ref_of(prompt),
            channel=TELEGRAM,
            review=review.id,
            person=person,
            verdict=verdict,
            expires_at=self._clock.now() + timedelta(minutes=MINUTES),
        )
        await self._dialogs.open_dialog(dialog)

    async def _end(self, dialog: Dialog) -> None:
        """The answer is durable by now; a question that stays standing is only untidy."""
        await self._dialogs.close_dialog(TELEGRAM, dialog.message)
        chat_id, message_id = parts(dialog.message)
        try:
            await self._bot.delete_message(chat_id, message_id)
        except TelegramError as error:
            log.info("question_not_removed", message=dialog.message, error=str(failure(error)))

    async def _send(
        self,
        asked: Markup,
        keyboard: InlineKeyboardMarkup | ForceReply | None,
        *,
        to: MaybeInaccessibleMessage,
    ) -> Message:
        try:
            return await self._bot.send_message(
                to.chat.id,
                asked.text,
                entities=asked.entities,
                reply_markup=keyboard,
                reply_parameters=ReplyParameters(to.message_id, allow_sending_without_reply=True),
                message_thread_id=topic_of(to),
                link_preview_options=NO_PREVIEW,
            )
        except TelegramError as error:
            log.warning("question_not_sent", channel=TELEGRAM, error=str(failure(error)))
            raise Invalid(NO_QUESTION) from error

    async def send_to_page(self, user: User, words: str, review_id: ReviewId) -> None:
        """The same words again, where Telegram allows it, with an address that can be followed."""
        try:
            review = await self._service.review(review_id)
        except CountersignError:
            return
        await self._tell(user, f"{words}\n{url_of(review.task.id, self._public_url)}")

    async def _tell(self, user: User | None, words: str) -> bool:
        """In their own chat with the bot, which Telegram allows with whoever has started it."""
        if user is None:
            return False
        try:
            await self._bot.send_message(user.id, words, link_preview_options=NO_PREVIEW)
        except TelegramError as error:
            log.info("private_answer_lost", channel=TELEGRAM, error=str(failure(error)))
            return False
        return True

    async def _tell_in_reply(self, message: Message, words: str) -> None:
        try:
            await message.reply_text(words, do_quote=True)
        except TelegramError as error:
            log.info("answer_lost", channel=TELEGRAM, error=str(failure(error)))
