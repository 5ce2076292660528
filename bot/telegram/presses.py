"""What happens when somebody in Telegram presses a button or answers a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bot.answers import ANONYMOUS, LIMIT, UNREADABLE, OnThePage, sentence, thanks, unlisted
from bot.buttons import Action
from bot.literal import clipped
from bot.markup import Markup
from bot.menu import ACTIONS
from bot.reception import WORDS_DECIDE_NOTHING, is_consent
from bot.telegram.copies import IN_QUESTIONS, pressed_copy
from bot.telegram.desk import AGAIN, ASKED_ALREADY, CANCEL, OVER, UNCHANGED, check_words, why_over
from bot.telegram.edits import PRESS
from bot.telegram.lately import Lately
from bot.telegram.payloads import PREFIX, tokens_shown
from bot.telegram.places import is_anonymous, is_somebody, ref_of
from bot.telegram.updates import TELEGRAM
from core.errors import (
    ConfirmOnPage,
    CountersignError,
    Invalid,
    NotAReviewer,
    ReasonMissing,
    ReviewIsClosed,
    Unavailable,
)
from core.model import Asks, PersonId, Verdict

if TYPE_CHECKING:
    from telegram import CallbackQuery, MaybeInaccessibleMessage, Message, Update, User

    from bot.buttons import Buttons, Press
    from bot.menu import Menu
    from bot.people import Directory
    from bot.telegram.above import Above
    from bot.telegram.answers import Answers
    from bot.telegram.approvals import Approvals
    from bot.telegram.desk import Desk
    from bot.telegram.edits import Edits
    from bot.telegram.inquiries import Inquiries
    from bot.telegram.reasons import Reasons
    from core.model import Dialog
    from core.ports import Clock
    from core.service import Service

log = structlog.get_logger()

TO_NOTHING = (
    "Nothing was done with that: it replies to no message. If it answers a question, please reply to the "
    "question. /pending lists what waits for you, /help what else I take."
)

ASKING = frozenset({Action.ASK_APPROVE, Action.REJECT, Action.EDIT, Action.ASK})
"""Buttons that are answered by a question."""


class Presses:
    """The handlers; each is called by python-telegram-bot with the update."""

    def __init__(
        self,
        *,
        service: Service,
        people: Directory,
        buttons: Buttons,
        desk: Desk,
        reasons: Reasons,
        approvals: Approvals,
        edits: Edits,
        inquiries: Inquiries,
        menu: Menu,
        answers: Answers,
        above: Above,
        clock: Clock,
    ) -> None:
        self._service = service
        self._people = people
        self._buttons = buttons
        self._desk = desk
        self._reasons = reasons
        self._approvals = approvals
        self._edits = edits
        self._inquiries = inquiries
        self._menu = menu
        self._answers = answers
        self._above = above
        self._told = Lately[PersonId](clock, AGAIN)
        """That they wrote to nobody: one answer to what an app splits, or to several messages in a row."""

    async def pressed(self, update: Update, _: object) -> None:
        """Raises `Unavailable`: the press is stored, and comes again."""
        query = update.callback_query
        if query is None:
            return
        try:
            words = await self._act(query)
        except Unavailable:  # whoever has it come again tells of that, once
            raise
        except (ConfirmOnPage, OnThePage) as error:
            await self._answers.give(query, sentence(error), alert=True)
            if said := self._buttons.read(query.data):
                await self._desk.send_to_page(query.from_user, sentence(error), said.review)
        except CountersignError as error:
            if not await self._answers.give(query, sentence(error), alert=True):
                # Of a press that came late, or was kept over an outage, no card says that it was refused.
                said = self._buttons.read(query.data)
                of = None if said is None else said.review
                await self._desk.tell(query.from_user, sentence(error), of)
        else:
            await self._answers.give(query, words, alert=False)

    async def replied(self, update: Update, _: object) -> None:
        """Raises `Unavailable`, likewise."""
        message = update.message
        if message is None or message.reply_to_message is None:
            return
        async with self._desk.dialog_at(message.reply_to_message) as dialog:
            if dialog is not None:
                await self._take_words(message, dialog)
                return
        await self._take(message, message.reply_to_message, (message.text or "").strip())

    async def written(self, update: Update, _: object) -> None:
        """To the bot alone, and in reply to nothing: perhaps the rest of a new text. Raises `Unavailable`."""
        message = update.message
        if message is None or (person := self._writer(message)) is None:
            return
        if await self._edits.tell_of_rest(message, person) or person in self._told:
            return
        self._told.add(person)
        await self._desk.tell_in_reply(message, Markup(text=TO_NOTHING, entities=()))

    async def brings_text(self, update: Update) -> bool:
        """Whether it is the whole new text that we asked its writer for, and no command, however it begins.

        Raises `Unavailable`, likewise.
        """
        message = update.message
        if message is None:
            return False
        async with self._desk.dialog_at(message.reply_to_message) as dialog:
            is_text = dialog is not None and dialog.asks is Asks.TEXT
            if dialog is None or not is_text or dialog.person != self._writer(message):
                return False
            await self._take_words(message, dialog)
            return True

    async def _take(self, reply: Message, above: Message, words: str) -> None:
        """Only what answers a question of ours, by the person asked, is taken for anything."""
        person = self._writer(reply)
        # Before the question is looked for: what is noted in between is then not taken for a card.
        shown = await self._above.review(above)
        asked = await self._service.questions.told_at(TELEGRAM, ref_of(above))
        if asked is not None:
            await self._inquiries.take_answer(reply, words, asked, person)
        elif person is not None and (late := await self._desk.asked_in_vain(above, person)):
            over = await why_over(self._service, late.review)
            await self._desk.refuse(reply, Invalid(over), late.review)
        elif person is not None and shown is None:
            if not await self._edits.tell_of_rest(reply, person) and self._above.check_known(above):
                await self._inquiries.take_stray(reply, person)
        elif person is not None and shown is not None and shown.is_open and is_consent(words):
            await self._desk.refuse(reply, Invalid(WORDS_DECIDE_NOTHING), shown.id)

    async def _take_words(self, reply: Message, dialog: Dialog) -> None:
        words = (reply.text or "").strip()
        if not is_somebody(reply):
            await self._desk.refuse(reply, NotAReviewer(ANONYMOUS))
            return
        try:
            self._desk.check_asked(dialog, self._writer(reply))
        except NotAReviewer as error:
            await self._desk.tell(reply.from_user, sentence(error), dialog.review)
            return
        if dialog.asks is Asks.CONSENT:
            await self._send_to_buttons(reply, dialog)
        elif dialog.asks is Asks.TEXT and words:
            await self._edits.take_text(reply, words, dialog)
        else:
            await self._take_sentence(reply, words, dialog)

    async def _send_to_buttons(self, reply: Message, dialog: Dialog) -> None:
        """While the review is open: then the question has its buttons."""
        refusal: CountersignError = Invalid(PRESS)
        try:
            await self._service.check_open(dialog.review)
        except ReviewIsClosed as error:
            refusal = error
        await self._desk.refuse(reply, refusal, dialog.review)

    async def _take_sentence(self, reply: Message, words: str, dialog: Dialog) -> None:
        try:
            check_words(words)
        except Invalid as error:
            await self._desk.refuse(reply, error, dialog.review)
            return
        if CANCEL.fullmatch(words):
            await self._desk.end(dialog)
            await self._desk.refuse(reply, Invalid(UNCHANGED), dialog.review)
        elif dialog.asks is Asks.QUESTION:
            await self._inquiries.take_question(reply, words, dialog)
        else:
            await self._reasons.take_words(reply, words, dialog)

    async def _act(self, query: CallbackQuery) -> str | None:
        """What the presser reads once it is done; raises a refusal."""
        said = self._buttons.read(query.data)
        if said is None:
            log.warning("token_refused", channel=TELEGRAM)
            raise Invalid(UNREADABLE)
        person = self._person(query.from_user)
        if said.action in ACTIONS:
            return clipped((await self._menu.pressed(said, person, via=TELEGRAM)).text, LIMIT)
        if said.action is Action.APPROVE:
            return await self._approve(query, said, person)
        if said.action not in ASKING:
            return await self._pressed_in_dialog(query, said, person)
        return await self._ask(query, said, person)

    async def _ask(self, query: CallbackQuery, said: Press, person: PersonId) -> str | None:
        """What is said to a tap too many; None where a question follows. Raises a refusal."""
        with self._desk.asking_once(person, said, query.message) as is_first:
            if not is_first:
                await self._service.check_open(said.review)
                return ASKED_ALREADY
            match said.action:
                case Action.ASK_APPROVE:
                    await self._approvals.ask(query, said, person)
                case Action.REJECT:
                    await self._reasons.ask(query, said, person, Verdict.REJECT)
                case Action.EDIT:
                    await self._edits.ask(query, said, person)
                case Action.ASK:
                    await self._inquiries.ask(query, said, person)
                case _:  # an approval that needs a reason
                    await self._reasons.ask(query, said, person, Verdict.APPROVE)
        return None

    async def _approve(self, query: CallbackQuery, said: Press, person: PersonId) -> str | None:
        try:
            copy = await pressed_copy(query, said.review, self._service)
            review = await self._service.decide(said.review, person, Verdict.APPROVE, via=TELEGRAM, copy=copy)
        except ReasonMissing:
            return await self._ask(query, said, person)
        return thanks(review, Verdict.APPROVE)

    async def _pressed_in_dialog(self, query: CallbackQuery, said: Press, person: PersonId) -> str | None:
        """What stands under the message decides what a button means: a client can send any with any."""
        prompt = query.message
        async with self._desk.dialog_at(prompt) as dialog:
            if prompt is None or dialog is None or dialog.review != said.review:
                words = await why_over(self._service, said.review)
                if prompt is not None and dialog is None and await self._was_question(query, prompt):
                    await self._desk.end_unknown(prompt, said, person)
                raise Invalid(words)
            self._desk.check_asked(dialog, person)
            match dialog.asks:
                case Asks.REASON:
                    return await self._reasons.pressed(query, said, dialog, prompt)
                case Asks.CONSENT if dialog.verdict is Verdict.APPROVE:
                    return await self._approvals.pressed(said, dialog, prompt)
                case Asks.CONSENT:
                    return await self._edits.pressed(query, said, dialog)
                case _:
                    raise Invalid(OVER)

    async def _was_question(self, query: CallbackQuery, message: MaybeInaccessibleMessage) -> bool:
        """By what Telegram shows of its buttons: a client can name any message, a card of ours too. Where it
        shows nothing, by what we know to stand there."""
        tokens = tokens_shown(query)
        if tokens is None:
            return await self._service.shown_at(TELEGRAM, ref_of(message)) is None
        presses = [self._buttons.read(token) for token in tokens]
        return bool(presses) and all(press and press.action in IN_QUESTIONS for press in presses)

    def _writer(self, message: Message) -> PersonId | None:
        """None for nobody whom we know."""
        user = message.from_user
        known = user is not None and is_somebody(message)
        return self._people.telegram_person(user.id) if user is not None and known else None

    def _person(self, user: User) -> PersonId:
        if is_anonymous(user):
            raise NotAReviewer(ANONYMOUS)
        person = self._people.telegram_person(user.id)
        if person is None:
            log.info("stranger_refused", channel=TELEGRAM, user=user.id)
            raise unlisted(user.id, PREFIX)
        return person
