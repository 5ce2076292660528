"""People at work on a server that may die at any moment: they submit, press, and note what they were told.

Who decides a review, where and how, follows from the seed, the text and the attempt, so that whoever repeats
a press after a crash repeats the same one.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from tests.bot.house import served
from tests.bot.slack_house import text_of
from tests.walks.rooms import label_of_input
from tests.walks.town import SLACK, TELEGRAM, WEBHOOK_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.simulator.slack import Message as SlackMessage
    from bot.simulator.telegram.chats import Message as TelegramMessage
    from tests.walks.processes import Served
    from tests.walks.town import Platforms

PLACES = 8
"""Channels and groups among which the tasks are spread: a group takes twenty messages a minute."""
CHANNELS = tuple(f"C{number}PLACE" for number in range(PLACES))
GROUPS = tuple(-1001000000000 - number for number in range(PLACES))
ANSWER_SECONDS = 10.0
"""How long somebody in Telegram waits for an answer before they press again."""

CONFIGURATION = f"""
[people.ana]
name = "Ana Ruiz"
slack = "{SLACK["ana"]}"
telegram = {TELEGRAM["ana"]}
[people.ben]
name = "Ben Okri"
slack = "{SLACK["ben"]}"
telegram = {TELEGRAM["ben"]}
[people.sam]
name = "Sam Lee"
[policies.default]
reviewers = ["ana", "ben"]
""" + "".join(
    f"""
[policies.p{number}]
reviewers = ["ana", "ben"]
recipients = {{ slack = ["{channel}"], telegram = [{group}] }}
[flows.f{number}]
policy = "p{number}"
"""
    for number, (channel, group) in enumerate(zip(CHANNELS, GROUPS, strict=True))
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is to decide one attempt of one text."""

    way: str
    """`slack`, `telegram` or `api`."""
    person: str
    verdict: str
    reason: str | None

    @classmethod
    def of(cls, seed: int, text: str, attempt: int) -> Plan:
        chance = Random(f"{seed}/{text}/{attempt}")  # noqa: S311 - to be repeatable
        rejects = chance.random() < {1: 0.4, 2: 0.2}.get(attempt, 0.0)
        return cls(
            way=chance.choice(["slack", "telegram", "api"]),
            person=chance.choice(["ana", "ben"]),
            verdict="reject" if rejects else "approve",
            reason=chance.choice([None, f"not yet, {attempt}"]) if rejects else None,
        )


@dataclass
class Load:
    """Everybody at work. Enter it when the server is ready; `stop` submitting, then `finish`."""

    served: Served
    chats: Platforms
    seed: int
    in_flight: int
    """Tasks that are not over, at most."""
    alive: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the server answers."""
    submitted: dict[str, str] = field(default_factory=dict)
    """Acknowledged task ids, and their texts."""
    told: dict[str, Plan] = field(default_factory=dict)
    """What people were told is recorded, by review."""
    notices: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """Webhook bodies by their id."""
    numbers: int = 0
    is_submitting: bool = True
    _completed: set[str] = field(default_factory=set)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        self._chance = Random(self.seed)  # noqa: S311 - repeatable on purpose
        self._free = asyncio.Semaphore(self.in_flight)
        self.receiver = await self._stack.enter_async_context(served([web.post("/{text}", self._noticed)]))
        self.alive.set()
        workers = await self._stack.enter_async_context(asyncio.TaskGroup())
        jobs = [
            self._submit_all(),
            self._submit_all(),
            *(self._decide_all(person) for person in ("ana", "ben")),
        ]
        jobs += [self._press_all_in_slack(person) for person in ("ana", "ben")]
        jobs += [self._press_all_in_telegram(person) for person in ("ana", "ben")]
        self._workers = [workers.create_task(job) for job in jobs]
        return self

    async def __aexit__(self, *error: Any) -> None:  # noqa: PYI036 - passed on
        for worker in self._workers:
            worker.cancel()
        await self._stack.__aexit__(*error)

    def activity(self) -> int:
        """Rises with everything that the server does to the outside."""
        told = len(self.told) + len(self.submitted) + sum(len(n) for n in self.notices.values())
        return len(self.chats.slack.calls) + len(self.chats.telegram.calls) + told

    # webhooks

    async def _noticed(self, request: web.Request) -> web.Response:
        """Takes every notice, and says so to nine of ten."""
        raw = await request.text()
        body: dict[str, Any] = Webhook(WEBHOOK_SECRET).verify(raw, dict(request.headers))
        self.notices[request.headers["webhook-id"]].append(body)
        text = request.match_info["text"]
        if body["type"] == "task.completed" and text not in self._completed:
            self._completed.add(text)
            self._free.release()
        return web.Response(status=204 if self._chance.random() < 0.9 else 500)

    # submissions

    async def _submit_all(self) -> None:
        while True:
            await self._free.acquire()
            if not self.is_submitting:
                return
            self.numbers += 1
            await self._submit(self.numbers)

    async def _submit(self, number: int) -> None:
        """Until it is acknowledged. Every third has no idempotency key: a lost answer may double it."""
        text = f"Task-{number:04}"
        body = {"input": text, "flow": f"f{number % PLACES}", "callback_url": f"{self.receiver}/{text}"}
        key = {"Idempotency-Key": text} if number % 3 else {}
        while (task := await self._posted("/v1/tasks", body, "sam", **key)) is None:
            continue
        assert task[0] == 201, task
        self.submitted[task[1]["task_id"]] = text

    async def _posted(self, path: str, body: Any, person: str, **headers: str) -> tuple[int, Any] | None:
        """Status and answer; None where there was none."""
        await self.alive.wait()
        headers |= self.served.headers(person)
        try:
            async with self._http.post(self.served.url + path, json=body, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)
        except aiohttp.ClientError:
            return None

    # decisions by scripts

    async def _decide_all(self, person: str) -> None:
        """Whoever waits for a script is looked for whenever a chat has changed."""
        while True:
            for task in await self.tasks("waiting_for_review"):
                plan = Plan.of(self.seed, task["input"], task["attempt"])
                if (plan.way, plan.person) == ("api", person):
                    await self._decide(task, plan)
            await self._news()

    async def _decide(self, task: dict[str, Any], plan: Plan) -> None:
        body = {"verdict": plan.verdict, "review_id": task["review_id"]}
        body |= {"comment": plan.reason} if plan.reason else {}
        answer = await self._posted(f"/v1/tasks/{task['task_id']}/decisions", body, plan.person)
        if answer is None:
            return
        assert answer[0] in {200, 409, 412}, answer
        if answer[0] == 200:
            self.told[task["review_id"]] = plan

    async def tasks(self, status: str = "") -> list[dict[str, Any]]:
        """All that there are, as far as the server lives to tell."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            await self.alive.wait()
            url = f"{self.served.url}/v1/tasks?limit=200&status={status}&cursor={cursor}"
            try:
                async with self._http.get(url, headers=self.served.headers("sam")) as answer:
                    assert answer.status == 200, await answer.text()
                    page = await answer.json()
            except aiohttp.ClientError:
                continue
            found += page["tasks"]
            cursor = page["next_cursor"]
        return found

    async def _news(self) -> None:
        """The next change in Slack, or a second."""
        with self.chats.slack.changes() as changes:
            try:
                async with asyncio.timeout(1):
                    await anext(changes)
            except TimeoutError:
                return

    # presses in Slack

    def slack_cards(self) -> Iterator[tuple[SlackMessage, str, int]]:
        """Every card with buttons, its text and attempt."""
        for channel in CHANNELS:
            for message in self.chats.slack.messages(channel):
                if message.labels:
                    yield message, *named(text_of(message))

    async def _press_all_in_slack(self, person: str) -> None:
        slack = self.chats.slack
        while True:
            for card, text, attempt in list(self.slack_cards()):
                plan = Plan.of(self.seed, text, attempt)
                is_open = bool(slack.message(card.channel, card.ts).labels)
                if (plan.way, plan.person, is_open) == ("slack", person, True):
                    await self.alive.wait()
                    if await self._pressed_in_slack(card, plan):
                        self.told[review_in_slack(card)] = plan
            await self._news()

    async def _pressed_in_slack(self, card: SlackMessage, plan: Plan) -> bool:
        """Whether they may believe that it is recorded."""
        slack, user = self.chats.slack, SLACK[plan.person]
        if plan.verdict == "approve":
            return (await slack.press(card, "Approve", user=user)).ok
        for left in slack.open_views(user):
            await slack.close_view(left, user=user)
        told = len(slack.ephemerals(user))
        if not (await slack.press(card, "Reject…", user=user)).ok:
            return False
        try:
            await slack.until(lambda: slack.open_views(user) or len(slack.ephemerals(user)) > told, within=2)
        except TimeoutError:
            return False
        if not (dialogs := slack.open_views(user)):
            return False
        values = {label_of_input(dialogs[0].blocks): plan.reason} if plan.reason else {}
        answer = await slack.submit(dialogs[0], values, user=user)
        return answer.ok and answer.body is None

    # presses in Telegram

    def telegram_cards(self) -> Iterator[tuple[TelegramMessage, str, int]]:
        for group in GROUPS:
            for message in self.chats.telegram.messages(group):
                if message.labels[:1] == ("Approve",):
                    yield message, *named(message.text)

    async def _press_all_in_telegram(self, person: str) -> None:
        telegram = self.chats.telegram
        while True:
            for card, text, attempt in list(self.telegram_cards()):
                plan = Plan.of(self.seed, text, attempt)
                is_open = bool(telegram.message(card.chat, card.id).labels)
                is_theirs = (plan.way, plan.person, is_open) == ("telegram", person, True)
                if is_theirs and await self._pressed_in_telegram(card, plan):
                    self.told[review_in_telegram(card)] = plan
            await self._news()

    async def _pressed_in_telegram(self, card: TelegramMessage, plan: Plan) -> bool:
        telegram, user = self.chats.telegram, TELEGRAM[plan.person]
        label = "Approve" if plan.verdict == "approve" else "Reject…"
        press = await telegram.press(card, label, user=user, timeout=ANSWER_SECONDS)
        if plan.verdict == "approve" or press.text is not None:
            return press.text is not None and press.text.startswith(("Approved.", "Already "))
        prompt = await self._question(card, "No reason")
        if not press.answered or prompt is None:
            return False
        if plan.reason is None:
            press = await telegram.press(prompt, "No reason", user=user, timeout=ANSWER_SECONDS)
            return press.text == "Rejected."
        await telegram.press(prompt, "Give a reason", user=user, timeout=ANSWER_SECONDS)
        question = await self._question(card, None)
        if question is None:
            return False
        await telegram.say(card.chat, plan.reason, user=user, reply_to=question)
        return await self._is_gone(question)

    async def _question(self, card: TelegramMessage, label: str | None) -> TelegramMessage | None:
        """The newest question under a card, with that button or asking for words."""

        def look() -> TelegramMessage:
            asked = [m for m in self.chats.telegram.messages(card.chat) if m.reply_to == card.id]
            return [m for m in asked if (label in m.labels if label else m.force_reply)][-1]

        try:
            return await self.chats.telegram.until(look, timeout=ANSWER_SECONDS)
        except TimeoutError:
            return None

    async def _is_gone(self, question: TelegramMessage) -> bool:
        telegram = self.chats.telegram
        try:
            await telegram.until(
                lambda: telegram.message(question.chat, question.id).deleted, timeout=ANSWER_SECONDS
            )
        except TimeoutError:
            return False
        return True

    # the end

    async def rest(self) -> None:
        """Nobody does anything any more; notices are still taken."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def posted(self) -> Counter[tuple[str, str, int]]:
        """How often each card stands in each place: place, task id, attempt."""
        seen = [
            (channel, text_of(message))
            for channel in CHANNELS
            for message in self.chats.slack.messages(channel)
        ]
        seen += [
            (str(group), message.text)
            for group in GROUPS
            for message in self.chats.telegram.messages(group)
            if "submitted by" in message.text
        ]
        return Counter((place, task_of(text), named(text)[1]) for place, text in seen)


def task_of(text: str) -> str:
    """The id in the link to the task's page."""
    found = re.search(r"/tasks/([0-9a-f]{32})", text)
    assert found, text
    return found[1]


def named(text: str) -> tuple[str, int]:
    """The task's text and the attempt that a card shows."""
    task, attempt = re.search(r"Task-\d{4}", text), re.search(r"attempt (\d+) ·", text)
    assert task, text
    assert attempt, text
    return task[0], int(attempt[1])


def review_in_slack(card: SlackMessage) -> str:
    assert card.metadata
    return str(card.metadata["event_payload"]["review"])


def review_in_telegram(card: TelegramMessage) -> str:
    return str(card.button("Approve")["callback_data"]).partition(".")[0]
