"""The Telegram channel: posts and edits cards, and listens for presses."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web
from telegram import ReplyParameters, User
from telegram.error import ChatMigrated, TelegramError

from bot.cards import card
from bot.errands import Errands
from bot.files import file_of, is_file
from bot.gate import Gate
from bot.markup import NO_PREVIEW, attached, markup, said
from bot.notices import words
from bot.pace import Limit, Pace, limit
from bot.telegram.door import Door
from bot.telegram.failures import changed_nothing, failure
from bot.telegram.listener import Listener
from bot.telegram.places import parts, ref_of
from bot.telegram.updates import TELEGRAM
from core.errors import RateLimited
from core.model import Notice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from telegram import Bot, Message

    from bot.buttons import Buttons
    from bot.files import DraftFile
    from bot.people import Directory
    from bot.settings import BotSettings
    from bot.telegram.updates import Intake
    from core.model import ChannelName, Delivery, MessageRef, PersonId, ReviewRequest
    from core.ports import ChatInbox, Clock, Dialogs
    from core.service import Service

ROUTE = "/telegram/webhook"

IN_PRIVATE = (limit(3, 3.0),)
"""One message a second in a chat, short bursts allowed (Bots FAQ; telegram.constants.FloodLimit)."""
IN_A_GROUP = (limit(3, 3.0), limit(20, 60.0))
"""Besides, twenty a minute in a group or channel (the same)."""
IN_ALL = (limit(30, 1.0),)
"""Thirty messages a second over all chats (the same)."""


class TelegramChannel:
    """Implements `core.ports.Channel`. Outside `listening()` a post or an edit waits for it."""

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
    ) -> None:
        self._settings = settings
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
        self._moved: dict[int | str, int] = {}
        """Groups that became supergroups, and their new ids."""

    @property
    def name(self) -> ChannelName:
        return TELEGRAM

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        if isinstance(content, Notice) and is_file(content):
            message = _document(file_of(content, thread))
        else:
            message = self._message(content)
        place = _chat_id(delivery.recipient.address)
        async with self._gate.client() as bot:
            self._take_turn(delivery)
            try:
                return ref_of(await self._send(bot, self._moved.get(place, place), message, thread))
            except ChatMigrated as error:
                self._moved[place] = error.new_chat_id
                return await self._send_after_move(bot, error.new_chat_id, message)
            except TelegramError as error:
                raise failure(error) from error

    async def update(self, delivery: Delivery, content: ReviewRequest, *, message: MessageRef) -> None:
        chat_id, message_id = parts(message)
        async with self._gate.client() as bot:
            self._take_turn(delivery)
            try:
                await bot.edit_message_text(chat_id=chat_id, message_id=message_id, **self._message(content))
            except TelegramError as error:
                if not changed_nothing(error):
                    raise failure(error) from error

    def spacing(self, delivery: Delivery) -> float:
        return self._pace.wait(delivery.recipient.address, _limits(delivery))

    def _called(self) -> dict[PersonId, User]:
        """Whom a message may call; of a mention Telegram reads the id alone."""
        return {
            person: User(id=user, first_name="", is_bot=False)
            for person, user in self._people.telegram_users().items()
        }

    def _take_turn(self, delivery: Delivery) -> None:
        """Count a call. Telegram, when it refuses one, does not say which limit it was: we do."""
        wait = self._pace.wait("", IN_ALL)
        if wait > 0:
            raise RateLimited(
                "Telegram takes no more messages in this second.",
                retry_after=timedelta(seconds=wait),
                whole_channel=True,
            )
        self._pace.called("", IN_ALL)
        self._pace.called(delivery.recipient.address, _limits(delivery))

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
        )

    def _intake(self) -> Intake | None:
        return self._listener.intake if self._listener else None

    async def _send_after_move(self, bot: Bot, new_id: int, message: dict[str, Any]) -> MessageRef:
        """The thread's first message stayed behind in the old group."""
        try:
            return ref_of(await self._send(bot, new_id, message, None))
        except TelegramError as error:
            raise failure(error) from error

    async def _send(
        self, bot: Bot, chat_id: int | str, message: dict[str, Any], thread: MessageRef | None
    ) -> Message:
        send = bot.send_document if "document" in message else bot.send_message
        return await send(chat_id, reply_parameters=_in_reply_to(thread, chat_id), **message)

    def _message(self, content: ReviewRequest | Notice) -> dict[str, Any]:
        if isinstance(content, Notice):
            made = said(words(content, public_url=self._public_url), self._called())
        else:
            made = markup(card(content, public_url=self._public_url, buttons=self._buttons))
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


def _chat_id(address: str) -> int | str:
    """A number, or a public channel's `@name`, which Telegram takes as well."""
    return address if address.startswith("@") else int(address)


def _limits(delivery: Delivery) -> tuple[Limit, ...]:
    """Groups and channels have negative ids, or names."""
    return IN_A_GROUP if delivery.recipient.address.startswith(("-", "@")) else IN_PRIVATE


def _in_reply_to(thread: MessageRef | None, chat_id: int | str) -> ReplyParameters | None:
    """Replying is how Telegram keeps things together; a first message that is gone holds up nothing."""
    if thread is None or parts(thread)[0] != chat_id:
        return None
    return ReplyParameters(parts(thread)[1], allow_sending_without_reply=True)
