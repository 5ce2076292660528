"""What people do in the simulated chats: join, write, press, block the bot, move.

Users and chats may be given as values or as ids.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from bot.simulator.telegram.chats import PRESENT, Chat, ChatKind, Message, Press, Standing, User
from bot.simulator.telegram.entities import found_entities
from bot.simulator.telegram.methods import member
from bot.simulator.telegram.privacy import reaches_bot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.simulator.telegram.chats import State
    from bot.simulator.telegram.updates import UpdateQueue

AnyUser: TypeAlias = "User | int"
AnyChat: TypeAlias = "Chat | int"

FIRST_SUPERGROUP = -1_000_000_000_000
"""Ids of supergroups and channels count down from here [td]."""
FIRST_QUERY = 4_382_000_000_000_000_000
"""Ids of callback queries are large numbers in a string; these count up from here."""


class MessageShape(StrEnum):
    """How a press tells the bot of its message (CallbackQuery.message)."""

    FULL = "full"
    INACCESSIBLE = "inaccessible"
    """Chat and id only, date 0: so for deleted messages, and for some old ones."""
    ABSENT = "absent"


class People:
    """The human side of one simulated Telegram."""

    def __init__(self, state: State, updates: UpdateQueue) -> None:
        self.state = state
        self.updates = updates
        self.message_shape = MessageShape.FULL
        self._version = 0
        self._bell = asyncio.Event()

    # what there is

    def messages(self, chat: AnyChat, *, deleted: bool = False) -> list[Message]:
        """A chat as it is now, oldest first; with `deleted`, also what is gone (and says so)."""
        kept = self._chat(chat).messages.values()
        return [message for message in kept if deleted or not message.deleted]

    def message(self, chat: AnyChat, message_id: int) -> Message:
        """The present state of one message, deleted or not."""
        return self._chat(chat).messages[message_id]

    def chat(self, chat_id: int) -> Chat:
        return self.state.chats[chat_id]

    def user(self, user_id: int) -> User:
        return self.state.users[user_id]

    # who is there

    def add_user(
        self, user_id: int, name: str, username: str | None = None, *, started: bool = False
    ) -> User:
        """A person and their private chat with the bot; until `start`, the bot may not write there."""
        user = self.state.users[user_id] = User(id=user_id, name=name, username=username)
        standing = Standing.MEMBER if started else Standing.UNSTARTED
        private = Chat(id=user_id, kind=ChatKind.PRIVATE, title=name, username=username, bot=standing)
        private.members.add(user_id)
        self.state.chats[user_id] = private
        self._changed()
        return user

    def add_chat(
        self,
        chat_id: int,
        kind: str = "supergroup",
        title: str = "",
        members: Iterable[AnyUser] = (),
        *,
        administrators: Iterable[AnyUser] = (),
        username: str | None = None,
        forum: bool = False,
        bot: str | None = None,
    ) -> Chat:
        """A group, supergroup or channel that the bot is in: as `bot` says, else as member (in a channel: as
        administrator, who alone may post there)."""
        known = ChatKind(kind)
        standing = Standing(bot or ("administrator" if known is ChatKind.CHANNEL else "member"))
        chat = Chat(id=chat_id, kind=known, title=title, username=username, forum=forum, bot=standing)
        chat.administrators = {self._user(user).id for user in administrators}
        chat.members = chat.administrators | {self._user(user).id for user in members}
        self.state.chats[chat_id] = chat
        self._changed()
        return chat

    def join(self, chat: AnyChat, user: AnyUser) -> None:
        place, person = self._chat(chat), self._user(user)
        place.members.add(person.id)
        place.banned.discard(person.id)
        self._changed()

    def leave(self, chat: AnyChat, user: AnyUser, *, banned: bool = False) -> None:
        """Be in a chat no more: by oneself, or `banned`. The bot is told only where it asked to be
        [api: chat_member], which no update of the simulator's is."""
        place, person = self._chat(chat), self._user(user)
        place.members.discard(person.id)
        place.administrators.discard(person.id)
        if banned:
            place.banned.add(person.id)
        self._changed()

    # what people do

    async def start(self, user: AnyUser, payload: str = "") -> Message:
        """Press Start in the private chat (again, after blocking); `payload` comes from a deep link."""
        person = self._user(user)
        self._stand(self._chat(person.id), Standing.MEMBER, by=person)
        return await self.say(person.id, f"/start {payload}".strip(), user=person)

    async def say(
        self,
        chat: AnyChat,
        text: str,
        *,
        user: AnyUser,
        reply_to: Message | int | None = None,
        thread: int | None = None,
    ) -> Message:
        """Write in a chat; whether the bot hears it depends on privacy mode and where it stands."""
        place, person = self._chat(chat), self._member(chat, user)
        if place.bot is Standing.UNSTARTED:
            place.bot = Standing.MEMBER
        is_channel = place.kind is ChatKind.CHANNEL
        answered = reply_to.id if isinstance(reply_to, Message) else reply_to
        if thread is None and answered in place.messages:
            thread = place.messages[answered].thread
        message = self.state.post(
            place,
            None if is_channel else person,
            text=text,
            entities=tuple(found_entities(text)),
            reply_to=answered,
            thread=thread,
        )
        self._tell("channel_post" if is_channel else "message", message)
        return message

    async def forward(self, message: Message, chat: AnyChat, *, user: AnyUser) -> Message:
        """Show somebody's words elsewhere; buttons that tell a bot do not go with them."""
        place, person, wrote = self._chat(chat), self._member(chat, user), message.sender
        origin: dict[str, Any] = {"type": "hidden_user", "sender_user_name": "", "date": message.date}
        if wrote is not None:
            origin = {"type": "user", "sender_user": wrote.as_api(), "date": message.date}
        shown = self.state.post(place, person, text=message.text, entities=message.entities, origin=origin)
        self._tell("message", shown)
        return shown

    def edit(self, message: Message, text: str) -> Message:
        """A person changes what they wrote."""
        now = self.message(message.chat, message.id)
        changed = self.state.change(
            now, text=text, entities=tuple(found_entities(text)), edited=self.state.date()
        )
        self._tell("edited_channel_post" if message.sender is None else "edited_message", changed)
        return changed

    def delete(self, message: Message) -> None:
        """Somebody removes a message; bots are not told."""
        self.state.change(self.message(message.chat, message.id), deleted=True)
        self._changed()

    async def press(
        self,
        message: Message,
        label: str,
        *,
        user: AnyUser,
        timeout: float = 60.0,
        shape: MessageShape | None = None,
        too_old: bool = False,
    ) -> Press:
        """Press a button and wait until the bot has answered or `timeout` seconds are over (`answered` tells
        which). The button is looked up under `message` as given: an old value presses an old button."""
        press = self.tap(message, label, user=user, shape=shape, too_old=too_old)
        await press.wait(timeout)
        return press

    def tap(
        self,
        message: Message,
        label: str,
        *,
        user: AnyUser,
        shape: MessageShape | None = None,
        too_old: bool = False,
    ) -> Press:
        """Press without waiting."""
        button = message.button(label)
        if "callback_data" not in button:
            raise LookupError(f"{label!r} opens {button.get('url')}; the bot is not told")
        data = str(button["callback_data"])
        return self.tap_raw(data, user=user, message=message, shape=shape, too_old=too_old)

    async def press_raw(
        self, data: str, *, user: AnyUser, message: Message, timeout: float = 60.0, too_old: bool = False
    ) -> Press:
        """Press a button that is not there: a manipulated client may send any data."""
        press = self.tap_raw(data, user=user, message=message, too_old=too_old)
        await press.wait(timeout)
        return press

    def tap_raw(
        self,
        data: str,
        *,
        user: AnyUser,
        message: Message,
        shape: MessageShape | None = None,
        too_old: bool = False,
    ) -> Press:
        """`too_old`: the query can no longer be answered, as after the bot was down for a while."""
        person, place = self._member(message.chat, user), self._chat(message.chat)
        number = len(self.state.presses) + 1
        press = Press(
            query_id=str(FIRST_QUERY + number),
            user=person.id,
            chat=place.id,
            message=message.id,
            data=data,
            expires=float("-inf") if too_old else self.state.now() + self.state.answer_window,
        )
        self.state.presses[press.query_id] = press
        query = {"id": press.query_id, "from": person.as_api(), "chat_instance": str(7_919 * abs(place.id))}
        query |= self._pressed(message, shape or self.message_shape) | {"data": data}
        if place.bot in PRESENT:
            self.updates.put("callback_query", query, lane=f"user {person.id}")
        self._changed()
        return press

    def block_bot(self, user: AnyUser) -> None:
        """In their private chat: the bot's calls are then forbidden."""
        person = self._user(user)
        self._stand(self._chat(person.id), Standing.BLOCKED, by=person)

    def deactivate(self, user: AnyUser) -> None:
        """They delete their account."""
        self._chat(self._user(user).id).bot = Standing.DEACTIVATED
        self._changed()

    def kick_bot(self, chat: AnyChat, *, by: AnyUser | None = None) -> None:
        self._stand(self._chat(chat), Standing.KICKED, by=self._somebody(chat, by))

    def let_bot_in(self, chat: AnyChat, standing: str = "member", *, by: AnyUser | None = None) -> None:
        """Add the bot (again), promote it ("administrator") or mute it ("restricted")."""
        self._stand(self._chat(chat), Standing(standing), by=self._somebody(chat, by))

    def migrate(self, chat: AnyChat) -> int:
        """Make a supergroup of a group; its new id. Messages stay behind in the old chat, which refuses
        everything from now on and names the new one."""
        old = self._chat(chat)
        new_id = min([FIRST_SUPERGROUP, *self.state.chats]) - 1
        new = self.add_chat(new_id, "supergroup", old.title, old.members, bot=old.bot.value)
        new.administrators, new.owner = set(old.administrators), old.owner
        new.banned = set(old.banned)
        sender = self._somebody(old, None)
        leaving = self.state.post(old, sender, service={"migrate_to_chat_id": new.id})
        self._tell("message", leaving)
        old.migrated_to = new.id
        self._tell("message", self.state.post(new, sender, service={"migrate_from_chat_id": old.id}))
        return new.id

    # inside

    def _chat(self, chat: AnyChat) -> Chat:
        return chat if isinstance(chat, Chat) else self.state.chats[chat]

    def _user(self, user: AnyUser) -> User:
        return user if isinstance(user, User) else self.state.users[user]

    def _member(self, chat: AnyChat, user: AnyUser) -> User:
        place, person = self._chat(chat), self._user(user)
        if person.id not in place.members:
            raise ValueError(f"{person.name} ({person.id}) is not in the chat {place.id}; see join()")
        return person

    def _somebody(self, chat: AnyChat, user: AnyUser | None) -> User:
        """Who does it: this one, else an administrator or member of the chat."""
        if user is not None:
            return self._user(user)
        place = self._chat(chat)
        people = [*sorted(place.administrators), *sorted(place.members)]
        return self._user(people[0]) if people else self.state.bot

    def _pressed(self, message: Message, shape: MessageShape) -> dict[str, Any]:
        place = self._chat(message.chat)
        now = place.standing(message.id)
        if shape is MessageShape.ABSENT:
            return {}
        if now is None or shape is MessageShape.INACCESSIBLE:
            return {"message": {"chat": place.as_api(), "message_id": message.id, "date": 0}}
        return {"message": self.state.as_api(now)}

    def _tell(self, kind: str, message: Message) -> None:
        place = self._chat(message.chat)
        if reaches_bot(self.state, place, message):
            self.updates.put(kind, self.state.as_api(message), lane=f"chat {place.id}")
        self._changed()

    def _stand(self, place: Chat, standing: Standing, *, by: User) -> None:
        """Change how the bot stands in a chat; it is told by my_chat_member, in private chats only when it
        is blocked or unblocked [api: Update]."""
        before = member(self.state, place, self.state.bot)
        place.bot = standing
        after = member(self.state, place, self.state.bot)
        is_told = place.kind is not ChatKind.PRIVATE or "kicked" in {before["status"], after["status"]}
        if is_told and before["status"] != after["status"]:
            change = {"chat": place.as_api(), "from": by.as_api(), "date": self.state.date()}
            change |= {"old_chat_member": before, "new_chat_member": after}
            self.updates.put("my_chat_member", change, lane=f"chat {place.id}")
        self._changed()

    def _changed(self) -> None:
        """Something that can be seen is different."""
        self._version += 1
        self._ring()

    def _ring(self) -> None:
        """Wake all who wait for anything."""
        self._bell.set()
        self._bell = asyncio.Event()
