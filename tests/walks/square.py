"""A core with a stopped clock, and every way in around it: page, API, the seed's call, Slack, Telegram.

    async with square(database, clock) as there:
        asked = await there.ask("own")
        told = await there.ways["slack"](asked, SAM, "approve")
        assert told.words == "You submitted this task, so somebody else has to decide. Ana Ruiz can decide."

Every way takes the same: what was asked as it looked when it was put up, who answers, and the verdict.
"""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.people import Directory
from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from bot.slack import SlackChannel
from bot.telegram import TelegramChannel
from core.leases import Alone
from core.model import ChannelName, PersonId, Recipient
from tests.bot.house import PUBLIC_URL, core_with, served
from tests.bot.slack_house import settings_for as slack_settings
from tests.bot.telegram_house import settings_for as telegram_settings
from tests.walks.browsers import Browser
from tests.walks.rooms import SlackRoom, TelegramRoom
from tests.world import PEOPLE
from web.app import create_app
from web.auth import new_token
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bot.simulator.slack import Message as SlackMessage
    from bot.simulator.slack import View
    from bot.simulator.telegram.chats import Message as TelegramMessage
    from core.model import Policy, ReviewRequest, StoredEvent
    from core.store.database import Database
    from tests.bot.house import House
    from tests.walks.browsers import Reply
    from tests.world import StoppedClock

GENERAL = "C01GEN"
GROUP = -1001234567890
STRANGER = "mallory"
"""In both chats, and in nobody's configuration."""
SLACK = {person: f"U01{person.upper()}" for person in (*PEOPLE, STRANGER)}
TELEGRAM = {person: number for number, person in enumerate((*PEOPLE, STRANGER), 42)}
DIRECTORY = Directory.of(
    slack={person: SLACK[person] for person in PEOPLE},
    telegram={person: TELEGRAM[person] for person in PEOPLE},
)
FEEDBACK = {"approve": "approved", "reject": "rejected"}
LABELS = {"approve": "Approve", "reject": "Reject…"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What somebody was told, and the HTTP status where there is one."""

    words: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A review as it was put up: its cards are those that people may still have before their eyes."""

    review: ReviewRequest
    slack: SlackMessage
    telegram: TelegramMessage

    @property
    def task(self) -> str:
        return self.review.task.id


Way: TypeAlias = Callable[[Asked, str, str], Awaitable[Told]]
"""`await way(asked, person, verdict)`: an answer that is refused."""


@dataclass
class Square:
    house: House
    slack: SlackRoom
    telegram: TelegramRoom
    in_force: dict[str, Policy]
    url: str
    _stack: AsyncExitStack
    _browsers: dict[str, Browser] = field(default_factory=dict)

    @property
    def ways(self) -> Mapping[str, Way]:
        return {
            "page": self.by_form,
            "page from the inbox": self.by_inbox,
            "page for edits": self.by_edit,
            "api": self.by_api,
            "api by attempt": self.by_attempt,
            "seed": self.by_feedback,
            "seed, naming nothing": self.by_feedback_alone,
            "slack": self.in_slack,
            "telegram": self.in_telegram,
        }

    async def ask(self, flow: str) -> Asked:
        """A new task of Sam's, whose card is in both chats."""
        task = await self.house.submit(f"Shall we {flow}?", flow=flow)
        review = await self.house.review(task)
        return Asked(
            review=review,
            slack=await self.slack.card(task.title),
            telegram=await self.telegram.card(task.title),
        )

    async def record(self, asked: Asked) -> tuple[list[ReviewRequest], list[StoredEvent]]:
        """All that is stored of the task: its reviews with their decisions, and its history."""
        reviews = await self.house.service.reviews(asked.task)
        return list(reviews), list(await self.house.store.events(asked.review.task.id, 0))

    async def browser(self, person: str) -> Browser:
        """Signed in, for as long as the square lasts."""
        if person not in self._browsers:
            token, credential = new_token(PersonId(person), self.house.clock.now())
            await self.house.store.add_credential(credential)
            signed_in = Browser.signed_in(self.url, token)
            self._browsers[person] = await self._stack.enter_async_context(signed_in)
        return self._browsers[person]

    async def by_form(self, asked: Asked, person: str, verdict: str, back: str = "") -> Told:
        fields = {"feedback": FEEDBACK[verdict], "review_id": asked.review.id, "back": back}
        return _on_page(await (await self.browser(person)).post_form(f"/feedback/{asked.task}", **fields))

    async def by_inbox(self, asked: Asked, person: str, verdict: str) -> Told:
        return await self.by_form(asked, person, verdict, back="inbox")

    async def by_edit(self, asked: Asked, person: str, _verdict: str) -> Told:
        fields = {"content": "Rather not.", "review_id": asked.review.id}
        return _on_page(await (await self.browser(person)).post_form(f"/tasks/{asked.task}/edit", **fields))

    async def by_api(self, asked: Asked, person: str, verdict: str) -> Told:
        body = {"verdict": verdict, "review_id": asked.review.id}
        return await self._posted(person, f"/v1/tasks/{asked.task}/decisions", body)

    async def by_attempt(self, asked: Asked, person: str, verdict: str) -> Told:
        body = {"verdict": verdict, "attempt": asked.review.attempt}
        return await self._posted(person, f"/v1/tasks/{asked.task}/decisions", body)

    async def by_feedback(self, asked: Asked, person: str, verdict: str) -> Told:
        body = {"feedback": FEEDBACK[verdict], "attempt": asked.review.attempt}
        return await self._posted(person, f"/feedback/{asked.task}", body)

    async def by_feedback_alone(self, asked: Asked, person: str, verdict: str) -> Told:
        return await self._posted(person, f"/feedback/{asked.task}", {"feedback": FEEDBACK[verdict]})

    async def _posted(self, person: str, path: str, body: Mapping[str, object]) -> Told:
        reply = await (await self.browser(person)).post(path, body)
        assert reply.headers["Content-Type"] == "application/problem+json", reply.text
        return Told(words=reply.json["detail"], status=reply.status)

    async def in_slack(self, asked: Asked, person: str, verdict: str) -> Told:
        return Told(words=await self.slack.refusal(asked.slack, LABELS[verdict], person))

    async def in_telegram(self, asked: Asked, person: str, verdict: str) -> Told:
        return Told(words=await self.telegram.refusal(asked.telegram, LABELS[verdict], person))

    async def dialog(self, asked: Asked, person: str) -> View:
        """Slack's question why somebody rejects, once they have been asked."""
        slack, user = self.slack.slack, SLACK[person]
        await slack.press(asked.slack, LABELS["reject"], user=user)
        await slack.until(lambda: slack.open_views(user))
        (view,) = slack.open_views(user)
        return view

    async def dialog_sent(self, view: View, person: str) -> Told:
        answer = await self.slack.slack.submit(view, {}, user=SLACK[person])
        assert isinstance(answer.body, dict), "it was taken"
        (words,) = answer.body["errors"].values()
        return Told(words=words)

    async def question_answered(self, question: TelegramMessage, person: str) -> Told:
        """Telegram's, which `telegram.ask_why` puts."""
        press = await self.telegram.telegram.press(question, "No reason", user=TELEGRAM[person])
        assert press.show_alert, "it was taken"
        return Told(words=press.text or "")


def _on_page(reply: Reply) -> Told:
    """The problem that a page shows, without its title."""
    found = re.search(r'id="problem".*?(?:</h1>|</strong>)\s*(?:<p>)?(.*?)</p>', reply.text, re.DOTALL)
    assert found is not None, (reply.status, reply.text)
    return Told(words=html.unescape(found[1]).strip(), status=reply.status)


@asynccontextmanager
async def square(database: Database, clock: StoppedClock, *, http: bool = False) -> AsyncIterator[Square]:
    """Slack over Socket Mode and Telegram polled, or both by `http`; the clock has to begin near the real
    time, by which bolt and the simulator sign and check."""
    async with AsyncExitStack() as stack:
        slack, telegram = await _platforms(stack)
        channels: list[SlackChannel | TelegramChannel] = []
        url = await stack.enter_async_context(served(_late(channels))) if http else PUBLIC_URL

        def make_slack(house: House) -> SlackChannel:
            made = SlackChannel(
                slack_settings(slack, http=http),
                service=house.service,
                people=DIRECTORY,
                buttons=house.buttons,
                inbox=house.inbox,
                clock=clock,
                public_url=PUBLIC_URL,
            )
            channels.append(made)
            return made

        def make_telegram(house: House) -> TelegramChannel:
            made = TelegramChannel(
                telegram_settings(telegram, webhook=http),
                service=house.service,
                people=DIRECTORY,
                buttons=house.buttons,
                inbox=house.inbox,
                dialogs=house.store,
                clock=clock,
                turns=Alone(),
                public_url=url,
            )
            channels.append(made)
            return made

        places = [
            Recipient(channel=ChannelName("slack"), address=GENERAL),
            Recipient(channel=ChannelName("telegram"), address=str(GROUP)),
        ]
        in_force: dict[str, Policy] = {}
        house = await stack.enter_async_context(
            core_with(database, clock, places, make_slack, make_telegram, in_force=in_force)
        )
        slack.request_url = f"{url}/slack/events" if http else None
        for channel in channels:
            await stack.enter_async_context(channel.listening())
        yield Square(
            house,
            SlackRoom(slack, GENERAL, SLACK),
            TelegramRoom(telegram, GROUP, TELEGRAM),
            in_force,
            await _web(stack, house, clock),
            stack,
        )


async def _platforms(stack: AsyncExitStack) -> tuple[SlackSimulator, TelegramSimulator]:
    """Both simulators, with everybody in them."""
    slack = await stack.enter_async_context(SlackSimulator())
    telegram = await stack.enter_async_context(TelegramSimulator())
    for person, user in SLACK.items():
        slack.add_user(user, person)
        telegram.add_user(TELEGRAM[person], person, started=True)
    slack.add_channel(GENERAL, "general", members=SLACK.values())
    telegram.add_chat(GROUP, "supergroup", "Reviews", TELEGRAM.values())
    return slack, telegram


def _late(channels: list[SlackChannel | TelegramChannel]) -> list[web.RouteDef]:
    """The channels are made knowing their server's address, so the server asks for their routes late."""

    async def handle(request: web.Request) -> web.StreamResponse:
        (route,) = [route for channel in channels for route in channel.routes() if route.path == request.path]
        answer: web.StreamResponse = await route.handler(request)
        return answer

    return [web.post("/{tail:.*}", handle)]


async def _web(stack: AsyncExitStack, house: House, clock: StoppedClock) -> str:
    app = create_app(
        service=house.service,
        credentials=house.store,
        secrets=house.store,
        health=house.store,
        clock=clock,
        settings=WebSettings(port=0),
    )
    server = TestServer(app)
    await server.start_server(access_log=None)
    stack.push_async_callback(server.close)
    return str(server.make_url("")).rstrip("/")
