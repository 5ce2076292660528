"""Everybody presses at once: one decision, one outcome, and everybody is answered."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from tests.walks.browsers import Browser
from tests.walks.processes import Served, serving
from tests.walks.rooms import SlackRoom, TelegramRoom, label_of_input
from tests.walks.runs import figures, seeded
from tests.walks.town import GENERAL, GROUP, Platforms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from random import Random

    from bot.simulator.slack import Message as SlackMessage
    from bot.simulator.telegram.chats import Message as TelegramMessage

TEXT = "Pay the invoice"
REVIEWERS = [f"r{number}" for number in range(40)]
GUESTS = [f"g{number}" for number in range(10)]
"""Known, and no reviewers."""
STRANGERS = [f"x{number}" for number in range(10)]
EVERYBODY = ["sam", *REVIEWERS, *GUESTS, *STRANGERS]
KNOWN = ["sam", *REVIEWERS, *GUESTS]
SLACK = {person: f"U{number:05}" for number, person in enumerate(EVERYBODY)}
TELEGRAM = {person: 1000 + number for number, person in enumerate(EVERYBODY)}
PATIENCE = 60.0
"""How long an answer is waited for; the figures tell how long it took."""
AFTER_ATTEMPT_2 = 9
"""The number of the event that opened attempt 2: submitted, started, opened, decided, rejected, started."""
LINES = 40
"""Presses on their way at once by each of the three ways; the others press as soon as a line is free."""


def configuration() -> str:
    people = [
        f'[people.{person}]\nname = "{person}"\nslack = "{SLACK[person]}"\ntelegram = {TELEGRAM[person]}\n'
        for person in KNOWN
    ]
    places = f'[recipients]\nslack = ["{GENERAL}"]\ntelegram = [{GROUP}]\n'
    return "".join([*people, places, f"[policies.default]\nreviewers = {[*REVIEWERS, 'sam']}\n"])


@asynccontextmanager
async def peopled() -> AsyncIterator[Platforms]:
    """Both simulators with everybody in them."""
    async with (
        SlackSimulator(ack_seconds=PATIENCE) as slack,
        TelegramSimulator(answer_window=PATIENCE) as telegram,
    ):
        for person in EVERYBODY:
            slack.add_user(SLACK[person], person)
            telegram.add_user(TELEGRAM[person], person, started=True)
        slack.add_channel(GENERAL, "general", members=SLACK.values())
        telegram.add_chat(GROUP, "supergroup", "Reviews", TELEGRAM.values())
        yield Platforms(slack, telegram)


@dataclass
class Crowd:
    """A task whose attempt 2 waits in both chats, and whose attempt 1 still stands there in people's eyes."""

    served: Served
    http: aiohttp.ClientSession
    slack: SlackRoom
    telegram: TelegramRoom
    task: str
    slack_cards: tuple[SlackMessage, SlackMessage]
    """As they were: the open one and the stale one."""
    telegram_cards: tuple[TelegramMessage, TelegramMessage]
    seconds: list[float] = field(default_factory=list)
    recorded: int = 0
    refused: int = 0
    in_slack_pressed: int = 0

    def __post_init__(self) -> None:
        self.ways = [
            (asyncio.Semaphore(LINES), way) for way in (self.in_slack, self.in_telegram, self.on_the_web)
        ]

    async def press(self, chance: Random) -> None:
        """Somebody presses something somewhere, and waits for the answer."""
        kind = chance.choices(["right", "foreign", "own", "stale"], [50, 25, 5, 20])[0]
        person = chance.choice({"foreign": GUESTS + STRANGERS, "own": ["sam"]}.get(kind, REVIEWERS))
        rejects, which = chance.random() < 0.2, int(kind == "stale")
        line, way = chance.choice(self.ways)
        async with line:
            began = time.perf_counter()
            is_recorded = await way(person, rejects, which)
            self.seconds.append(time.perf_counter() - began)
        self.recorded += is_recorded
        self.refused += not is_recorded

    async def in_slack(self, person: str, rejects: bool, which: int) -> bool:
        """Whether a dialog recorded it; of all else Slack tells afterwards, see `all_told`."""
        slack, user, label = self.slack.slack, SLACK[person], "Reject…" if rejects else "Approve"
        answer = await slack.press(self.slack_cards[which], label, user=user)
        assert answer.status == 200, answer
        self.in_slack_pressed += 1
        dialogs = slack.open_views(user) if rejects else ()
        if not dialogs:
            return False
        sent = await slack.submit(dialogs[-1], {label_of_input(dialogs[-1].blocks): "no"}, user=user)
        assert sent.status == 200, sent
        await slack.close_view(dialogs[-1], user=user)
        return sent.body is None

    async def all_told(self, winner: dict[str, str]) -> None:
        """Everybody in Slack has a dialog or a private word, but for who approved there: the card says it."""
        slack = self.slack.slack
        opened = sum(call.method == "views.open" and call.answer["ok"] is True for call in slack.calls)
        has_won = int((winner["via"], winner["verdict"]) == ("slack", "approve"))
        self.recorded, self.refused = self.recorded + has_won, self.refused - has_won
        told = self.in_slack_pressed - opened - has_won
        people = list(SLACK.values())
        await slack.until(lambda: sum(len(slack.ephemerals(user)) for user in people) == told)

    async def in_telegram(self, person: str, rejects: bool, which: int) -> bool:
        telegram, user, card = self.telegram.telegram, TELEGRAM[person], self.telegram_cards[which]
        label = "Reject…" if rejects else "Approve"
        press = await telegram.press(card, label, user=user, timeout=PATIENCE)
        assert press.answered, press
        if press.text is None:
            (question, *_) = [m for m in self.telegram.questions() if m.text.startswith(f"{person},")]
            press = await telegram.press(question, "No reason", user=user, timeout=PATIENCE)
            assert press.answered, press
        assert press.text, press
        return press.text in {"Approved.", "Rejected."}

    async def on_the_web(self, person: str, rejects: bool, which: int) -> bool:
        feedback = {"feedback": "rejected" if rejects else "approved", "attempt": 2 - which}
        headers = self.served.headers(person) if person in KNOWN else {}
        url = f"{self.served.url}/feedback/{self.task}"
        async with self.http.post(url, json=feedback, headers=headers) as answer:
            assert answer.status in {200, 401, 403, 409, 412}, await answer.text()
            assert answer.status == 200 or answer.content_type == "application/problem+json"
            return answer.status == 200


async def crowded(folder: Path, stack: AsyncExitStack) -> Crowd:
    enter: Callable[..., Awaitable[Served]] = stack.enter_async_context
    chats = await stack.enter_async_context(peopled())
    text = configuration()
    served = await enter(
        serving(folder, chats, configuration=text, people=KNOWN, slack_http=True, telegram_webhook=True)
    )
    connector = aiohttp.TCPConnector(limit=0)
    http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, trust_env=False))
    slack, telegram = SlackRoom(chats.slack, GENERAL, SLACK), TelegramRoom(chats.telegram, GROUP, TELEGRAM)
    sam = Browser(http, served.url, served.tokens["sam"])
    task = (await sam.post("/submit", {"data": TEXT})).json["task_id"]
    stale = await slack.card(TEXT), await telegram.card(TEXT)
    await telegram.reject(stale[1], "r0", "once more")
    fresh = await slack.card("attempt 2 ·"), await telegram.card("attempt 2 ·")
    cards = (fresh[0], stale[0]), (fresh[1], stale[1])
    return Crowd(served, http, slack, telegram, task, *cards)


async def one_decision(crowd: Crowd) -> dict[str, str]:
    """The only one on the record, once its cards are closed and the flow has gone on."""
    sam = Browser(crowd.http, crowd.served.url, crowd.served.tokens["sam"], is_script=True)
    events = await sam.until_named(crowd.task, "task_completed", "review_requested", after=AFTER_ATTEMPT_2)
    kinds = [event.name for event in events]
    assert kinds in (
        ["decision_recorded", "review_approved", "task_completed"],
        ["decision_recorded", "review_rejected", "attempt_started", "node_finished", "review_requested"],
    )
    decision: dict[str, str] = events[0].data
    closed = f"ed by {decision['reviewer']}, "
    await crowd.slack.until_it_says(crowd.slack_cards[0], closed)
    await crowd.telegram.until_it_says(crowd.telegram_cards[0], closed)
    return decision


async def press_all(folder: Path, presses: int) -> None:
    _, chance = seeded()
    async with AsyncExitStack() as stack:
        crowd = await crowded(folder, stack)
        began = time.perf_counter()
        await asyncio.gather(*(crowd.press(chance) for _ in range(presses)))
        took = time.perf_counter() - began
        await crowd.all_told(await one_decision(crowd))
        assert (crowd.recorded, crowd.refused) == (1, presses - 1)
        assert crowd.served.complaints() == []
    p99 = sorted(crowd.seconds)[int(presses * 0.99)] * 1000
    figures(presses=presses, decisions=crowd.recorded, seconds=f"{took:.1f}", p99_ms=f"{p99:.0f}")


async def test_a_thousand_presses_on_one_review_are_one_decision(tmp_path: Path) -> None:
    await press_all(tmp_path, 1000)


@pytest.mark.soak
async def test_ten_thousand_presses_on_one_review_are_one_decision(tmp_path: Path) -> None:
    await press_all(tmp_path, 10_000)
