"""A Slack channel and a Telegram group as their people see them: cards, presses, private answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tests.bot.slack_house import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.simulator.slack import Message as SlackMessage
    from bot.simulator.slack import SlackSimulator
    from bot.simulator.telegram import TelegramSimulator
    from bot.simulator.telegram.chats import Message as TelegramMessage

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""


class Room(Protocol):
    """What a story needs of either; a card is whatever message its own `card` gave."""

    @property
    def name(self) -> str: ...
    def cards(self, *words: str) -> Sequence[Any]:
        """The bot's messages that say all of this, oldest first."""
        ...

    async def card(self, *words: str) -> Any:
        """The first of them, once there is one."""
        ...

    def now(self, card: Any) -> Any:
        """The message as it stands now."""
        ...

    async def until_it_says(self, card: Any, *words: str) -> str:
        """The whole text of a card, once it says all of this and has no button left."""
        ...

    def is_in_thread_of(self, card: Any, first: Any) -> bool: ...
    async def approve(self, card: Any, person: str) -> None: ...
    async def reject(self, card: Any, person: str, reason: str | None) -> None: ...
    async def refusal(self, card: Any, label: str, person: str) -> str:
        """Press, and read what only this person is told."""
        ...


class SlackRoom:
    """One channel; messages are found by what they say, and looked at as they stand now."""

    name = "slack"

    def __init__(self, slack: SlackSimulator, channel: str, people: Mapping[str, str]) -> None:
        self.slack = slack
        self.channel = channel
        self._people = people

    def cards(self, *words: str) -> list[SlackMessage]:
        return [m for m in self.slack.messages(self.channel) if all(word in text_of(m) for word in words)]

    async def card(self, *words: str) -> SlackMessage:
        await self.slack.until(lambda: self.cards(*words), within=PATIENCE)
        return self.cards(*words)[0]

    def now(self, card: SlackMessage) -> SlackMessage:
        return self.slack.message(card.channel, card.ts)

    async def until_it_says(self, card: SlackMessage, *words: str) -> str:
        def closed() -> bool:
            now = self.now(card)
            return not now.labels and all(word in text_of(now) for word in words)

        await self.slack.until(closed, within=PATIENCE)
        return text_of(self.now(card))

    def is_in_thread_of(self, card: SlackMessage, first: SlackMessage) -> bool:
        return card.thread_ts == first.ts

    async def approve(self, card: SlackMessage, person: str) -> None:
        answer = await self.slack.press(card, "Approve", user=self._people[person])
        assert answer.ok, answer

    async def reject(self, card: SlackMessage, person: str, reason: str | None) -> None:
        user = self._people[person]
        answer = await self.slack.press(card, "Reject…", user=user)
        assert answer.ok, answer
        await self.slack.until(lambda: self.slack.open_views(user), within=PATIENCE)
        (dialog,) = self.slack.open_views(user)
        values = {} if reason is None else {label_of_input(dialog.blocks): reason}
        assert (await self.slack.submit(dialog, values, user=user)).ok
        assert self.slack.open_views(user) == ()

    async def refusal(self, card: SlackMessage, label: str, person: str) -> str:
        user = self._people[person]
        before = len(self.slack.ephemerals(user))
        answer = await self.slack.press(card, label, user=user)
        assert answer.ok, answer
        await self.slack.until(lambda: len(self.slack.ephemerals(user)) > before, within=PATIENCE)
        (said,) = self.slack.ephemerals(user)[before:]
        assert self.slack.open_views(user) == ()
        return said.text


def label_of_input(blocks: tuple[dict[str, object], ...]) -> str:
    """The block id of a dialog's only input."""
    (found,) = [str(block["block_id"]) for block in blocks if block["type"] == "input"]
    return found


class TelegramRoom:
    """One group; the same for Telegram."""

    name = "telegram"

    def __init__(self, telegram: TelegramSimulator, chat: int, people: Mapping[str, int]) -> None:
        self.telegram = telegram
        self.chat = chat
        self._people = people

    def cards(self, *words: str) -> list[TelegramMessage]:
        ours = [m for m in self.telegram.messages(self.chat) if m.sender == self.telegram.bot]
        return [m for m in ours if all(word in m.text for word in words)]

    async def card(self, *words: str) -> TelegramMessage:
        return (await self.telegram.until(lambda: self.cards(*words), timeout=PATIENCE))[0]

    def now(self, card: TelegramMessage) -> TelegramMessage:
        return self.telegram.message(card.chat, card.id)

    async def until_it_says(self, card: TelegramMessage, *words: str) -> str:
        def closed() -> bool:
            now = self.now(card)
            return not now.labels and all(word in now.text for word in words)

        await self.telegram.until(closed, timeout=PATIENCE)
        return self.now(card).text

    def is_in_thread_of(self, card: TelegramMessage, first: TelegramMessage) -> bool:
        return card.reply_to == first.id

    async def approve(self, card: TelegramMessage, person: str) -> None:
        press = await self.telegram.press(card, "Approve", user=self._people[person], timeout=PATIENCE)
        assert press.answered
        assert not press.show_alert, press.text

    async def reject(self, card: TelegramMessage, person: str, reason: str | None) -> None:
        user = self._people[person]
        prompt = await self.ask_why(card, person)
        if reason is None:
            await self.telegram.press(prompt, "No reason", user=user, timeout=PATIENCE)
        else:
            await self.telegram.press(prompt, "Give a reason", user=user, timeout=PATIENCE)
            question = await self.question()
            await self.telegram.say(self.chat, reason, user=user, reply_to=question)
        await self.telegram.until(lambda: not self.questions(), timeout=PATIENCE)

    async def ask_why(self, card: TelegramMessage, person: str) -> TelegramMessage:
        """Press Reject…; the question that comes up under the card."""
        press = await self.telegram.press(card, "Reject…", user=self._people[person], timeout=PATIENCE)
        assert press.answered
        assert press.text is None, press.text
        return await self.telegram.until(
            lambda: next(m for m in self.questions() if m.reply_to == card.id and m.labels), timeout=PATIENCE
        )

    async def question(self) -> TelegramMessage:
        """The question that is to be answered in words."""
        return await self.telegram.until(
            lambda: next((m for m in self.questions() if m.force_reply), None) or self.questions()[99],
            timeout=PATIENCE,
        )

    def questions(self) -> list[TelegramMessage]:
        return self.cards("why do you reject attempt")

    async def refusal(self, card: TelegramMessage, label: str, person: str) -> str:
        press = await self.telegram.press(card, label, user=self._people[person], timeout=PATIENCE)
        assert press.answered
        assert press.show_alert
        assert self.questions() == []
        return press.text or ""
