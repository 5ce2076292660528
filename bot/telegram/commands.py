"""What somebody types in Telegram, answered where they typed it, or in private what is private."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from telegram import BotCommand
from telegram.constants import ChatType, MessageLimit
from telegram.error import Forbidden, TelegramError

from bot.absence import Absences
from bot.answers import ANONYMOUS, unlisted
from bot.markup import NO_PREVIEW, listed
from bot.menu import Answer, Word
from bot.reception import HELP, QUESTIONS, WORDS_DECIDE_NOTHING, Asked
from bot.telegram.above import NotKnownYet
from bot.telegram.desk import length_of
from bot.telegram.failures import failure
from bot.telegram.links import private_chat
from bot.telegram.payloads import COMMAND, DECISIONS, PREFIX
from bot.telegram.places import address_of, is_somebody
from bot.telegram.updates import TELEGRAM
from core.errors import CountersignError, Invalid, NotAReviewer, Unavailable
from core.literal import utf16
from core.model import Recipient

if TYPE_CHECKING:
    from telegram import Bot, Message, Update, User

    from bot.markup import Markup
    from bot.menu import Menu
    from bot.people import Directory
    from bot.reception import Reception
    from bot.telegram.above import Above
    from bot.telegram.order import PutOff
    from core.model import PersonId, ReviewId
    from core.service import Service

log = structlog.get_logger()

POINTING = "Reply to its card with the command."
NO_NAMES = "Telegram does not tell bots whose @name that is: write the person's name instead."
CUT = (
    "Nothing was handed in: Telegram takes {:,} characters in a message, so the end of yours may be missing. "
    "Please hand it in on the page:"
)
OFFERED = tuple(
    BotCommand(command, description)
    for command, description in (
        (Asked.PENDING, "See what waits for you"),
        (Asked.SUBMIT, "Hand in a task: the text stands after the command"),
        (Asked.WHOAMI, "See your id for countersign.toml, and whether it is known"),
        (Word.LOOKING, "Say that you are looking at the review whose card you reply to"),
        (Word.LATER, "Be reminded of it later: 2h, tomorrow, 2026-11-30"),
        (Word.WITHDRAW, "Take back your decision on it, while it is open"),
        ("away", "Say until when you are away, and who decides for you"),
        ("back", "Decide for yourself again"),
        ("help", "See what you can say here"),
    )
)
"""What Telegram lists to whoever types a `/`."""
PRIVATE = frozenset({"start", Asked.PENDING, Asked.WHOAMI})
"""Commands whose answers are nobody else's affair."""
LOST = "Telegram did not take the answer just now. Please ask again, or open your inbox:"
ANSWERED = "The answer is in our private chat."
UNSTARTED = "That is for your eyes only. Open a private chat with me, press Start and ask there: {}"
"""Telegram lets nobody write first to somebody who never wrote to them."""
PROMPT = timedelta(seconds=3)
"""What comes later than this after it was typed was kept for us by Telegram."""
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

    def __init__(
        self,
        *,
        service: Service,
        people: Directory,
        menu: Menu,
        reception: Reception,
        above: Above,
        put_off: PutOff,
    ) -> None:
        self._above = above
        self._put_off = put_off
        self._people = people
        self._menu = menu
        self._reception = reception
        self._absences = Absences(service=service, people=people, clock=menu.clock)

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
            self._check_not_overtaken(update, message, word)
            review, answer = None, Answer(line=(str(error),))
        if word in PRIVATE and message.chat.type != ChatType.PRIVATE and is_somebody(message):
            answer = await self._answer_in_private(message, answer)
        # a group may read what stands on the cards that are in it
        has_titles = review is not None or message.chat.type == ChatType.PRIVATE
        await self._reply(message, listed(answer, has_titles=has_titles))

    def _check_not_overtaken(self, update: Update, message: Message, word: str) -> None:
        """Raise `NotKnownYet`, once, for a withdrawal that was refused and that Telegram had kept for us:
        what is to be taken back may be on its way still.

        A webhook gets what somebody presses beside what is written in a chat, and not in one order (Bot API
        server, one queue for each person's presses and one for each chat).
        """
        was_kept = self._menu.clock.now() - message.date > PROMPT
        if word == Word.WITHDRAW and was_kept and update not in self._put_off:
            raise NotKnownYet("What is to be taken back may not have come yet.")

    async def _act(self, message: Message, word: str, rest: str, review: ReviewId | None) -> Answer:
        if word in {"start", Asked.WHOAMI}:
            user = _user(message)
            return self._reception.whoami(self._people.telegram_person(user.id), user.id)
        person = self._person(message, asks=word in QUESTIONS)
        match word:
            case Asked.PENDING:
                return await self._reception.pending(person)
            case Asked.SUBMIT:
                return await self._submit(person, message, rest)
            case "help":
                raise Invalid(HELP.format(PREFIX))
            case _ if word in DECISIONS:
                raise Invalid(WORDS_DECIDE_NOTHING)
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

    async def _submit(self, person: PersonId, message: Message, text: str) -> Answer:
        if utf16(message.text or "") >= MessageLimit.MAX_TEXT_LENGTH:
            # clients send what is longer as several messages, of which the first is the command
            words = CUT.format(MessageLimit.MAX_TEXT_LENGTH)
            return Answer(line=(words,), links=(("Hand it in", self._reception.public_url),))
        handed_in = await self._reception.submit(
            person,
            text,
            # not the update's id, which Telegram may give anew after a week
            key=f"telegram/{message.chat.id}/{message.message_id}",
            tell=Recipient(channel=TELEGRAM, address=address_of(message)),
            where="here",
            prefix=PREFIX,
        )
        how_long = length_of(text.strip())
        return replace(handed_in, line=(*handed_in.line, f" {how_long}")) if how_long else handed_in

    async def _answer_in_private(self, message: Message, answer: Answer) -> Answer:
        """Send it to the person; what their group reads instead."""
        made = listed(answer, has_titles=True)
        try:
            await message.get_bot().send_message(
                _user(message).id, made.text, entities=made.entities, link_preview_options=NO_PREVIEW
            )
        except Forbidden:
            return Answer(
                line=(UNSTARTED.format(private_chat(message.get_bot().username)),), links=self._page
            )
        except TelegramError as error:
            log.info("answer_lost", channel=TELEGRAM, error=str(failure(error)))
            return Answer(line=(LOST,), links=self._page)
        return Answer(line=(ANSWERED,))

    @property
    def _page(self) -> tuple[tuple[str, str], ...]:
        return (self._reception.inbox,)

    async def _pointed_at(self, message: Message) -> ReviewId | None:
        """The review whose card, or notice, this is a reply to.

        Replies to anything else point at nothing: in a forum every message is one, to its topic's first.
        """
        if message.reply_to_message is None:
            return None
        review = await self._above.review(message.reply_to_message)
        return None if review is None else review.id

    def _person(self, message: Message, *, asks: bool) -> PersonId:
        user = _user(message)
        person = self._people.telegram_person(user.id)
        if person is None:
            log.info("stranger_refused", channel=TELEGRAM, user=user.id)
            raise unlisted(user.id, PREFIX, asks=asks)
        return person

    async def _reply(self, message: Message, made: Markup) -> None:
        try:
            await message.reply_text(
                made.text,
                entities=made.entities,
                do_quote=True,
                allow_sending_without_reply=True,
                link_preview_options=NO_PREVIEW,
            )
        except TelegramError as error:
            log.info("answer_lost", channel=TELEGRAM, error=str(failure(error)))


def _user(message: Message) -> User:
    """Raises `NotAReviewer` for somebody whom Telegram does not name."""
    if message.from_user is None or not is_somebody(message):
        raise NotAReviewer(ANONYMOUS)
    return message.from_user
