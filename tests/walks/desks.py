"""What people do in either chat besides approving: reject by a ready reason, edit, ask, answer, hand in.

A `Desk` is a room with all of it, so that one story is told in each chat over each transport.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bot.blocks import MENU_ACTION
from bot.slack.payloads import COMMAND
from bot.views import ANSWER_BLOCK, EDIT_BLOCK, QUESTION_BLOCK
from tests.bot.slack_house import text_of
from tests.walks.rooms import PATIENCE, SlackRoom, TelegramRoom
from tests.walks.town import SLACK, TELEGRAM

if TYPE_CHECKING:
    from bot.simulator.slack import Message as SlackMessage
    from bot.simulator.slack import View
    from bot.simulator.telegram.chats import Message as TelegramMessage
    from tests.walks.rooms import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A file in a thread."""

    name: str
    content: str
    words: str
    message: Any


class Desk(Protocol):
    """One chat, over one transport; a card is whatever message its room gave."""

    @property
    def room(self) -> Room: ...
    def says(self, card: Any) -> str:
        """All that stands on it now."""
        ...

    async def reject_by(self, card: Any, person: str, reason: str) -> None:
        """By one of the policy's reasons."""
        ...

    async def edit(self, card: Any, person: str, text: str) -> str:
        """Change the draft; what is then shown, before it counts."""
        ...

    async def confirm(self, person: str) -> None: ...
    async def ask(self, card: Any, person: str, words: str) -> Any:
        """The message that asks it in the thread."""
        ...

    async def answer(self, question: Any, person: str, words: str) -> Any:
        """The message that answers it in the thread."""
        ...

    def invites(self, question: Any) -> bool:
        """Whether somebody is invited to answer it."""
        ...

    async def file(self) -> Shared:
        """The first that is shared, once one is."""
        ...

    async def say(self, person: str, words: str) -> str:
        """A command; all that only this person reads in answer, with its links."""
        ...

    def link_to(self, card: Any) -> str: ...
    async def hears(self, person: str, words: str) -> str:
        """The message to somebody who handed in a task here, once it says so."""
        ...


class SlackDesk:
    """In dialogs, and by slash command."""

    def __init__(self, room: SlackRoom) -> None:
        self.room = room
        self.slack = room.slack

    def says(self, card: SlackMessage) -> str:
        return text_of(self.room.now(card))

    async def reject_by(self, card: SlackMessage, person: str, reason: str) -> None:
        await self._press(card, "Reject…", person)
        await self._send(await self._dialog(person), {"Reason": reason}, person)

    async def edit(self, card: SlackMessage, person: str, text: str) -> str:
        await self._press(card, "Edit…", person)
        dialog = await self._dialog(person)
        assert dialog.body["submit"]["text"] == "Show the changes"
        await self._send(dialog, {EDIT_BLOCK: text}, person)
        return str((await self._dialog(person)).body)

    async def confirm(self, person: str) -> None:
        dialog = await self._dialog(person)
        assert dialog.body["submit"]["text"] == "Confirm"
        await self._send(dialog, {}, person)
        assert self.slack.open_views(SLACK[person]) == ()

    async def ask(self, card: SlackMessage, person: str, words: str) -> SlackMessage:
        await self._press(card, MENU_ACTION, person, option="Ask…")
        await self._send(await self._dialog(person), {QUESTION_BLOCK: words}, person)
        return await self.room.card(" asks ", words)

    async def answer(self, question: SlackMessage, person: str, words: str) -> SlackMessage:
        await self._press(question, "Answer…", person)
        await self._send(await self._dialog(person), {ANSWER_BLOCK: words}, person)
        return await self.room.card(" answers ", words)

    def invites(self, question: SlackMessage) -> bool:
        return "Answer…" in self.room.now(question).labels

    async def file(self) -> Shared:
        def shared() -> list[SlackMessage]:
            return [one for one in self.slack.messages(self.room.channel) if one.files]

        await self.slack.until(shared, within=PATIENCE)
        (message,) = shared()
        (file,) = message.files
        return Shared(name=file.name, content=file.content.decode(), words=message.text, message=message)

    async def say(self, person: str, words: str) -> str:
        user = SLACK[person]
        before = len(self.slack.ephemerals(user))
        answer = await self.slack.command(COMMAND, words, user=user, channel=self.room.channel)
        assert answer.ok, answer
        (seen,) = self.slack.ephemerals(user)[before:]
        assert seen.only_for == user
        return "\n".join([seen.text, text_of(seen), *_links(seen.blocks)])

    def link_to(self, card: SlackMessage) -> str:
        return f"/archives/{card.channel}/p{card.ts.replace('.', '')}"

    async def hears(self, person: str, words: str) -> str:
        im = self.slack.open_im(SLACK[person]).id

        def told() -> list[str]:
            said = [text_of(one) for one in self.slack.messages(im)]
            return [one for one in said if words in one]

        await self.slack.until(told, within=PATIENCE)
        (found,) = told()
        return found

    async def _press(self, where: SlackMessage, wanted: str, person: str, **more: Any) -> None:
        answer = await self.slack.press(self.room.now(where), wanted, user=SLACK[person], **more)
        assert answer.ok, answer

    async def _dialog(self, person: str) -> View:
        await self.slack.until(lambda: self.slack.open_views(SLACK[person]), within=PATIENCE)
        (found,) = self.slack.open_views(SLACK[person])
        return found

    async def _send(self, dialog: View, values: dict[str, str], person: str) -> None:
        answer = await self.slack.submit(dialog, values, user=SLACK[person])
        assert answer.ok, answer
        for left in self.slack.open_views(SLACK[person]):
            assert not left.errors, left.errors


def _links(value: object) -> list[str]:
    if isinstance(value, dict):
        inner = [url for each in value.values() for url in _links(each)]
        return [value["url"], *inner] if isinstance(value.get("url"), str) else inner
    return [url for each in value for url in _links(each)] if isinstance(value, (list, tuple)) else []


class TelegramDesk:
    """In replies, and by command in the private chat with the bot."""

    def __init__(self, room: TelegramRoom) -> None:
        self.room = room
        self.telegram = room.telegram

    def says(self, card: TelegramMessage) -> str:
        return self.room.now(card).text

    async def reject_by(self, card: TelegramMessage, person: str, reason: str) -> None:
        prompt = await self.room.ask_why(card, person)
        press = await self._press(prompt, reason, person)
        assert press == "Rejected."

    async def edit(self, card: TelegramMessage, person: str, text: str) -> str:
        await self._press(card, "Edit…", person)
        prompt = await self.room.card("send the whole new text of attempt")
        await self._reply(prompt, person, text)
        return (await self.room.card(" edit changes attempt ")).text

    async def confirm(self, person: str) -> None:
        shown = await self.room.card(" edit changes attempt ")
        assert await self._press(shown, "Confirm", person) == "Your edit is recorded."

    async def ask(self, card: TelegramMessage, person: str, words: str) -> TelegramMessage:
        await self._press(card, "Ask…", person)
        prompt = await self.room.card("what do you want to ask ")
        await self._reply(prompt, person, words)
        return await self.room.card(" asks ", words)

    async def answer(self, question: TelegramMessage, person: str, words: str) -> TelegramMessage:
        await self._reply(question, person, words)
        return await self.room.card(" answers ", words)

    def invites(self, question: TelegramMessage) -> bool:
        return "Reply to this message to answer" in self.room.now(question).text

    async def file(self) -> Shared:
        def shared() -> list[TelegramMessage]:
            return [one for one in self.telegram.messages(self.room.chat) if one.document]

        (message,) = await self.telegram.until(shared, timeout=PATIENCE)
        document = message.document or {}
        stored = self.telegram.state.files[document["file_id"]]
        return Shared(
            name=document["file_name"], content=stored.content.decode(), words=message.text, message=message
        )

    async def say(self, person: str, words: str) -> str:
        private = TELEGRAM[person]
        said = await self.telegram.say(private, f"/{words}", user=private)

        def answers() -> list[str]:
            return [one.text for one in self.telegram.messages(private) if one.reply_to == said.id]

        (found,) = await self.telegram.until(answers, timeout=PATIENCE)
        return found

    def link_to(self, card: TelegramMessage) -> str:
        return f"https://t.me/c/{-1_000_000_000_000 - card.chat}/{card.id}"

    async def hears(self, person: str, words: str) -> str:
        private = TELEGRAM[person]

        def told() -> list[str]:
            return [one.text for one in self.telegram.messages(private) if words in one.text]

        (found,) = await self.telegram.until(told, timeout=PATIENCE)
        return found

    async def _press(self, where: TelegramMessage, label: str, person: str) -> str | None:
        press = await self.telegram.press(where, label, user=TELEGRAM[person], timeout=PATIENCE)
        assert press.answered
        assert not press.show_alert, press.text
        return press.text

    async def _reply(self, to: TelegramMessage, person: str, words: str) -> None:
        await self.telegram.say(self.room.chat, words, user=TELEGRAM[person], reply_to=to)
