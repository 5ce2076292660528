"""What the simulated Telegram holds: people, chats, messages, and presses waiting for their answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bot.simulator.telegram.errors import bad_request, forbidden, upgraded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.simulator.telegram.keyboards import Button, Keyboard
    from bot.simulator.telegram.reader import Entity


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person, or the bot itself."""

    id: int
    name: str
    username: str | None = None
    is_bot: bool = False

    def as_api(self) -> dict[str, Any]:
        user = {"id": self.id, "is_bot": self.is_bot, "first_name": self.name}
        return user if self.username is None else {**user, "username": self.username}


class ChatKind(StrEnum):
    """The Bot API's words for kinds of chats."""

    PRIVATE = "private"
    GROUP = "group"
    SUPERGROUP = "supergroup"
    CHANNEL = "channel"


class Standing(StrEnum):
    """How the bot stands in a chat."""

    MEMBER = "member"
    ADMINISTRATOR = "administrator"
    MUTED = "restricted"
    LEFT = "left"
    KICKED = "kicked"
    UNSTARTED = "unstarted"
    """A private chat whose person never pressed Start."""
    BLOCKED = "blocked"
    DEACTIVATED = "deactivated"
    """A private chat whose person deleted their account."""


PRESENT = frozenset({Standing.MEMBER, Standing.ADMINISTRATOR, Standing.MUTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it was when it was looked at: an edit makes a new value under the same chat and id.

    `text` and `entities` are the caption's where there is a document; times are Unix seconds.
    """

    chat: int
    id: int
    date: int
    sender: User | None
    """None: posted in the name of a channel."""
    text: str = ""
    entities: tuple[Entity, ...] = ()
    keyboard: Keyboard = ()
    force_reply: Mapping[str, Any] | None = None
    """The prompt it came with; told to people's clients, never back to the bot."""
    has_reply_keyboard: bool = False
    document: Mapping[str, Any] | None = None
    reply_to: int | None = None
    thread: int | None = None
    """The forum topic it stands in."""
    edited: int | None = None
    deleted: bool = False
    reactions: tuple[str, ...] = ()
    origin: Mapping[str, Any] | None = None
    """Whose words somebody forwarded here."""
    service: Mapping[str, Any] = field(default_factory=dict)
    """What a service message tells, for example {"migrate_to_chat_id": …}."""

    @property
    def reply_markup(self) -> dict[str, Any] | None:
        """The inline keyboard as the Bot API has it; None where there is none."""
        rows = [[dict(button) for button in row] for row in self.keyboard]
        return {"inline_keyboard": rows} if rows else None

    @property
    def labels(self) -> tuple[str, ...]:
        """What its buttons say, in reading order."""
        return tuple(str(button["text"]) for row in self.keyboard for button in row)

    def button(self, label: str) -> Button:
        """The first button with this label; LookupError names those that there are."""
        for row in self.keyboard:
            for button in row:
                if button["text"] == label:
                    return button
        raise LookupError(f"no button {label!r} under message {self.id}, only {list(self.labels)}")


@dataclass(slots=True, kw_only=True)
class Chat:
    """A conversation. Message ids count per chat, as in supergroups: a bare id names nothing."""

    id: int
    kind: ChatKind
    title: str
    username: str | None = None
    members: set[int] = field(default_factory=set)
    administrators: set[int] = field(default_factory=set)
    owner: int | None = None
    restricted: set[int] = field(default_factory=set)
    """People who may not write, be they in it or not."""
    banned: set[int] = field(default_factory=set)
    forum: bool = False
    bot: Standing
    topics: dict[int, str] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    pinned: list[int] = field(default_factory=list)
    migrated_to: int | None = None
    last_id: int = 0

    def as_api(self) -> dict[str, Any]:
        chat: dict[str, Any] = {"id": self.id, "type": self.kind.value}
        chat |= {"first_name" if self.kind is ChatKind.PRIVATE else "title": self.title}
        chat |= {"username": self.username} if self.username else {}
        return chat | ({"is_forum": True} if self.forum else {})

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def keep(self, message: Message) -> Message:
        """Store a new message, or a changed one in place of the old."""
        self.messages[message.id] = message
        return message

    def standing(self, message_id: object) -> Message | None:
        """The message with this id, unless it was deleted."""
        message = self.messages.get(message_id) if isinstance(message_id, int) else None
        return None if message is None or message.deleted else message

    def refusal(self) -> Exception | None:
        """Why the bot may not act here at all."""
        if self.migrated_to is not None:
            return upgraded(self.migrated_to)
        place = f"the {self.kind.value} chat"
        reasons = {
            Standing.UNSTARTED: "bot can't initiate conversation with a user",
            Standing.BLOCKED: "bot was blocked by the user",
            Standing.DEACTIVATED: "user is deactivated",
            Standing.KICKED: f"bot was kicked from {place}",
            Standing.LEFT: f"bot is not a member of {place}",
        }
        return forbidden(reasons[self.bot]) if self.bot in reasons else None


@dataclass(slots=True, kw_only=True)
class Press:
    """A button pressed: what its person sees of the bot's answer, once there is one."""

    query_id: str
    user: int
    chat: int
    message: int
    data: str
    expires: float
    """When the query becomes too old, by the simulator's clock."""
    text: str | None = None
    show_alert: bool = False
    """The text came as an alert that must be closed, not as a passing notification."""
    url: str | None = None
    answered: bool = False
    _done: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def answer(self, *, text: str | None, show_alert: bool, url: str | None) -> None:
        self.text, self.show_alert, self.url, self.answered = text, show_alert, url, True
        self._done.set()

    async def wait(self, timeout: float) -> None:
        """Until answered, or until `timeout` seconds are over: a client's spinner stops either way."""
        try:
            async with asyncio.timeout(timeout):
                await self._done.wait()
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answerCallbackQuery that was accepted: what the presser saw."""

    query_id: str
    user: int
    text: str | None
    show_alert: bool
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A document's bytes and their Bot API description."""

    content: bytes = field(repr=False)
    document: Mapping[str, Any]
    path: str


EVERYBODY = ('{"type": "default"}', "")
"""The audience of commands that were set for no scope and no language."""


@dataclass(slots=True, kw_only=True)
class State:
    """Everything the simulated platform knows; the Bot API's methods read and change it."""

    bot: User
    now: Callable[[], float] = time.time
    answer_window: float
    privacy: bool
    """Group messages reach the bot only where they concern it."""
    users: dict[int, User] = field(default_factory=dict)
    chats: dict[int, Chat] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    commands: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """The lists of setMyCommands by scope, as JSON, and language."""
    presses: dict[str, Press] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    def date(self) -> int:
        return int(self.now())

    def chat(self, reference: object) -> Chat:
        """The chat with this id or @username, or 400 as Telegram says it."""
        if reference in (None, ""):
            raise bad_request("chat_id is empty")
        if isinstance(reference, str) and reference.startswith("@"):
            found = [chat for chat in self.chats.values() if chat.username == reference[1:]]
            chat = found[0] if found and found[0].kind is not ChatKind.PRIVATE else None
        else:
            chat = self.chats.get(reference) if isinstance(reference, int) else None
        if chat is None:
            raise bad_request("chat not found")
        return chat

    def open_chat(self, reference: object) -> Chat:
        """A chat that the bot is in, or the refusal that tells why it is not."""
        chat = self.chat(reference)
        refusal = chat.refusal()
        if refusal is not None:
            raise refusal
        return chat

    def post(self, chat: Chat, sender: User | None, **parts: Any) -> Message:
        """Add a new message to a chat."""
        return chat.keep(Message(chat=chat.id, id=chat.next_id(), date=self.date(), sender=sender, **parts))

    def change(self, message: Message, **parts: Any) -> Message:
        return self.chats[message.chat].keep(replace(message, **parts))

    def as_api(self, message: Message, *, with_reply: bool = True) -> dict[str, Any]:
        """A Message as the Bot API has it; its ForceReply is never told back."""
        chat = self.chats[message.chat]
        body: dict[str, Any] = {"message_id": message.id, "date": message.date, "chat": chat.as_api()}
        body |= (
            {"sender_chat": chat.as_api()} if message.sender is None else {"from": message.sender.as_api()}
        )
        body |= _thread(message) | _content(message) | dict(message.service)
        if message.reply_markup is not None:
            body["reply_markup"] = message.reply_markup
        if message.origin is not None:
            body["forward_origin"] = dict(message.origin)
        if message.edited is not None:
            body["edit_date"] = message.edited
        # what stands in a topic answers the topic's first message, unless it answers another
        answered = chat.standing(message.reply_to or message.thread) if with_reply else None
        return (
            body
            if answered is None
            else {**body, "reply_to_message": self.as_api(answered, with_reply=False)}
        )


def _thread(message: Message) -> dict[str, Any]:
    return {} if message.thread is None else {"message_thread_id": message.thread, "is_topic_message": True}


def _content(message: Message) -> dict[str, Any]:
    entities = [dict(entity) for entity in message.entities]
    if message.document is not None:
        body: dict[str, Any] = {"document": dict(message.document)}
        body |= {"caption": message.text} if message.text else {}
        return body | ({"caption_entities": entities} if entities else {})
    body = {"text": message.text} if message.text else {}
    return body | ({"entities": entities} if entities else {})
