"""Edit, in Telegram: the whole new text as a reply, then the difference, and only then a decision."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from telegram.constants import MessageLimit

from bot.answers import OnThePage, sentence, thanks
from bot.buttons import Action
from bot.edits import UNDECIDED, consequence, difference
from bot.markup import Markup, Span, joined
from bot.telegram.copies import pressed_copy
from bot.telegram.desk import AGAIN, OVER, UNCHANGED, length_of, place_for_words
from bot.telegram.lately import Lately
from bot.telegram.prompts import MINUTES, proposal, reply_field, request_for_text
from bot.telegram.updates import TELEGRAM
from core.errors import CountersignError, Invalid, ReasonMissing, Unavailable
from core.literal import utf16
from core.model import Asks, MessageRef, Verdict, text_of

if TYPE_CHECKING:
    from telegram import CallbackQuery, Message

    from bot.buttons import Buttons, Press
    from bot.telegram.desk import Desk
    from bot.telegram.reasons import Reasons
    from core.model import Dialog, Json, PersonId
    from core.ports import Clock
    from core.service import Service

LONGEST = 4000
"""UTF-16 units of a draft that is edited here, so that what replaces it fits into a message, too."""
TOO_LONG = (
    "A reply takes a draft of {:,} characters, and as Telegram counts this one has {:,}: "
    "edit it on the task's page."
)
CUT = (
    "Nothing was changed: Telegram takes {:,} characters in a message, so the end of yours may be missing. "
    "Please edit it on the task's page: {}"
)
MAY_BE_REST = (
    "Nothing was changed: this may be the rest of the message before it. If it is the whole new text, please "
    "send it again in a moment; else edit it on the task's page: {}"
)
REST = (
    "Only the first of your messages is in the new text. Telegram splits long ones: to have it all in, press "
    "Discard and edit it on the task's page."
)
ELSEWHERE = "Then discard this, and edit it on the task's page."
PRESS = "Words are not taken for a confirmation. Please press one of the buttons."


class Edits:
    """Asks for the text, shows what it changes, and takes a press, by the person asked, for a decision."""

    def __init__(
        self, *, service: Service, buttons: Buttons, desk: Desk, reasons: Reasons, clock: Clock
    ) -> None:
        self._service = service
        self._buttons = buttons
        self._desk = desk
        self._reasons = reasons
        self._cut = Lately[MessageRef](clock, AGAIN)
        """What a text came to that may have been cut off: its rest may be on its way."""
        self._told_of_rest = Lately[MessageRef](clock, timedelta(minutes=MINUTES))

    async def ask(self, query: CallbackQuery, said: Press, person: PersonId) -> None:
        """Ask for the whole new text; raises where this person may not decide."""
        copy = await pressed_copy(query, said.review, self._service)
        review = await self._service.check_may_decide(said.review, person, via=TELEGRAM, copy=copy)
        card = place_for_words(query.message)
        draft = text_of(review.draft)
        if (units := utf16(draft)) > LONGEST:
            raise OnThePage(TOO_LONG.format(LONGEST, units))
        asked = request_for_text(review, query.from_user, self._desk.url_of(review))
        opens = self._desk.opens(review, person, Verdict.EDIT, asks=Asks.TEXT)
        await self._desk.ask(asked, reply_field("The whole new text"), opens, to=card)

    async def take_text(self, reply: Message, words: str, dialog: Dialog) -> None:
        """Show what that would change, and ask for a press. A text that cannot be is asked for again."""
        try:
            await self._propose(reply, words, dialog)
        except Unavailable:
            raise
        except Invalid as error:
            # the sentence may quote what is in the draft
            await self._desk.tell_in_reply(reply, joined([Span(text=sentence(error), kind="code")]))
        except CountersignError as error:
            await self._desk.refuse(reply, error, dialog.review)
            await self._desk.end(dialog)

    async def _propose(self, reply: Message, words: str, dialog: Dialog) -> None:
        review = await self._service.review(dialog.review)
        url = self._desk.url_of(review)
        refusal = None
        if utf16(words) >= MessageLimit.MAX_TEXT_LENGTH:
            self._cut.add(dialog.message)
            refusal = CUT.format(MessageLimit.MAX_TEXT_LENGTH, url)
        elif dialog.message in self._cut:
            refusal = MAY_BE_REST.format(url)
        if refusal is not None:
            await self._desk.tell_in_reply(reply, Markup(text=refusal, entities=()))
            return
        review, content = await self._service.check_edit(
            dialog.review, dialog.person, _framed(words, review.draft), via=TELEGRAM
        )
        length = length_of(words)
        shown = proposal(
            review,
            reply.from_user,
            self._buttons,
            changes=difference(review.draft, content),
            note=" ".join(filter(None, (UNDECIDED, consequence(review), length, length and ELSEWHERE))),
            url=url,
        )
        opens = self._desk.opens(review, dialog.person, Verdict.EDIT, asks=Asks.CONSENT, content=content)
        await self._desk.ask(shown, shown.keyboard, opens, to=reply)
        await self._desk.end(dialog)

    async def tell_of_rest(self, message: Message, person: PersonId) -> bool:
        """Whether that came after what was taken for a new text, whose difference waits for a press here.

        Then they are told, once, that it is not in it. It is nothing else, and no consent.
        """
        shown = await self._desk.edit_to_confirm(person, message.chat.id)
        if shown is None:
            return False
        if shown.message not in self._told_of_rest:
            self._told_of_rest.add(shown.message)
            await self._desk.refuse(message, Invalid(REST), shown.review)
        return True

    async def pressed(self, query: CallbackQuery, said: Press, dialog: Dialog) -> str | None:
        """The words for who confirmed or discarded; None where a question follows."""
        if said.action not in {Action.CONFIRM, Action.NEVER_MIND}:
            raise Invalid(OVER)
        async with self._desk.answering(dialog):
            if said.action is Action.NEVER_MIND:
                return UNCHANGED
            return await self._confirmed(query, said, dialog)

    async def _confirmed(self, query: CallbackQuery, said: Press, dialog: Dialog) -> str | None:
        try:
            review = await self._service.decide(
                dialog.review, dialog.person, Verdict.EDIT, content=dialog.content, via=TELEGRAM
            )
        except ReasonMissing:
            await self._reasons.ask_of_edit(query, said, dialog)
            return None
        return thanks(review, Verdict.EDIT)


def _framed(words: str, draft: Json) -> str:
    """Telegram drops white space around a message, which nobody meant to drop from the draft."""
    if not isinstance(draft, str) or not draft.strip():
        return words
    begin = len(draft) - len(draft.lstrip())
    return draft[:begin] + words.strip() + draft[len(draft.rstrip()) :]
