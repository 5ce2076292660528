"""Questions as messages, kept in the database until they are answered or expire; and private words."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

import structlog
from telegram import ReplyParameters
from telegram.constants import ChatType, MessageLimit
from telegram.error import TelegramError

from bot.answers import OnThePage, sentence
from bot.cards import url_of
from bot.markup import NO_PREVIEW, Markup, listed
from bot.menu import about
from bot.telegram.failures import failure, is_gone
from bot.telegram.lately import Lately
from bot.telegram.places import parts, ref_of, topic_of
from bot.telegram.prompts import MINUTES
from bot.telegram.updates import TELEGRAM
from core.errors import (
    CountersignError,
    Invalid,
    NotAReviewer,
    ReviewIsClosed,
    Unavailable,
)
from core.literal import utf16
from core.model import Asks, Dialog, MessageRef, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import TypeAlias

    from telegram import (
        Bot,
        ForceReply,
        InlineKeyboardMarkup,
        MaybeInaccessibleMessage,
        Message,
        User,
    )

    from bot.buttons import Action, Press
    from core.model import Json, PersonId, ReviewId, ReviewRequest
    from core.ports import Clock, Dialogs
    from core.service import Service

    Opens: TypeAlias = Callable[[MessageRef], Dialog]
    """What a message asks."""

log = structlog.get_logger()

NO_QUESTION = "Nothing was changed: Telegram could not ask you. Please use the task's page instead."
NOT_KEPT = (
    "Nothing was changed: the database is down, so you could not be asked. Please try again in a moment."
)
OVER = "This question is over. Please press the button on the card again."
UNCHANGED = "Nothing was changed."
ASKED_ALREADY = "You were asked a moment ago: please answer that question."
AGAIN = timedelta(seconds=10)
"""How long a second tap is taken for that. Later it asks anew: the question may have scrolled away."""
SETTLED = timedelta(days=1)
"""So long ago, at least, an answered question is said to have ended: it has nothing more to say."""
CANCEL = re.compile(r"(?:cancel|never ?mind|/\w+(?:@\w+)?)[.!]*", re.IGNORECASE)
"""Words that end a question, whatever it asks; but for an edit's, whose text they may be. A command alone is
nobody's reason, and nobody's question."""
MAY_BE_CUT = (
    f"Nothing was recorded: Telegram takes {MessageLimit.MAX_TEXT_LENGTH:,} characters in a message, so the "
    "end of yours may be missing. Please say it in fewer, or on the task's page."
)
HAS_ALL = "It has {:,} characters: if you wrote more, the rest came as another message and is not in it."
IN_WORDS = "Please answer in words: reply to the question with a text message."
NOT_HERE = "Nobody can reply to a bot in a channel. Please use the task's page."


class Asked(NamedTuple):
    """Of whom, about what, by which button of which card."""

    person: PersonId
    review: ReviewId
    action: Action
    card: MessageRef | None


class Desk:
    """What reasons, edits and inquiries need."""

    def __init__(
        self, *, service: Service, dialogs: Dialogs, bot: Bot, clock: Clock, public_url: str
    ) -> None:
        self._service = service
        self._dialogs = dialogs
        self._bot = bot
        self._clock = clock
        self._turns: WeakValueDictionary[MessageRef, asyncio.Lock] = WeakValueDictionary()
        self._asking: dict[int, set[asyncio.Event]] = {}
        """In which chats something is being asked, each until that is known to be asked, or not."""
        self._asked = Lately[Asked](clock, AGAIN)
        """What this replica has asked lately, and nobody has answered."""
        self._removed = Lately[MessageRef](clock, AGAIN)
        """What this replica has taken away lately: a second tap on it may be on its way."""
        self._public_url = public_url

    def url_of(self, review: ReviewRequest) -> str:
        return url_of(review.task.id, self._public_url)

    @asynccontextmanager
    async def dialog_at(self, message: MaybeInaccessibleMessage | None) -> AsyncIterator[Dialog | None]:
        """What that message asks, while it does.

        Answers to it go one after the other: who discards an edit while they confirm it is told no untruth.
        """
        if message is None:
            yield None
            return
        place = ref_of(message)
        async with self._turns.setdefault(place, asyncio.Lock()):
            dialog = await self._dialogs.dialog(TELEGRAM, place)
            if dialog is None and (being_asked := self._asking.get(message.chat.id)):
                # Telegram shows people a message before it tells us that it does.
                await asyncio.gather(*(asked.wait() for asked in being_asked))
                dialog = await self._dialogs.dialog(TELEGRAM, place)
            yield dialog

    async def asked_in_vain(self, message: MaybeInaccessibleMessage, person: PersonId) -> Dialog | None:
        """What that message asked this person, where it asks no more and still stands there."""
        dialog = await self._dialogs.asked_in_vain(TELEGRAM, ref_of(message))
        return dialog if dialog is not None and dialog.person == person else None

    async def edit_to_confirm(self, person: PersonId, chat: int) -> Dialog | None:
        """The newest that was shown to them there, and waits for their press."""
        shown = await self._dialogs.edits_to_confirm(TELEGRAM, person)
        return next((one for one in reversed(shown) if parts(one.message)[0] == chat), None)

    def check_asked(self, dialog: Dialog, person: PersonId | None) -> None:
        """Raise `NotAReviewer` for everybody else than the person asked."""
        if dialog.person != person:
            asked = self._service.somebody(dialog.person)
            raise NotAReviewer(f"Only {asked.name} can answer this question.")

    @contextmanager
    def asking_once(
        self, person: PersonId, said: Press, card: MaybeInaccessibleMessage | None
    ) -> Iterator[bool]:
        """Whether to ask that; not what this person was asked within `AGAIN` and has not answered."""
        asked = Asked(person, said.review, said.action, None if card is None else ref_of(card))
        if asked in self._asked:
            yield False
            return
        self._asked.add(asked)
        try:
            yield True
        except BaseException:  # cancelled, too: what was not asked may be asked at once
            self._asked.discard(asked)
            raise

    def opens(
        self,
        review: ReviewRequest,
        person: PersonId,
        verdict: Verdict,
        *,
        asks: Asks = Asks.REASON,
        content: Json = None,
    ) -> Opens:
        """What is asked, for `MINUTES` from now on."""
        expires_at = self._clock.now() + timedelta(minutes=MINUTES)
        return lambda message: Dialog(
            message=message,
            channel=TELEGRAM,
            review=review.id,
            person=person,
            verdict=verdict,
            expires_at=expires_at,
            asks=asks,
            content=content,
        )

    @asynccontextmanager
    async def answering(self, dialog: Dialog) -> AsyncIterator[None]:
        """It ends with that, also where the answer is refused; not where that could not be stored: it comes
        again."""
        try:
            yield
        except Unavailable:
            raise
        except CountersignError:
            await self.end(dialog)
            raise
        await self.end(dialog)

    async def end(self, dialog: Dialog) -> None:
        """The answer is durable by now; a question that stays standing is only untidy."""
        for asked in self._asked:
            if asked[:2] == (dialog.person, dialog.review):
                self._asked.discard(asked)
        # First: whatever cuts us off from here on, the sweep takes the message away. By no clock is it open
        # again, or has to stand there any longer.
        over = dialog.expires_at - timedelta(minutes=MINUTES)
        await self._dialogs.open_dialog(replace(dialog, expires_at=over, ended_at=over - SETTLED))
        if await self._remove(dialog.message):
            self._removed.add(dialog.message)
            with contextlib.suppress(Unavailable):
                await self._dialogs.close_dialog(TELEGRAM, dialog.message)

    async def end_unknown(self, message: MaybeInaccessibleMessage, said: Press, person: PersonId) -> None:
        """Leave to the sweep a question of which nothing is known, as after a crash between its post and its
        record: from now on it is kept that it is over.

        Not one that was taken away in this moment, nor one that is known by now: another replica may note
        only after the press that it asks.
        """
        place = ref_of(message)
        if place in self._removed:
            return
        over = self._clock.now() - timedelta(minutes=MINUTES)
        is_new = await self._dialogs.note_ended(
            Dialog(
                message=place,
                channel=TELEGRAM,
                review=said.review,
                person=person,
                verdict=Verdict.REJECT,
                expires_at=over,
            )
        )
        if is_new:
            log.info("unknown_question_ended", channel=TELEGRAM, message=place, review_id=said.review)

    async def _remove(self, message: MessageRef) -> bool:
        """False where it stands there still."""
        chat_id, message_id = parts(message)
        try:
            await self._bot.delete_message(chat_id, message_id)
        except TelegramError as error:
            log.info("question_not_removed", channel=TELEGRAM, message=message, error=str(failure(error)))
            return is_gone(error)
        return True

    async def ask(
        self,
        asked: Markup,
        keyboard: InlineKeyboardMarkup | ForceReply | None,
        opens: Opens,
        *,
        to: MaybeInaccessibleMessage,
    ) -> None:
        """In reply to that message. Raises `Invalid`."""
        with self._asking_in(to.chat.id):
            try:
                prompt = await self._bot.send_message(
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
            await self._keep(opens, prompt)

    async def ask_privately(
        self, asked: Markup, keyboard: InlineKeyboardMarkup | ForceReply | None, opens: Opens, user: User
    ) -> bool:
        """In their own chat with the bot; False where they never started one. Raises `Invalid`."""
        with self._asking_in(user.id):
            try:
                prompt = await self._bot.send_message(
                    user.id,
                    asked.text,
                    entities=asked.entities,
                    reply_markup=keyboard,
                    link_preview_options=NO_PREVIEW,
                )
            except TelegramError as error:
                log.info("question_not_sent", channel=TELEGRAM, error=str(failure(error)))
                return False
            await self._keep(opens, prompt)
        return True

    async def _keep(self, opens: Opens, prompt: Message) -> None:
        """From now on the message asks that; where it cannot be kept it goes, as nothing would answer to it.

        Raises `Invalid`: what was pressed is not kept to be done later, which would ask once more each time.
        """
        try:
            await self._dialogs.open_dialog(opens(ref_of(prompt)))
        except Unavailable as error:
            log.warning("question_not_kept", channel=TELEGRAM, reason=str(error))
            await self._remove(ref_of(prompt))
            raise Invalid(NOT_KEPT) from error

    @contextmanager
    def _asking_in(self, chat: int) -> Iterator[None]:
        """Who answers to what stands in the chat waits until it is known whether it asks something."""
        is_known = asyncio.Event()
        being_asked = self._asking.setdefault(chat, set())
        being_asked.add(is_known)
        try:
            yield
        finally:
            is_known.set()
            being_asked.discard(is_known)
            if not being_asked:
                self._asking.pop(chat, None)

    async def send_to_page(self, user: User, words: str, review_id: ReviewId) -> None:
        """The same words again, where Telegram allows it, with an address that can be followed."""
        await self.tell(user, words, review_id)

    async def refuse(self, reply: Message, error: CountersignError, of: ReviewId | None = None) -> None:
        """Here is no press to be answered in private, so a refusal goes where Telegram lets it."""
        if not await self.tell(reply.from_user, sentence(error), of):
            await self.tell_in_reply(reply, Markup(text=sentence(error), entities=()))

    async def tell(self, user: User | None, words: str, of: ReviewId | None = None) -> bool:
        """In their own chat with the bot, which Telegram allows with whoever has started it.

        There nothing else says `of` which review the words are, so they name it.
        """
        if user is None:
            return False
        made = await self._named(words, of)
        try:
            await self._bot.send_message(
                user.id, made.text, entities=made.entities, link_preview_options=NO_PREVIEW
            )
        except TelegramError as error:
            log.info("private_answer_lost", channel=TELEGRAM, error=str(failure(error)))
            return False
        return True

    async def _named(self, words: str, of: ReviewId | None) -> Markup:
        if of is not None:
            with contextlib.suppress(CountersignError):
                answer = about(words, await self._service.review(of), self._public_url)
                return listed(answer, has_titles=True)
        return Markup(text=words, entities=())

    async def tell_in_reply(self, message: Message, words: Markup) -> None:
        try:
            await message.reply_text(
                words.text,
                entities=words.entities,
                do_quote=True,
                allow_sending_without_reply=True,
                link_preview_options=NO_PREVIEW,
            )
        except TelegramError as error:
            log.info("answer_lost", channel=TELEGRAM, error=str(failure(error)))


async def why_over(service: Service, review: ReviewId) -> str:
    """Of a question that nobody can answer any more: who decided, or which button to press."""
    try:
        await service.check_open(review)
    except ReviewIsClosed as error:
        return f"This question is over. {sentence(error)}"
    return OVER


def check_words(words: str) -> None:
    """Raise `Invalid` for none, and for so many that more may have followed: apps split what is too long."""
    if not words:
        raise Invalid(IN_WORDS)
    if utf16(words) >= MessageLimit.MAX_TEXT_LENGTH:
        raise Invalid(MAY_BE_CUT)


def length_of(words: str) -> str:
    """For whoever may have written more than came; empty where nobody can have.

    Telegram Desktop cuts what is too long for a message at the end of a paragraph, a sentence or a word,
    wherever that is in the message's second half (tdesktop, `TextUtilities::CutPart`).
    """
    may_be_cut = utf16(words) > MessageLimit.MAX_TEXT_LENGTH // 2
    return HAS_ALL.format(len(words)) if may_be_cut else ""


def place_for_words(card: MaybeInaccessibleMessage | None) -> MaybeInaccessibleMessage:
    """Where somebody can be asked for words. Raises `Invalid`, of a channel `OnThePage`."""
    if card is None:
        raise Invalid(NO_QUESTION)
    if card.chat.type == ChatType.CHANNEL:
        raise OnThePage(NOT_HERE)
    return card
