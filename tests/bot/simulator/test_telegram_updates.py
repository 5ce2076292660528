"""How updates and answers travel between the simulated Telegram and the real python-telegram-bot: polling,
webhooks, and what can go wrong on either way."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.ext import Application, CallbackQueryHandler, ContextTypes, MessageHandler, filters
from telegram.request import HTTPXRequest

from bot.simulator.faults import Fault
from bot.simulator.telegram import TelegramSimulator
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

IMPATIENT = 0.2
"""Seconds for which an answer is waited for that is not to come."""

GROUP = -1001
ANA, BEN = 42, 43
SECRET = "a-webhook-secret"
CARD = InlineKeyboardMarkup([[InlineKeyboardButton("Approve", callback_data="approve")]])


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator(retry=0.001) as simulator:
        people = [simulator.add_user(ANA, "Ana", started=True), simulator.add_user(BEN, "Ben", started=True)]
        simulator.add_chat(GROUP, title="Reviews", members=people)
        yield simulator


@pytest.fixture
async def bot(telegram: TelegramSimulator) -> AsyncIterator[Bot]:
    async with connected(telegram) as client:
        yield client


@asynccontextmanager
async def connected(telegram: TelegramSimulator) -> AsyncIterator[Bot]:
    request = HTTPXRequest(read_timeout=PATIENCE)
    async with Bot(telegram.token, base_url=telegram.api_url, request=request) as client:
        yield client


@dataclass
class Heard:
    """What the application under test was told, and a way to wait for it."""

    words: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def message(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        self.add(update.message.text or "")

    async def press(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.callback_query is not None
        self.add(update.callback_query.data or "")
        await update.callback_query.answer("Thanks")
        await update.callback_query.edit_message_text("Approved")

    def add(self, word: str) -> None:
        self.words.append(word)
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, *words: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.words[-len(words) :] != list(words):
                await self.changed.wait()


Running = Application[Any, Any, Any, Any, Any, Any]


def application(telegram: TelegramSimulator, heard: Heard, *, polls: bool) -> Running:
    builder = Application.builder().token(telegram.token).base_url(telegram.api_url)
    app = (builder if polls else builder.updater(None)).build()
    app.add_handler(MessageHandler(filters.TEXT, heard.message))
    app.add_handler(CallbackQueryHandler(heard.press))
    return app


@asynccontextmanager
async def polling(telegram: TelegramSimulator, heard: Heard) -> AsyncIterator[Running]:
    app = application(telegram, heard, polls=True)
    async with app:
        await app.start()
        assert app.updater is not None
        await app.updater.start_polling(poll_interval=0, timeout=30)
        yield app
        await app.updater.stop()
        await app.stop()


@dataclass
class Hook:
    """A small webhook route in front of an application; `statuses` are answered first, without taking."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    poison: bytes | None = None
    """Bodies with this in them are answered 500."""
    posted: list[tuple[str | None, bytes]] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return [json.loads(body)["update_id"] for _, body in self.posted]


@asynccontextmanager
async def webhook(telegram: TelegramSimulator, heard: Heard) -> AsyncIterator[Hook]:
    hook, app = Hook(), application(telegram, heard, polls=False)

    async def take(request: web.Request) -> web.Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
        hook.posted.append((secret, await request.read()))
        if secret != SECRET:
            return web.Response(status=403)
        if hook.poison is not None and hook.poison in await request.read():
            return web.Response(status=500)
        if hook.statuses:
            return web.Response(status=hook.statuses.pop(0))
        await app.update_queue.put(Update.de_json(await request.json(), app.bot))
        return web.Response()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app)
        await app.start()
        stack.push_async_callback(app.stop)
        server = web.Application()
        server.router.add_post("/telegram/webhook", take)
        runner = web.AppRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/telegram/webhook"
        await app.bot.set_webhook(hook.url, secret_token=SECRET)
        yield hook


# polling


async def test_an_application_that_polls_hears_and_answers(telegram: TelegramSimulator) -> None:
    heard = Heard()
    async with polling(telegram, heard) as app:
        await telegram.say(ANA, "hello", user=ANA)
        await heard.until("hello")
        sent = await app.bot.send_message(GROUP, "one", reply_markup=CARD)
        press = await telegram.press(telegram.message(GROUP, sent.message_id), "Approve", user=BEN)
        assert press.text == "Thanks"
        await telegram.until(lambda: telegram.messages(GROUP)[-1].text == "Approved")


async def test_what_was_not_confirmed_comes_again_after_a_restart(telegram: TelegramSimulator) -> None:
    for text in ("one", "two", "three"):
        await telegram.say(ANA, text, user=ANA)
    async with connected(telegram) as bot:
        first = await bot.get_updates(limit=1)
        assert [update.message and update.message.text for update in first] == ["one"]
    async with connected(telegram) as bot:
        again = await bot.get_updates()
        assert [update.message and update.message.text for update in again] == ["one", "two", "three"]
        rest = await bot.get_updates(offset=again[1].update_id + 1)
        assert [update.message and update.message.text for update in rest] == ["three"]
        assert [update.update_id for update in await bot.get_updates()] == [rest[0].update_id]
    heard = Heard()
    async with polling(telegram, heard):
        await heard.until("three")
    assert telegram.updates.pending == []


async def test_a_negative_offset_forgets_all_but_the_last(telegram: TelegramSimulator, bot: Bot) -> None:
    for text in ("one", "two", "three"):
        await telegram.say(ANA, text, user=ANA)
    last = await bot.get_updates(offset=-1)
    assert [update.message and update.message.text for update in last] == ["three"]
    assert len(telegram.updates.pending) == 1


async def test_a_long_poll_returns_as_soon_as_there_is_news(telegram: TelegramSimulator, bot: Bot) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.until(lambda: telegram.delivery.polls_open)
    await telegram.say(ANA, "hello", user=ANA)
    async with asyncio.timeout(20):  # less than what it asked for
        assert len(await poll) == 1


async def test_updates_that_were_not_asked_for_are_dropped(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.get_updates(allowed_updates=["callback_query"])
    await telegram.say(ANA, "hello", user=ANA)
    sent = await bot.send_message(GROUP, "one", reply_markup=CARD)
    telegram.tap(telegram.message(GROUP, sent.message_id), "Approve", user=ANA)
    (update,) = await bot.get_updates()  # the setting stays when it is left out
    assert update.callback_query is not None
    await bot.get_updates(offset=update.update_id + 1, allowed_updates=[])
    await telegram.say(ANA, "hello", user=ANA)
    assert len(await bot.get_updates()) == 1


async def test_an_update_is_kept_for_a_day() -> None:
    now = 1000.0
    async with TelegramSimulator(now=lambda: now) as telegram, connected(telegram) as bot:
        telegram.add_user(ANA, "Ana")
        await telegram.say(ANA, "old", user=ANA)
        now += 24 * 3600 + 1
        await telegram.say(ANA, "new", user=ANA)
        assert [update.message and update.message.text for update in await bot.get_updates()] == ["new"]


async def test_a_second_poller_ends_the_first(telegram: TelegramSimulator, bot: Bot) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.until(lambda: telegram.delivery.polls_open)
    async with connected(telegram) as other:
        second = asyncio.create_task(other.get_updates(timeout=30))
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await first
        await telegram.say(ANA, "hello", user=ANA)
        assert len(await second) == 1


async def test_a_poll_and_a_webhook_exclude_each_other(telegram: TelegramSimulator, bot: Bot) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.until(lambda: telegram.delivery.polls_open)
    async with connected(telegram) as other:
        await other.set_webhook("http://127.0.0.1:9/hook")
        with pytest.raises(Conflict, match="terminated by setWebhook request"):
            await poll
        with pytest.raises(Conflict, match="can't use getUpdates method while webhook is active"):
            await other.get_updates()
        await other.delete_webhook()
        assert await other.get_updates() == ()


async def test_the_end_does_not_wait_for_long_polls() -> None:
    loop = asyncio.get_running_loop()
    async with TelegramSimulator() as telegram, connected(telegram) as bot:
        poll = asyncio.create_task(bot.get_updates(timeout=30))
        await telegram.until(lambda: telegram.delivery.polls_open)
        begun = loop.time()
        await telegram.__aexit__(None, None, None)
        assert loop.time() - begun < 0.5
        assert await asyncio.gather(poll, return_exceptions=True)


# disturbed delivery


async def test_an_update_may_come_twice(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.updates.duplicate = 1
    await telegram.say(ANA, "hello", user=ANA)
    first, second = await bot.get_updates()
    assert first.update_id == second.update_id
    assert await bot.get_updates(offset=first.update_id + 1) == ()
    telegram.updates.repeat()
    (late,) = await bot.get_updates(offset=first.update_id + 1)
    assert late.update_id == first.update_id


async def test_updates_may_be_held_back_and_reordered(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.updates.hold()
    await telegram.say(ANA, "one", user=ANA)
    await telegram.say(ANA, "two", user=ANA)
    assert await bot.get_updates() == ()
    telegram.updates.release(reverse=True)
    assert [update.message and update.message.text for update in await bot.get_updates()] == ["two", "one"]


async def test_update_ids_may_jump_after_a_quiet_week(telegram: TelegramSimulator, bot: Bot) -> None:
    await telegram.say(ANA, "one", user=ANA)
    (before,) = await bot.get_updates()
    await bot.get_updates(offset=before.update_id + 1)
    telegram.updates.next_id = 5
    await telegram.say(ANA, "two", user=ANA)
    (after,) = await bot.get_updates()
    assert after.update_id == 5


# webhooks


async def test_a_webhook_brings_what_people_do(telegram: TelegramSimulator, bot: Bot) -> None:
    heard = Heard()
    async with webhook(telegram, heard) as hook:
        await telegram.say(ANA, "hello", user=ANA)
        await heard.until("hello")
        sent = await bot.send_message(GROUP, "one", reply_markup=CARD)
        press = await telegram.press(telegram.message(GROUP, sent.message_id), "Approve", user=BEN)
        assert press.text == "Thanks"
        assert {secret for secret, _ in hook.posted} == {SECRET}
        await telegram.until(lambda: telegram.updates.pending == [])
        info = await bot.get_webhook_info()
        assert (info.url, info.pending_update_count, info.last_error_message) == (hook.url, 0, None)


async def test_a_webhook_that_fails_gets_the_same_update_again(telegram: TelegramSimulator, bot: Bot) -> None:
    heard = Heard()
    async with webhook(telegram, heard) as hook:
        hook.statuses[:] = [500, 302]
        await telegram.say(ANA, "hello", user=ANA)
        await telegram.say(ANA, "again", user=ANA)
        await heard.until("hello", "again")
        assert hook.ids == [hook.ids[0]] * 3 + [hook.ids[0] + 1]
        info = await bot.get_webhook_info()
        assert info.last_error_message == "Wrong response from the webhook: 302"


async def test_a_webhook_that_is_down_is_tried_until_it_is_up(telegram: TelegramSimulator, bot: Bot) -> None:
    heard = Heard()
    await bot.set_webhook("http://127.0.0.1:9/nobody")
    await telegram.say(ANA, "hello", user=ANA)
    await telegram.until(lambda: telegram.delivery.last_error)
    info = await bot.get_webhook_info()
    assert (info.last_error_message, info.pending_update_count) == ("ClientConnectorError", 1)
    async with webhook(telegram, heard):
        await heard.until("hello")


async def test_one_chat_that_fails_holds_up_no_other(telegram: TelegramSimulator) -> None:
    heard = Heard()
    async with webhook(telegram, heard) as hook:
        hook.poison = b'"poison"'
        await telegram.say(ANA, "poison", user=ANA)
        await telegram.say(ANA, "after it", user=ANA)
        await telegram.say(BEN, "hello", user=BEN)
        await heard.until("hello")
        assert heard.words == ["hello"]
        hook.poison = None
        await heard.until("hello", "poison", "after it")


async def test_a_duplicate_is_posted_at_the_same_time(telegram: TelegramSimulator) -> None:
    heard = Heard()
    async with webhook(telegram, heard) as hook:
        telegram.updates.duplicate = 1
        await telegram.say(ANA, "hello", user=ANA)
        await heard.until("hello", "hello")
        telegram.updates.repeat()
        await heard.until("hello", "hello", "hello")
        assert len(set(hook.ids)) == 1


async def test_a_stranger_may_post_to_the_webhook(telegram: TelegramSimulator) -> None:
    heard = Heard()
    async with webhook(telegram, heard) as hook:
        update = {"update_id": 1}
        assert (await telegram.post_webhook(update)).status == 200
        assert (await telegram.post_webhook(update, secret="wrong")).status == 403
        assert (await telegram.post_webhook(update, secret="")).status == 403
        assert (await telegram.post_webhook(b'{"update_id":')).status == 500
        assert [secret for secret, _ in hook.posted] == [SECRET, "wrong", None, SECRET]


@pytest.mark.parametrize(
    ("url", "secret", "reason"),
    [
        ("https://example.org/hook", None, "loopback addresses only"),
        ("http://127.0.0.1:8080/hook", None, "HTTPS URL must be provided"),
        ("https://127.0.0.1:8080/hook", None, "only on ports 80, 88, 443 or 8443"),
        ("https://127.0.0.1:8443/hook", "not allowed!", "unallowed characters"),
    ],
)
async def test_a_webhook_is_checked_by_telegrams_rules(url: str, secret: str | None, reason: str) -> None:
    async with TelegramSimulator(public_webhook_rules=True) as telegram, connected(telegram) as bot:
        with pytest.raises(BadRequest, match=f"(?i){reason}"):
            await bot.set_webhook(url, secret_token=secret)


async def test_pending_updates_can_be_dropped(telegram: TelegramSimulator, bot: Bot) -> None:
    await telegram.say(ANA, "hello", user=ANA)
    await bot.delete_webhook(drop_pending_updates=True)
    assert await bot.get_updates() == ()


# faults


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=400, body={"ok": False, "description": "Bad Request: any"}), BadRequest),
        (Fault(status=401), InvalidToken),
        (Fault(status=403), Forbidden),
        (Fault(status=409), Conflict),
        (Fault(status=429, headers={"Retry-After": "7"}), RetryAfter),
        (Fault(status=500), NetworkError),
        (Fault(status=502), NetworkError),
        (Fault(cut=True), NetworkError),
        (Fault(delay=30), TimedOut),
    ],
)
async def test_each_fault_becomes_its_error_once(
    telegram: TelegramSimulator, monkeypatch: pytest.MonkeyPatch, fault: Fault, error: type[TelegramError]
) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # without it, RetryAfter warns when it is made
    async with connected(telegram) as bot:
        telegram.faults.add(fault)
        with pytest.raises(error) as raised:
            await bot.send_message(GROUP, "one", read_timeout=IMPATIENT if fault.delay else PATIENCE)
        assert type(raised.value) is error
        assert telegram.messages(GROUP) == []
        await bot.send_message(GROUP, "two")
        assert [message.text for message in telegram.messages(GROUP)] == ["two"]


@pytest.mark.parametrize("fault", [{"cut": True}, {"status": 502}, {"delay": 30.0}])
async def test_a_message_may_be_sent_although_its_answer_is_lost(
    telegram: TelegramSimulator, fault: dict[str, Any]
) -> None:
    async with connected(telegram) as bot:
        telegram.faults.add(Fault(method="sendMessage", after_acting=True, **fault))
        with pytest.raises(NetworkError):
            await bot.send_message(GROUP, "one", read_timeout=IMPATIENT if "delay" in fault else PATIENCE)
        await telegram.until(lambda: telegram.messages(GROUP))
        assert [message.text for message in telegram.messages(GROUP)] == ["one"]


async def test_a_fault_may_choose_its_calls(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.faults.add(Fault(method="sendMessage", contains="refund", status=502, times=2))
    await bot.send_message(GROUP, "other")
    for _ in range(2):
        with pytest.raises(NetworkError):
            await bot.send_message(GROUP, "the refund")
    await bot.send_message(GROUP, "the refund")
    assert [call.status for call in telegram.calls_of("sendMessage")] == [200, 502, 502, 200]


async def test_a_late_answer_is_still_an_answer(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.faults.add(Fault(method="sendMessage", delay=0.01))
    assert (await bot.send_message(GROUP, "one")).text == "one"


async def test_a_poller_survives_faults_and_loses_nothing(telegram: TelegramSimulator) -> None:
    heard = Heard()
    telegram.faults.add(Fault(method="getUpdates", cut=True, after_acting=True))
    await telegram.say(ANA, "hello", user=ANA)
    async with polling(telegram, heard):
        await heard.until("hello")
    assert heard.words == ["hello"]
