"""What people do on the page: each post is one press, one message or one dialog, by the person it names."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bot.bodies import read_body
from bot.simulator.slack.forms import NotOffered
from core.errors import Invalid, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.simulator.slack import SlackSimulator
    from bot.simulator.telegram import TelegramSimulator

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class Act(BaseModel):
    """A post's body."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SlackPress(Act):
    user: str
    channel: str
    ts: str
    action: str
    """The `action_id` of the button, or the menu."""
    option: str | None = None
    """The value of what is chosen in a menu."""


class SlackWords(Act):
    user: str
    channel: str
    text: Text
    thread: str | None = None


class SlackDialog(Act):
    user: str
    view: str
    values: dict[str, str] = {}
    """What was typed, by block_id."""


class TelegramPress(Act):
    user: int
    chat: int
    message: int
    label: str


class TelegramWords(Act):
    user: int
    chat: int
    text: Text
    reply_to: int | None = None


Body = TypeVar("Body", bound=Act)


class SlackActions:
    """In the simulated Slack. The answer's `ok` is whether the app took it well, as Slack sees it."""

    def __init__(self, slack: SlackSimulator) -> None:
        self._slack = slack

    def routes(self, path: str) -> list[web.RouteDef]:
        return [
            web.post(f"{path}/slack/press", self.press),
            web.post(f"{path}/slack/say", self.say),
            web.post(f"{path}/slack/submit", self.submit),
            web.post(f"{path}/slack/close", self.close),
        ]

    async def press(self, request: web.Request) -> web.Response:
        act = await _parsed(request, SlackPress)
        with _as_offered():
            message = self._slack.message(act.channel, act.ts)
            answer = await self._slack.press(message, act.action, user=act.user, option=act.option)
        return web.json_response({"ok": answer.ok})

    async def say(self, request: web.Request) -> web.Response:
        act = await _parsed(request, SlackWords)
        text = self._with_mentions(act.text)
        command, _, rest = text.partition(" ")
        with _as_offered():
            if not command.startswith("/"):
                await self._slack.say(act.channel, text, user=act.user, thread_ts=act.thread)
                return web.json_response({"ok": True})
            answer = await self._slack.command(command, rest, user=act.user, channel=act.channel)
        return web.json_response({"ok": answer.ok})

    def _with_mentions(self, text: str) -> str:
        """`@Ben Okafor` and `@ben.okafor` as `<@U02BEN>`, which Slack's own clients make of a name."""
        for user in self._slack.users():
            for name in (user.name, user.name.replace(" ", ".")):
                called = rf"(?<!\S)@{re.escape(name)}(?![\w.])"
                text = re.sub(called, f"<@{user.id}>", text, flags=re.IGNORECASE)
        return text

    async def submit(self, request: web.Request) -> web.Response:
        act = await _parsed(request, SlackDialog)
        typed = {block: text for block, text in act.values.items() if text}
        with _as_offered():
            answer = await self._slack.submit(self._slack.view(act.view), typed, user=act.user)
        return web.json_response({"ok": answer.ok})

    async def close(self, request: web.Request) -> web.Response:
        act = await _parsed(request, SlackDialog)
        with _as_offered():
            await self._slack.close_view(self._slack.view(act.view), user=act.user)
        return web.json_response({"ok": True})


class TelegramActions:
    """In the simulated Telegram."""

    def __init__(self, telegram: TelegramSimulator) -> None:
        self._telegram = telegram

    def routes(self, path: str) -> list[web.RouteDef]:
        return [
            web.post(f"{path}/telegram/press", self.press),
            web.post(f"{path}/telegram/say", self.say),
        ]

    async def press(self, request: web.Request) -> web.Response:
        """With what the presser alone is shown: `text`, as an alert or in passing."""
        act = await _parsed(request, TelegramPress)
        with _as_offered():
            message = self._telegram.message(act.chat, act.message)
            press = await self._telegram.press(message, act.label, user=act.user)
        return web.json_response({"ok": press.answered, "text": press.text, "alert": press.show_alert})

    async def say(self, request: web.Request) -> web.Response:
        act = await _parsed(request, TelegramWords)
        with _as_offered():
            await self._telegram.say(act.chat, act.text, user=act.user, reply_to=act.reply_to)
        return web.json_response({"ok": True})


async def _parsed(request: web.Request, shape: type[Body]) -> Body:
    """The body as JSON of this shape; raises `Invalid` with a sentence."""
    try:
        return shape.model_validate_json(await read_body(request))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise Invalid(f"{where}: {first['msg']}.") from None


@contextmanager
def _as_offered() -> Iterator[None]:
    """Who or what is not there is `Invalid`; a button that is gone by now, `Refused`."""
    try:
        yield
    except NotOffered as error:
        raise Refused(f"Not possible in Slack: {error}.") from error
    except LookupError as error:
        raise Refused(f"Not possible in Telegram: {error}.") from error
    except ValueError as error:
        raise Invalid(f"Not possible in Telegram: {error}.") from error
