"""The Telegram channel: posts and edits cards, and listens for presses."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from aiohttp import web
from telegram import ReplyParameters, User
from telegram.constants import ChatType
from telegram.error import BadRequest, TelegramError

from bot.cards import calling, card, retired
from bot.errands import Errands
from bot.files import file_of, is_file
from bot.gate import Gate
from bot.markup import NO_PREVIEW, attached, markup, said, without_styles
from bot.notices import words
from bot.pace import Pace, limit
from bot.telegram.door import Door
from bot.telegram.failures import changed_nothing, failure
from bot.telegram.links import message_link
from bot.telegram.listener import Listener
from bot.telegram.places import Place, parts, place_of, ref_of
from bot.telegram.updates import TELEGRAM
from core.errors import RateLimited
from core.events import QuestionAsked
from core.model import Notice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from telegram import Bot

    from bot.buttons import Buttons
    from bot.files import DraftFile
    from bot.pace import Limit
    from bot.people import Directory
    from bot.settings import BotSettings
    from bot.telegram.updates import Intake
    from core.model import ChannelName, Delivery, MessageRef, PersonId, Recipient, ReviewRequest
    from core.ports import ChatInbox, Clock, Dialogs, Turns
    from core.service import Service

log = structlog.get_logger()

T = TypeVar("T")

ROUTE = "/telegram/webhook"

IN_PRIVATE = (limit(3, 3.0),)
"""One message a second in a chat, short bursts allowed (Bots FAQ; telegram.constants.FloodLimit)."""
IN_A_GROUP = (limit(3, 3.0), limit(20, 60.0))
"""Besides, twenty a minute in a group or channel (the same)."""
POSTS_IN_A_GROUP = (limit(3, 3.0), limit(17, 60.0))
"""What of that new messages may take: the rest is for edits, which must not wait until the minute is over."""
ENDINGS = (limit(2, 3.0), limit(10, 60.0))
"""What of that may go into questions that nobody can answer any more: cards do not wait for them."""
IN_ALL = (limit(30, 1.0),)
"""Thirty messages a second over all chats (the same)."""


class TelegramChannel:
    """Implements `core.ports.Channel`. Outside `listening()` a post or an edit waits for it."""

    link = staticmethod(message_link)

    def __init__(
        self,
        settings: BotSettings,
        *,
        service: Service,
        people: Directory,
        buttons: Buttons,
        inbox: ChatInbox,
        dialogs: Dialogs,
        clock: Clock,
        public_url: str,
        turns: Turns,
        is_web: bool = True,
    ) -> None:
        """`turns` says when it is our turn to hear Telegram, `is_web` whether `routes` are served."""
        self._settings = settings
        self._is_web = is_web
        self._turns = turns
        self._service = service
        self._people = people
        self._buttons = buttons
        self._inbox = inbox
        self._dialogs = dialogs
        self._clock = clock
        self._public_url = public_url
        self._pace = Pace(clock)
        self._gate: Gate[Bot] = Gate()
        self._listener: Listener | None = None
        self._has_styles = True
        self._takes_replies: dict[int | str, bool] = {}
        """Whether people can reply in a chat, where it was asked."""
        self._names: dict[int | str, str] = {}
        """Of chats that an address names, by their numbers."""

    @property
    def name(self) -> ChannelName:
        return TELEGRAM

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        place = place_of(delivery.recipient.address)
        async with self._gate.client() as bot:
            if isinstance(content, Notice) and is_file(content):
                message = _document(file_of(content, thread))
            else:
                may_reply = await self._may_reply(bot, place, content)
                message = await self._message(delivery, content, is_post=True, may_reply=may_reply)
            self._take_turn(place, _limits(place, edits=False))
            sending = partial(
                bot.send_document if "document" in message else bot.send_message,
                place.chat,
                message_thread_id=place.topic,
                reply_parameters=_in_reply_to(thread, place),
            )
            try:
                posted = ref_of(await self._asked(sending, message))
            except TelegramError as error:
                raise failure(error) from error
            self._note_name(place, parts(posted)[0])
            return posted

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        chat_id, message_id = parts(message)
        async with self._gate.client() as bot:
            place = place_of(delivery.recipient.address)
            self._note_name(place, chat_id)
            self._take_turn(place, _limits(place, edits=True))
            editing = partial(bot.edit_message_text, chat_id=chat_id, message_id=message_id)
            may_reply = await self._may_reply(bot, place, content)
            try:
                await self._asked(editing, await self._message(delivery, content, may_reply=may_reply))
            except TelegramError as error:
                if not changed_nothing(error):
                    raise failure(error) from error

    async def _may_reply(self, bot: Bot, place: Place, content: ReviewRequest | Notice) -> bool:
        """Whether people can reply there: in a channel nobody can. Asked once, for what asks something."""
        is_question = isinstance(content, Notice) and isinstance(content.event.event, QuestionAsked)
        if place.is_private or not is_question:
            return True
        if place.chat not in self._takes_replies:
            try:
                chat = await bot.get_chat(place.chat)
            except TelegramError as error:
                raise failure(error) from error
            self._takes_replies[place.chat] = chat.type != ChatType.CHANNEL
        return self._takes_replies[place.chat]

    async def _asked(self, call: Callable[..., Awaitable[T]], message: dict[str, Any]) -> T:
        """The call with this message: without styles, where Telegram's server turns out to refuse them."""
        if self._has_styles:
            try:
                return await call(**message)
            except BadRequest as error:
                if "style" not in error.message.lower():
                    raise
                log.warning("button_styles_refused", channel=TELEGRAM)
                self._has_styles = False
        if "reply_markup" not in message:  # a file has no buttons
            return await call(**message)
        return await call(**message | {"reply_markup": without_styles(message["reply_markup"])})

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        place = place_of(recipient.address)
        return self._pace.wait(self._lane(place), _limits(place, edits=edits))

    def _lane(self, place: Place) -> str:
        """A chat has one, whether it is named or numbered."""
        return self._names.get(place.chat, str(place.chat))

    def _note_name(self, place: Place, chat_id: int) -> None:
        if isinstance(place.chat, str):
            self._names[chat_id] = place.chat

    def _called(self) -> dict[PersonId, User]:
        """Whom a message may call; of a mention Telegram reads the id alone."""
        return {
            person: User(id=user, first_name="", is_bot=False)
            for person, user in self._people.telegram_users().items()
        }

    def _take_turn(self, place: Place, limits: tuple[Limit, ...]) -> None:
        """Count a call. Telegram, when it refuses one, does not say which limit it was: we do.

        Topics of one forum share the limits of their chat, and so do edits and posts.
        """
        wait = self._pace.wait("", IN_ALL)
        if wait > 0:
            raise RateLimited(
                "Telegram takes no more messages in this second.",
                retry_after=timedelta(seconds=wait),
                whole_channel=True,
            )
        wait = self._pace.wait(self._lane(place), limits)
        if wait > 0:
            raise RateLimited(
                "Telegram takes no more messages in this chat for a while.",
                retry_after=timedelta(seconds=wait),
                lane_only=True,
            )
        self._pace.called("", IN_ALL)
        self._pace.called(self._lane(place), _limits(place, edits=True))

    def routes(self) -> list[web.RouteDef]:
        """What Telegram calls where a webhook secret is set; outside `listening()` it answers 503."""
        secret = self._settings.telegram_webhook_secret
        if secret is None:
            return []
        door = Door(secret=secret.get_secret_value().encode(), intake=self._intake)
        return [web.post(ROUTE, door.handle)]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Raises `SettingsError` where Telegram refuses our settings; goes on trying where it is away."""
        async with AsyncExitStack() as stack:
            errands = await stack.enter_async_context(Errands())
            self._listener = self._new_listener(errands)
            self._gate.open(self._listener.bot, errands)
            stack.callback(self._gate.close)
            await stack.enter_async_context(self._listener)
            stack.callback(self._gate.close)  # before the listener leaves, which waits for calls under way
            yield

    def _new_listener(self, errands: Errands) -> Listener:
        return Listener(
            self._settings,
            service=self._service,
            people=self._people,
            buttons=self._buttons,
            inbox=self._inbox,
            dialogs=self._dialogs,
            clock=self._clock,
            public_url=self._public_url,
            webhook_url=self._public_url.rstrip("/") + ROUTE,
            errands=errands,
            turns=self._turns,
            take_turn=partial(self._take_turn, limits=ENDINGS),
            is_web=self._is_web,
        )

    def _intake(self) -> Intake | None:
        return self._listener.intake if self._listener else None

    async def _message(
        self,
        delivery: Delivery,
        content: ReviewRequest | Notice,
        *,
        is_post: bool = False,
        may_reply: bool = True,
    ) -> dict[str, Any]:
        if isinstance(content, Notice):
            told = words(content, public_url=self._public_url, is_said=delivery.message is not None)
            made = said(told, self._called(), may_reply=may_reply)
        else:
            at = delivery.recipient
            shown = card(content, public_url=self._public_url, buttons=self._buttons, place=at)
            users, is_private = {}, place_of(at.address).is_private
            if content.is_open and not delivery.is_retired and not is_private:
                users = self._called()
                of = self._service.delegations
                shown = calling(shown, await of.called(content) if is_post else of.named(content), users)
            # a card that changes names them, and calls nobody
            made = markup(retired(shown) if delivery.is_retired else shown, users if is_post else {})
        return {
            "text": made.text,
            "entities": made.entities,
            "reply_markup": made.keyboard,
            "link_preview_options": NO_PREVIEW,
        }


def _document(file: DraftFile) -> dict[str, Any]:
    caption = attached(file)
    return {
        "document": file.content,
        "filename": file.name,
        "caption": caption.text,
        "caption_entities": caption.entities,
        "disable_content_type_detection": True,
    }


def _limits(place: Place, *, edits: bool) -> tuple[Limit, ...]:
    if place.is_private:
        return IN_PRIVATE
    return IN_A_GROUP if edits else POSTS_IN_A_GROUP


def _in_reply_to(thread: MessageRef | None, place: Place) -> ReplyParameters | None:
    """Replying is how Telegram keeps things together; a first message that is gone holds up nothing."""
    if thread is None or (isinstance(place.chat, int) and parts(thread)[0] != place.chat):
        return None
    return ReplyParameters(parts(thread)[1], allow_sending_without_reply=True)
