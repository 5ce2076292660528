"""Telegram with several replicas: one hears it at a time, and handles what another left behind."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from telegram import Bot, CallbackQuery, Update, User

from bot.simulator.faults import Fault
from bot.simulator.telegram.errors import OTHER_POLLER, WEBHOOK_IS_ACTIVE
from bot.telegram.updates import LOOK, TELEGRAM
from core.errors import Unreachable
from core.model import ChatUpdate
from tests.bot import telegram_fixtures
from tests.bot.house import DOWN
from tests.bot.telegram_house import ANA_ID, simulated, telegram_house
from tests.world import PATIENCE, Board, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence

    from bot.simulator.telegram.chats import Message
    from core.ports import Held
    from core.store.database import Database
    from tests.bot.telegram_house import TelegramHouse
    from tests.world import StoppedClock


class Long:
    left = timedelta(days=1)
    may_begin = True


polling = telegram_fixtures.polling


def told_of_polls(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [line for line in logs if line["event"] == "poll_failed"]


class Given(Board):
    """Turns that a test gives and takes."""

    is_alone = False

    def __init__(self) -> None:
        super().__init__()
        self._work: Callable[[Held], AbstractAsyncContextManager[object]] | None = None
        self._turn = AsyncExitStack()

    @asynccontextmanager
    async def holding(
        self, name: str, work: Callable[[Held], AbstractAsyncContextManager[object]]
    ) -> AsyncIterator[None]:
        assert name == "telegram hearing"
        self._work = work
        try:
            yield
        finally:
            await self.take()

    @property
    def is_wanted(self) -> bool:
        return self._work is not None

    async def give(self) -> None:
        assert self._work is not None
        await self._turn.enter_async_context(self._work(Long()))

    async def take(self) -> None:
        turn, self._turn = self._turn, AsyncExitStack()
        await turn.aclose()


async def asked_elsewhere(there: TelegramHouse) -> None:
    """Ana's question came to another replica, which was killed just after it had kept it."""
    hello = await there.telegram.say(ANA_ID, "hello", user=ANA_ID)
    await there.house.store.keep_update(asks_who(hello.id))


def who(there: TelegramHouse) -> list[Message]:
    """What Ana was told of who she is."""
    return there.saying(f"telegram = {ANA_ID}", ANA_ID)


def asks_who(message: int) -> ChatUpdate:
    """As Telegram sends it."""
    said: dict[str, Any] = {
        "message_id": message,
        "date": 1_700_000_000,
        "chat": {"id": ANA_ID, "type": "private"},
        "from": {"id": ANA_ID, "is_bot": False, "first_name": "Ana"},
        "text": "/whoami",
    }
    body = json.dumps({"update_id": 7, "message": said}).encode()
    return ChatUpdate(channel=TELEGRAM, id="7", body=body)


async def test_only_in_its_turn_a_replica_polls(sqlite_database: Database, clock: StoppedClock) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=False, turns=turns) as there:
        assert there.telegram.calls_of("getUpdates") == []
        await turns.give()
        await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await there.telegram.until(lambda: there.ours(ANA_ID), timeout=PATIENCE)
        await turns.take()
        polls = len(there.telegram.calls_of("getUpdates"))
        await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await turns.give()
        await there.telegram.until(lambda: there.ours(ANA_ID)[1:], timeout=PATIENCE)
        assert len(there.telegram.calls_of("getUpdates")) > polls
        assert len(there.ours(ANA_ID)) == 2


@pytest.mark.parametrize(
    ("telegram_says", "reason"),
    [
        (OTHER_POLLER, "Another poller still holds this bot's updates; we wait for them."),
        (WEBHOOK_IS_ACTIVE, "Telegram calls a webhook, and lets nobody poll meanwhile; we wait."),
    ],
)
async def test_whoever_polls_while_another_holds_the_updates_says_so_and_when_that_is_over(
    sqlite_database: Database, clock: StoppedClock, telegram_says: str, reason: str
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=False, turns=turns) as there:
        body = {"ok": False, "error_code": 409, "description": f"Conflict: {telegram_says}"}
        there.telegram.faults.add(Fault(method="getUpdates", status=409, body=body))
        with capture_logs() as logs:
            await turns.give()
            await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)
            await there.telegram.until(lambda: there.ours(ANA_ID), timeout=PATIENCE)
    told = told_of_polls(logs)
    assert [line.get("reason") for line in told] == [reason, None]
    assert [(line.get("over"), line.get("tries")) for line in told] == [(None, None), (True, 1)]


async def test_where_updates_cannot_be_stored_the_log_does_not_say_that_telegram_is_away(
    polling: TelegramHouse,
) -> None:
    there = polling
    with capture_logs() as logs:
        there.house.inbox.is_down = True
        await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await there.telegram.until(lambda: told_of_polls(logs), timeout=PATIENCE)
        there.house.inbox.is_down = False
        await there.telegram.until(lambda: there.ours(ANA_ID), timeout=PATIENCE)
    words = f"What Telegram brings cannot be stored now, and is not confirmed. {DOWN}"
    assert [line.get("reason") for line in told_of_polls(logs)] == [words, None]


@pytest.mark.parametrize(("status", "description"), [(401, "Unauthorized"), (404, "Not Found")])
async def test_that_telegram_refuses_the_token_is_told_as_that_and_ends_no_polling(
    polling: TelegramHouse, status: int, description: str
) -> None:
    there = polling
    refusal = {"ok": False, "error_code": status, "description": description}
    there.telegram.faults.add(Fault(method="getUpdates", status=status, body=refusal))
    with capture_logs() as logs:
        await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await there.telegram.until(lambda: told_of_polls(logs), timeout=PATIENCE)
        await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await there.telegram.until(lambda: told_of_polls(logs)[1:], timeout=PATIENCE)
    assert [line.get("reason") for line in told_of_polls(logs)] == ["Telegram refuses the bot's token.", None]


async def test_whose_turn_was_cut_off_while_it_began_polls_in_its_next_one(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=False, turns=turns) as there:
        there.telegram.faults.add(Fault(method="deleteWebhook", delay=PATIENCE))

        async def is_asked() -> bool:
            await there.house.store.check()
            return not there.telegram.faults.waiting

        beginning = asyncio.create_task(turns.give())
        await eventually(is_asked)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        await turns.give()
        await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await there.telegram.until(lambda: there.ours(ANA_ID), timeout=PATIENCE)


async def test_only_in_its_turn_a_replica_sets_the_webhook(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=True, turns=turns) as there:
        assert there.telegram.calls_of("setWebhook") == []
        await turns.give()
        assert len(there.telegram.calls_of("setWebhook")) == 1


async def test_what_came_in_elsewhere_and_is_not_handled_from_one_look_to_the_next_is_handled_here(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=True, turns=turns) as there:
        await asked_elsewhere(there)
        await turns.give()
        assert who(there) == []
        await eventually(lambda: handled(there, clock))
        assert len(who(there)) == 1


async def test_what_another_replica_may_be_handling_is_left_to_it_until_the_next_look(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=True, turns=turns) as there:
        await asked_elsewhere(there)
        intake = there.channel._intake()
        assert intake is not None
        assert await intake.take_up(frozenset()) == {"7"}
        assert await there.house.store.unhandled_updates(TELEGRAM), "not in our hands"
        assert await intake.take_up(frozenset({"7"})) == frozenset()
        await there.telegram.until(lambda: who(there), timeout=PATIENCE)


async def test_what_telegram_repeats_here_and_another_replica_kept_is_looked_after_as_well(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """Telegram did not hear that it was kept; and that replica was killed then."""
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=True, turns=turns) as there:
        hello = await there.telegram.say(ANA_ID, "hello", user=ANA_ID)
        update = asks_who(hello.id)
        await there.house.store.keep_update(update)
        intake = there.channel._intake()
        assert intake is not None
        assert await intake.take(json.loads(update.body)) is None
        await turns.give()
        await eventually(lambda: handled(there, clock))
        assert len(who(there)) == 1


async def test_a_press_that_is_handled_without_a_word_holds_up_no_webhook(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """As after a defect of ours, of which only the log tells."""
    async with telegram_house(sqlite_database, clock, webhook=True) as there:
        intake = there.channel._intake()
        assert intake is not None
        answers = intake._answers
        waiting = asyncio.create_task(answers.to("7"))
        await asyncio.sleep(0)
        press = CallbackQuery("7", User(ANA_ID, "Ana", is_bot=False), "1")
        await intake.handled(Update(7, callback_query=press))
        assert waiting.done() or not answers._waiting
        assert await waiting is None


async def test_a_defect_does_not_end_the_look_after_others_and_is_told_without_what_people_wrote(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=True, turns=turns) as there:
        await asked_elsewhere(there)
        there.house.inbox.defect = ValueError("pay Mira Holm nothing")
        with capture_logs() as logs:
            await turns.give()
            await eventually(lambda: handled(there, clock))
        assert len(who(there)) == 1
    (told,) = [line for line in logs if line["event"] == "others_not_looked_after"]
    assert told["error"] == "ValueError"
    assert "look_after_others" in told["at"]
    assert "Mira" not in str(logs)


async def handled(there: TelegramHouse, clock: StoppedClock) -> bool:
    """Whether everything is, once time has come to the next look."""
    if clock.next_alarm is not None and clock.next_alarm - clock.now() <= LOOK:
        clock.advance(LOOK)
    return not await there.house.store.unhandled_updates(TELEGRAM)


async def test_who_begins_to_poll_takes_up_at_once_what_the_last_one_left(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=False, turns=turns) as there:
        await asked_elsewhere(there)
        await turns.give()
        await there.telegram.until(lambda: there.ours(ANA_ID), timeout=PATIENCE)


async def test_a_webhook_that_comes_in_out_of_turn_is_handled_at_once(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """By whichever replica the load balancer chose."""
    turns = Given()
    async with (
        simulated() as telegram,
        telegram_house(sqlite_database, clock, webhook=True, turns=turns, telegram=telegram) as there,
    ):
        await turns.give()
        await turns.take()
        await telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await telegram.until(lambda: there.ours(ANA_ID), timeout=PATIENCE)


HEARING = ("setWebhook", "deleteWebhook", "getUpdates")


async def test_a_worker_leaves_the_webhook_to_those_that_telegram_can_call(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with telegram_house(sqlite_database, clock, webhook=True, turns=turns, is_web=False) as there:
        await there.house.submit()
        await there.card()
        assert not turns.is_wanted, "who never begins keeps nobody from it"
    assert not any(there.telegram.calls_of(method) for method in HEARING)


async def test_a_worker_that_is_not_told_of_the_webhook_does_not_take_it_away(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    turns = Given()
    async with (
        simulated() as telegram,
        telegram_house(
            sqlite_database, clock, webhook=False, turns=turns, telegram=telegram, is_web=False
        ) as there,
        Bot(telegram.token, base_url=telegram.api_url) as bot,
    ):
        await bot.set_webhook("http://127.0.0.1:9/telegram/webhook")
        with pytest.raises(Unreachable, match="calls a webhook"):
            await turns.give()
        assert (await bot.get_webhook_info()).url
        assert not any(telegram.calls_of(method) for method in HEARING[1:])
        await bot.delete_webhook()
        await turns.give()
        await telegram.say(ANA_ID, "/whoami", user=ANA_ID)
        await telegram.until(lambda: there.ours(ANA_ID), timeout=PATIENCE)
