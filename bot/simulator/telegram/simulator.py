"""A loopback Telegram: the Bot API for the bot under test, and what people do in its chats.

    async with TelegramSimulator() as telegram:
        ana = telegram.add_user(42, "Ana", username="ana")
        chat = telegram.add_chat(-1001, title="Reviews", members=[ana])
        ...                                     # point python-telegram-bot at telegram.api_url and .token
        card = await telegram.until(lambda: telegram.messages(chat)[-1])
        press = await telegram.press(card, "Approve", user=ana)
        assert press.text == "Approved"

It listens on loopback only, says in every answer that it is a simulator, and keeps nothing on disk. People
act by the methods of `People` (say, press, start, …); `faults` spoils calls, `updates` disturbs what the bot
is told, `delivery` shows whether it polls or has a webhook. Marks like [api]: see `limits`.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar

from bot.simulator.telegram.chats import Answer, State, StoredFile, User
from bot.simulator.telegram.delivery import Delivery
from bot.simulator.telegram.limits import ANSWER_WINDOW, FloodLimits
from bot.simulator.telegram.methods import CHANGING, FLOODING, READING, Method
from bot.simulator.telegram.people import People
from bot.simulator.telegram.picture import picture
from bot.simulator.telegram.server import ApiServer, Handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from types import TracebackType

    from bot.simulator.faults import Call, Faults
    from bot.simulator.telegram.webhook import WebhookReply

T = TypeVar("T")

BOT_ID = 1_000_000_001


class TelegramSimulator(People):
    """One bot, its chats and their people. Enter it to listen; leaving ends every poll and task at once.

    `now` gives Unix seconds: dates, the answer window and rate limits follow it, while long polls and time
    limits of waiting follow the event loop. `retry` is the seconds before a failed webhook call is repeated.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = f"{BOT_ID}:SIMULATED-bot-token-not-a-secret-00",
        username: str = "countersign_simulated_bot",
        privacy: bool = True,
        enforce_rate_limits: bool = False,
        public_webhook_rules: bool = False,
        answer_window: float = ANSWER_WINDOW,
        retry: float = 0.05,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.bot = User(
            id=int(token.split(":", maxsplit=1)[0]),
            name="Countersign (simulated)",
            username=username,
            is_bot=True,
        )
        self.delivery = Delivery(
            now=now,
            on_change=self._ring,
            perform=self._perform,
            retry=retry,
            public_webhook_rules=public_webhook_rules,
        )
        super().__init__(
            State(bot=self.bot, now=now, answer_window=answer_window, privacy=privacy),
            self.delivery.updates,
        )
        self._floods = FloodLimits(now=now) if enforce_rate_limits else None
        self._server = ApiServer(token=token, handlers=self._handlers(), file=self._file, on_call=self._ring)
        self._where = (host, port)
        self._root = ""
        self._closed = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._server.close)
            stack.push_async_callback(self.delivery.close)
            self._root = await self._server.listen(*self._where)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._ring()
        await self._stack.aclose()

    # where to find it

    @property
    def api_url(self) -> str:
        """`http://127.0.0.1:PORT/bot`, as python-telegram-bot's `base_url` takes it."""
        return f"{self._root}/bot"

    @property
    def file_url(self) -> str:
        """`http://127.0.0.1:PORT/file/bot`, as its `base_file_url` takes it."""
        return f"{self._root}/file/bot"

    # what the bot did

    @property
    def calls(self) -> list[Call]:
        """Every call as answered, in that order; polls that brought nothing are left out."""
        return self._server.calls

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method.lower() == method.lower()]

    @property
    def faults(self) -> Faults:
        return self._server.faults

    @property
    def answers(self) -> list[Answer]:
        """Every accepted answerCallbackQuery, oldest first."""
        return self.state.answers

    def snapshot(self) -> dict[str, Any]:
        """Everything that there is to see, JSON-able: see `picture`."""
        return picture(self.state, self._version)

    async def changes(self) -> AsyncIterator[int]:
        """The picture's version: at once, then after each change (several may come as one), until the end."""
        seen = -1
        while not self._closed:
            if seen != self._version:
                seen = self._version
                yield seen
            else:
                await self._bell.wait()

    async def until(self, look: Callable[[], T], *, timeout: float = 60.0) -> T:
        """The first true thing that `look` finds, asked again after each call and change; LookupError means
        not yet. TimeoutError after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not (found := _found(look)):
                    await self._bell.wait()
        except TimeoutError:
            lately = [f"{call.method} {call.status}" for call in self.calls[-5:]]
            raise TimeoutError(f"not seen within {timeout} s; the bot's last calls: {lately}") from None
        return found

    # what a stranger does to the webhook

    async def post_webhook(
        self, body: Mapping[str, Any] | bytes, *, secret: str | None = None, url: str | None = None
    ) -> WebhookReply:
        """Post anything once to the bot's webhook (or `url`), with the right secret unless another is given;
        an empty one is not sent at all."""
        raw = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()
        return await self.delivery.post(raw, secret=secret, url=url)

    # inside

    async def _perform(self, said: Mapping[str, Any]) -> None:
        await self._server.perform(said)

    def _file(self, path: str) -> StoredFile | None:
        return next((stored for stored in self.state.files.values() if stored.path == path), None)

    def _handlers(self) -> dict[str, Handler]:
        table: dict[str, Handler] = {
            "getUpdates": self.delivery.get_updates,
            "setWebhook": self.delivery.set_webhook,
            "deleteWebhook": self.delivery.delete_webhook,
            "getWebhookInfo": self.delivery.webhook_info,
        }
        table |= {name: self._reading(method) for name, method in READING.items()}
        return table | {name: self._changing(name, method) for name, method in CHANGING.items()}

    def _reading(self, method: Method) -> Handler:
        return lambda params: method(self.state, params)

    def _changing(self, name: str, method: Method) -> Handler:
        def act(params: Mapping[str, Any]) -> Any:
            if self._floods is not None and name in FLOODING:
                self._floods.count(self.state.chat(params.get("chat_id")).id)
            result = method(self.state, params)
            self._changed()
            return result

        return act


def _found(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except LookupError:
        return None
