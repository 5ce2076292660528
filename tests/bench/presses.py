"""Presses in both chats, each on a review of its own, as the platforms send them: by HTTP, 64 in flight."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bot.buttons import Action, Buttons
from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from bot.simulator.telegram.chats import Press
from bot.simulator.telegram.messages import answer_callback_query
from core.model import ReviewId
from tests.bench.server import CONFIGURATION, many, posted, serving, session, until_all_wait
from tests.bench.wire import Wire, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.bench.server import Server

IN_FLIGHT = 64
SECRET = "a-secret_for-the-webhook"
CHANNEL, GROUP = "C01GEN", -1001234567890
USER, TEAM_USER = 42, "U01ANA"
WITHIN = 60.0
FIRST = 10**12
"""Ids of queries and updates, above the simulator's own."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """Of one chat: how long each press took to be answered, and what each cost the server."""

    seconds: list[float]
    cpu: float

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


@dataclass(frozen=True, slots=True)
class Sent:
    """A press on its way: the whole request, and what the platform does with the answer's body."""

    request: bytes
    hear: Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Card:
    """A card that stands in a chat: whose button it has, and the message's own id there."""

    token: str
    message: str


async def presses(folder: Path, each: int) -> tuple[Pressed, Pressed]:
    """In Slack and in Telegram; the answer means that the decision is stored."""
    async with SlackSimulator() as slack, TelegramSimulator() as telegram:
        slack.add_user(TEAM_USER, "ana")
        slack.add_channel(CHANNEL, "general", members=[TEAM_USER])
        telegram.add_user(USER, "Ana", started=True)
        telegram.add_chat(GROUP, "supergroup", "Reviews", [USER])
        config = f'{CONFIGURATION}\n[recipients]\nslack = ["{CHANNEL}"]\ntelegram = [{GROUP}]\n'
        env = {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
            "COUNTERSIGN_SLACK_API_URL": slack.api_url,
            "TELEGRAM_BOT_TOKEN": telegram.token,
            "COUNTERSIGN_TELEGRAM_API_URL": telegram.api_url,
            "COUNTERSIGN_TELEGRAM_FILE_URL": telegram.file_url,
            "COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET": SECRET,
        }
        async with serving(folder, config=config, **env) as server, session() as http:
            await _submitted(http, server, 2 * each)
        async with session() as http:
            cards = await _shown(folder / "countersign.db", http, slack, telegram)
        first, second = cards[:each], cards[each : 2 * each]
        async with serving(folder, config=config, **env) as server, session() as http:
            await _listens(http, f"{server.url}/slack/events")
            await _listens(http, f"{server.url}/telegram/webhook")
            in_slack = await _pressed(server, [_in_slack(server.port, slack, card) for card, _ in first])
            in_telegram = await _pressed(
                server, [_in_telegram(server.port, telegram, card) for _, card in second]
            )
        return in_slack, in_telegram


async def _pressed(server: Server, presses: list[Sent]) -> Pressed:
    """Each answer says that the decision is stored."""
    seconds: list[float] = []
    warm, wires = min(200, len(presses) // 4), [await Wire.to(server.port) for _ in range(IN_FLIGHT)]

    async def press(wire: Wire, left: Iterator[Sent]) -> None:
        for sent in left:
            began = time.perf_counter()
            answer = await wire.ask(sent.request)
            assert answer.status == 200, answer
            await sent.hear(answer.body)
            seconds.append(time.perf_counter() - began)

    async def all_of(some: list[Sent]) -> None:
        left = iter(some)
        await asyncio.gather(*(press(wire, left) for wire in wires))

    await all_of(presses[:warm])
    seconds.clear()
    cpu = server.process.cpu()
    await all_of(presses[warm:])
    cpu = server.process.cpu() - cpu
    for wire in wires:
        wire.close()
    return Pressed(seconds, cpu / len(seconds))


async def _listens(http: ClientSession, url: str) -> None:
    """Until the bot's door refuses us itself: before it is open, everybody is told to come back."""
    while True:
        async with http.post(url, data=b"{}") as answer:
            if answer.status != 503:
                return
        await asyncio.sleep(0.01)


async def _submitted(http: ClientSession, server: Server, count: int) -> None:
    async def submit() -> None:
        await posted(http, f"{server.url}/submit", {"data": "a text to be reviewed"}, server.headers("sam"))

    await many(count, 32, submit)
    await until_all_wait(http, server)


async def _shown(
    file: Path, http: ClientSession, slack: SlackSimulator, telegram: TelegramSimulator
) -> list[tuple[Card, Card]]:
    """Put every card that is still due into its chat: at the platforms' pace it would take an hour."""
    with closing(sqlite3.connect(file)) as connection, connection:
        (key,) = connection.execute("SELECT value FROM secret WHERE name = 'buttons'").fetchone()
        found = connection.execute(
            "SELECT review_id, channel, id, message FROM delivery WHERE review_id IS NOT NULL"
        ).fetchall()
        buttons, cards = Buttons(bytes(key)), dict[str, dict[str, Card]]()
        for review, channel, delivery, message in found:
            where = message or await (
                _in_channel(http, slack) if channel == "slack" else _in_group(http, telegram)
            )
            token = buttons.token(ReviewId(review), 1, Action.APPROVE)
            cards.setdefault(review, {})[channel] = Card(token, where)
            connection.execute(
                "UPDATE delivery SET state = 'sent', message = ?, shown = version, due_at = NULL"
                " WHERE id = ?",
                (where, delivery),
            )
    return [(of["slack"], of["telegram"]) for of in cards.values()]


async def _in_channel(http: ClientSession, slack: SlackSimulator) -> str:
    said = {"channel": CHANNEL, "text": "a card"}
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    async with http.post(f"{slack.api_url}chat.postMessage", json=said, headers=headers) as answer:
        body: dict[str, Any] = await answer.json()
    return f"{body['channel']}/{body['ts']}"


async def _in_group(http: ClientSession, telegram: TelegramSimulator) -> str:
    said = {"chat_id": GROUP, "text": "a card"}
    async with http.post(f"{telegram.api_url}{telegram.token}/sendMessage", json=said) as answer:
        body: dict[str, Any] = await answer.json()
    return f"{GROUP}/{body['result']['message_id']}"


def _in_slack(port: int, slack: SlackSimulator, card: Card) -> Sent:
    """Answered with 200."""
    ts = card.message.partition("/")[2]
    payload = {
        "type": "block_actions",
        "user": {"id": TEAM_USER, "username": "ana", "team_id": slack.team_id},
        "api_app_id": "A01APP",
        "team": {"id": slack.team_id, "domain": "simulated"},
        "container": {"type": "message", "message_ts": ts, "channel_id": CHANNEL, "is_ephemeral": False},
        "trigger_id": f"1.2.{ts}",
        "channel": {"id": CHANNEL, "name": "general"},
        "message": {"type": "message", "ts": ts, "text": "a card", "bot_id": "B01BOT"},
        "response_url": "http://127.0.0.1:9/unused",
        "actions": [
            {
                "action_id": "countersign_approve",
                "block_id": "b",
                "type": "button",
                "text": {"type": "plain_text", "text": "Approve"},
                "value": card.token,
                "action_ts": ts,
            }
        ],
    }
    body = urlencode({"payload": json.dumps(payload)}).encode()
    at = str(int(time.time()))
    mac = hmac.new(slack.signing_secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": f"v0={mac.hexdigest()}",
    }
    return Sent(request("POST", port, "/slack/events", headers, body), _nothing_more)


async def _nothing_more(_: bytes) -> None:
    """The status has said it."""


def _in_telegram(port: int, telegram: TelegramSimulator, card: Card) -> Sent:
    """Answered with `answerCallbackQuery`, by a call or as the webhook's answer."""
    message_id = int(card.message.partition("/")[2])
    press = Press(
        query_id=str(FIRST + message_id),
        user=USER,
        chat=GROUP,
        message=message_id,
        data=card.token,
        expires=float("inf"),
    )
    telegram.state.presses[press.query_id] = press
    query = {
        "id": press.query_id,
        "from": {"id": USER, "is_bot": False, "first_name": "Ana"},
        "chat_instance": "1",
        "message": {
            "message_id": message_id,
            "date": int(time.time()),
            "chat": {"id": GROUP, "type": "supergroup", "title": "Reviews"},
            "text": "a card",
            "reply_markup": {"inline_keyboard": [[{"text": "Approve", "callback_data": card.token}]]},
        },
        "data": card.token,
    }
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}
    update = {"update_id": FIRST + message_id, "callback_query": query}

    async def hear(said: bytes) -> None:
        if said:
            answer_callback_query(telegram.state, json.loads(said))
        await press.wait(WITHIN)
        assert press.answered

    return Sent(request("POST", port, "/telegram/webhook", headers, json.dumps(update).encode()), hear)
