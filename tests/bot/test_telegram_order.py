"""What one person says in Telegram while the database is away: what they said last is what stands."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest
from telegram import CallbackQuery, Chat, Message, Update, User

from bot.answers import BEHIND, KEPT
from bot.simulator.faults import Fault
from bot.telegram.failures import PollFailed
from bot.telegram.order import HELD_UP, Line, OutOfTurn, PutOff
from bot.telegram.requests import KeepingRequest
from core.model import ChannelName
from tests.bot import telegram_fixtures
from tests.bot.house import DOWN, decisions
from tests.bot.telegram_house import ANA_ID, BEN_ID, GROUP, said, simulated, telegram_house
from tests.bot.telegram_updates import all_came, none_left, pressed, shown, soon
from tests.world import BEN, START

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.simulator.telegram.chats import Message as Shown
    from core.model import Task
    from core.store.database import Database
    from tests.bot.telegram_house import TelegramHouse
    from tests.world import StoppedClock

there = telegram_fixtures.there
AGAIN = timedelta(seconds=2)
"""After which what the database refused is tried again."""
LONGEST = 2.0
"""Seconds of this process for a thousand updates of one person: several times what they take."""


async def put_off(there: TelegramHouse) -> None:
    """What was just said is to be tried again, and nothing else is at that moment."""

    async def ask() -> bool:
        await there.house.noted()
        return there.house.clock.now() + AGAIN in there.house.clock.alarms

    await soon(ask)


async def refused(there: TelegramHouse, times: int) -> None:
    async def ask() -> bool:
        await there.house.noted()
        return there.house.service.refused >= times

    await soon(ask)


async def some_time_later(there: TelegramHouse) -> None:
    async def ask() -> bool:
        there.house.clock.advance(seconds=1)
        await there.house.noted()
        return await none_left(there)

    await soon(ask)


async def approved_and_then_withdrawn(there: TelegramHouse) -> tuple[Task, Shown]:
    """The database is away for both, and back when the second is tried again, before the first is."""
    task = await there.house.submit(flow="lenient")
    card = await there.card()
    there.house.service.is_down = True
    assert (await pressed(there, card, "Approve", user=ANA_ID)).text == KEPT
    await put_off(there)
    there.house.clock.advance(seconds=1)
    await there.telegram.say(GROUP, "/withdraw", user=ANA_ID, reply_to=card)
    await put_off(there)
    there.house.clock.advance(seconds=1)
    await refused(there, times=2)
    return task, card


async def test_an_approval_that_was_taken_back_does_not_stand(there: TelegramHouse) -> None:
    task, _ = await approved_and_then_withdrawn(there)
    there.house.service.is_down = False
    await some_time_later(there)
    assert await decisions(there, task) == ()
    await shown(there, "Your decision on attempt 1 of ")


async def test_what_others_say_does_not_wait_for_it(there: TelegramHouse) -> None:
    task, card = await approved_and_then_withdrawn(there)
    there.house.service.is_down = False
    assert (await pressed(there, card, "Approve", user=BEN_ID)).text == "Recorded: 1 of 2 approvals."
    assert [made.reviewer for made in await decisions(there, task)] == [BEN.id]


async def test_a_press_behind_another_is_told_that_it_is_kept_and_why(there: TelegramHouse) -> None:
    """By then the database may well answer: of it nothing is said."""
    first, _ = await approved_and_then_withdrawn(there)
    second = await there.house.submit("the second", flow="lenient")
    other = await shown(there, "Review: the second")
    there.house.service.is_down = False
    assert (await pressed(there, other, "Approve", user=ANA_ID)).text == BEHIND
    await some_time_later(there)
    assert await decisions(there, first) == ()
    assert len(await decisions(there, second)) == 1


def saying(update_id: int, user: int) -> Update:
    who = User(user, "Ana", is_bot=False)
    at = Message(1, START, Chat(user, "private"), from_user=who)
    return Update(update_id, message=at)


def test_the_order_is_that_of_coming_whichever_failed_first(clock: StoppedClock) -> None:
    put_off = PutOff(clock)
    before, after, of_another = saying(10, ANA_ID), saying(11, ANA_ID), saying(12, BEN_ID)
    for update in (after, before, of_another):
        put_off.add(update, holds_up=True)
    put_off.check_turn(before)
    put_off.check_turn(of_another)
    with pytest.raises(OutOfTurn):
        put_off.check_turn(after)
    put_off.discard(10)
    put_off.check_turn(after)


def test_what_cannot_be_handled_holds_up_ten_minutes_of_a_database_that_answers(clock: StoppedClock) -> None:
    put_off = PutOff(clock)
    before, after = saying(10, ANA_ID), saying(11, ANA_ID)
    put_off.add(before, holds_up=True)
    clock.advance(minutes=9)
    put_off.renew(10)
    clock.advance(minutes=9)
    put_off.add(before, holds_up=True)
    with pytest.raises(OutOfTurn):
        put_off.check_turn(after)
    clock.advance(minutes=1)
    put_off.check_turn(after)


async def test_a_withdrawal_waits_for_a_press_of_which_its_author_is_just_told_that_it_is_kept(
    there: TelegramHouse,
) -> None:
    task = await there.house.submit(flow="lenient")
    card = await there.card()
    there.house.service.is_down = True
    there.telegram.faults.add(Fault(method="answerCallbackQuery", delay=0.5))
    there.telegram.tap(card, "Approve", user=ANA_ID)
    await refused(there, times=1)
    there.house.service.is_down = False
    await there.telegram.say(GROUP, "/withdraw", user=ANA_ID, reply_to=card)
    await put_off(there)
    await some_time_later(there)
    assert await decisions(there, task) == ()
    await shown(there, "Your decision on attempt 1 of ")


@pytest.mark.parametrize("asked_why", [False, True], ids=["approved", "rejected"])
async def test_an_answer_that_a_webhook_brings_after_its_withdrawal_does_not_stand(
    sqlite_database: Database, clock: StoppedClock, *, asked_why: bool
) -> None:
    """Said while we were away: Telegram brings what somebody pressed beside what they wrote in a chat."""
    async with simulated(now=lambda: clock.now().timestamp()) as telegram:
        async with telegram_house(sqlite_database, clock, webhook=True, telegram=telegram) as there:
            tasks = [await there.house.submit(f"text {number}", flow="lenient") for number in range(3)]
            cards = [await shown(there, f"Review: text {number}") for number in range(3)]
            asked, label = cards, "Approve"
            if asked_why:
                clock.advance(minutes=1)
                for card in cards:
                    await telegram.press(card, "Reject…", user=ANA_ID)
                asked, label = [await there.card(number) for number in (4, 5, 6)], "No reason"
        for card, press in zip(cards, asked, strict=True):
            telegram.tap(press, label, user=ANA_ID)
            await telegram.say(GROUP, "/withdraw", user=ANA_ID, reply_to=card)
        clock.advance(minutes=1)
        async with telegram_house(sqlite_database, clock, webhook=True, telegram=telegram) as there:
            await all_came(telegram)
            await some_time_later(there)
            assert [await decisions(there, task) for task in tasks] == [()] * 3


async def test_who_has_nothing_to_take_back_is_told_so_at_once_or_in_a_moment(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated(now=lambda: clock.now().timestamp()) as telegram:
        async with telegram_house(sqlite_database, clock, webhook=True, telegram=telegram) as there:
            await there.house.submit(flow="lenient")
            card = await there.card()
            await telegram.say(GROUP, "/withdraw", user=ANA_ID, reply_to=card)
            await shown(there, "You have not decided on this review.")
        await telegram.say(GROUP, "/withdraw", user=ANA_ID, reply_to=card)
        clock.advance(minutes=1)
        async with telegram_house(sqlite_database, clock, webhook=True, telegram=telegram) as there:
            await all_came(telegram)
            await there.house.quiet()
            assert not await none_left(there)
            assert len(there.saying("You have not decided on this review.")) == 1
            await some_time_later(there)
            assert len(there.saying("You have not decided on this review.")) == 2


async def test_what_cannot_be_handled_for_long_holds_nobody_up_for_ever(there: TelegramHouse) -> None:
    """As where somebody else has locked what it is about, and nothing else."""
    await there.house.submit()
    there.house.service.is_down = True
    await pressed(there, await there.card(), "Approve", user=ANA_ID)
    await put_off(there)
    there.house.clock.advance(seconds=1)
    await there.telegram.say(GROUP, "/back", user=ANA_ID)
    await put_off(there)
    assert there.saying("You were not away.") == []
    there.house.clock.advance(HELD_UP)
    await shown(there, "You were not away.")


async def hanging(there: TelegramHouse, *, withdrawn: bool = True) -> Task:
    """The database keeps waiting who approved, and took it back a moment later."""
    task = await there.house.submit(flow="lenient")
    card = await there.card()
    there.house.service.slow = asyncio.Event()
    there.telegram.tap(card, "Approve", user=ANA_ID)
    await stored(there, 1)
    if withdrawn:
        await there.telegram.say(GROUP, "/withdraw", user=ANA_ID, reply_to=card)
        await stored(there, 2)
    return task


async def stored(there: TelegramHouse, count: int) -> None:
    """So much came and is not handled."""

    async def ask() -> bool:
        return len(await there.house.store.unhandled_updates(ChannelName("telegram"))) == count

    await soon(ask)


@pytest.mark.parametrize("is_down", [False, True], ids=["slow", "then away"])
async def test_a_withdrawal_waits_for_a_press_that_is_still_tried(
    there: TelegramHouse, *, is_down: bool
) -> None:
    task = await hanging(there)
    await said(there, "/whoami", user=BEN_ID)
    there.house.service.is_down = is_down
    assert there.house.service.slow is not None
    there.house.service.slow.set()
    if is_down:
        await refused(there, times=1)
        await put_off(there)
        there.house.service.is_down = False
    await some_time_later(there)
    assert await decisions(there, task) == ()
    await shown(there, "Your decision on attempt 1 of ")
    assert there.saying("You have not decided") == []


async def test_presses_on_another_card_do_not_wait_for_it(there: TelegramHouse) -> None:
    await hanging(there, withdrawn=False)
    await there.house.submit("the second")
    other = await shown(there, "Review: the second")
    await pressed(there, other, "Reject…", user=ANA_ID)
    await shown(there, "why do you reject")
    assert there.house.service.slow is not None
    there.house.service.slow.set()
    await some_time_later(there)


async def test_what_one_person_says_is_stored_in_its_order_where_the_first_cannot_be() -> None:
    """By polling, which brings several at once."""
    kept: list[str] = []
    is_down = True

    async def keep(raw: Mapping[str, Any]) -> None:
        text = raw["message"]["text"]
        if is_down and text == "/submit first":
            raise DOWN
        kept.append(text)

    async def heard() -> None:
        """Nothing is made of it."""

    async with simulated() as telegram, KeepingRequest(keep, heard, trust_env=False) as request:
        for user, text in [(ANA_ID, "first"), (ANA_ID, "second"), (BEN_ID, "third"), (ANA_ID, "fourth")]:
            await telegram.say(GROUP, f"/submit {text}", user=user)
        poll = f"{telegram.api_url}{telegram.token}/getUpdates"
        with pytest.raises(PollFailed):
            await request.post(poll)
        assert kept == ["/submit third"]
        is_down = False
        brought: Any = await request.post(poll)
        ids = [update["update_id"] for update in brought]
        of_one = [text for text in kept if text != "/submit third"]
        assert of_one == ["/submit first", "/submit second", "/submit fourth"]
        assert ids == sorted(ids)
        assert len(ids) == 4


def test_what_is_tried_for_ever_holds_up_ten_minutes(clock: StoppedClock) -> None:
    handed_out: asyncio.Queue[object] = asyncio.Queue()
    line = Line(handed_out, clock)
    hangs, second, third = saying(10, ANA_ID), saying(11, ANA_ID), saying(12, ANA_ID)
    line.put(hangs)
    line.put(second)
    clock.advance(HELD_UP)
    line.put(saying(13, BEN_ID))
    line.put(third)
    out = [handed_out.get_nowait() for _ in range(handed_out.qsize())]
    assert [update for update in out if update in {hangs, second, third}] == [hangs, second]
    line.tried(second)
    assert handed_out.get_nowait() is third


def test_what_waits_behind_it_is_handled_though_that_person_says_nothing_more(clock: StoppedClock) -> None:
    handed_out: asyncio.Queue[object] = asyncio.Queue()
    line = Line(handed_out, clock)
    hangs, second, third = saying(10, ANA_ID), saying(11, ANA_ID), saying(12, ANA_ID)
    for update in (hangs, second, third):
        line.put(update)
    assert handed_out.get_nowait() is hangs
    clock.advance(HELD_UP - timedelta(seconds=1))
    assert handed_out.empty()
    clock.advance(seconds=1)
    assert handed_out.get_nowait() is second
    assert handed_out.empty()
    clock.advance(minutes=4)
    line.put(saying(13, ANA_ID))
    clock.advance(minutes=6)
    assert handed_out.get_nowait() is third
    line.tried(second)
    line.tried(third)
    line.put(saying(14, ANA_ID))
    line.close()
    clock.advance(HELD_UP)
    assert [each.update_id for each in taken(handed_out)] == [13]


def taken(handed_out: asyncio.Queue[object], count: int | None = None) -> list[Update]:
    found = [handed_out.get_nowait() for _ in range(count or handed_out.qsize())]
    return [each for each in found if isinstance(each, Update)]


def pressing(update_id: int, user: int, data: str) -> Update:
    query = CallbackQuery(str(update_id), User(user, "Ana", is_bot=False), "", data=data)
    return Update(update_id, callback_query=query)


def test_thousands_that_one_person_piled_up_while_we_were_away_hold_up_nobody_else(
    clock: StoppedClock,
) -> None:
    """Whatever they pressed, as clients may send anything: that took more than a minute of everybody's."""
    handed_out: asyncio.Queue[object] = asyncio.Queue()
    line = Line(handed_out, clock)
    piled = [pressing(number, ANA_ID, f"before {number}") for number in range(500)]
    piled.append(saying(500, ANA_ID))
    piled += [pressing(number, ANA_ID, f"after {number}") for number in range(501, 1_000)]
    began = process_time()
    for update in piled:
        line.put(update)
        assert process_time() - began < LONGEST
    handled: list[Update] = []
    while not handed_out.empty():
        (update,) = taken(handed_out, 1)
        handled.append(update)
        line.tried(update)
        assert process_time() - began < LONGEST
    assert handled == piled


def test_as_we_stop_nothing_is_handed_out_ahead_of_what_waits(clock: StoppedClock) -> None:
    """By a webhook, which may still call: the withdrawal of an approval given again would be handled last."""
    handed_out: asyncio.Queue[object] = asyncio.Queue()
    line = Line(handed_out, clock)
    tried, waits, late = (saying(number, ANA_ID) for number in (10, 11, 12))
    of_another = saying(13, BEN_ID)
    line.put(tried)
    line.put(waits)
    line.close()
    line.put(late)
    line.put(of_another)
    line.tried(tried)
    assert [handed_out.get_nowait() for _ in range(handed_out.qsize())] == [tried, of_another]


def test_what_was_said_last_waits_for_all_that_came_before_it_in_whichever_order(clock: StoppedClock) -> None:
    handed_out: asyncio.Queue[object] = asyncio.Queue()
    line = Line(handed_out, clock)
    first, second, third, fourth = (saying(number, ANA_ID) for number in (10, 11, 12, 13))
    for update in (second, fourth, third, first):
        line.put(update)
    assert [handed_out.get_nowait() for _ in range(handed_out.qsize())] == [second, first]
    line.tried(second)
    assert handed_out.empty()
    line.tried(first)
    assert [handed_out.get_nowait() for _ in range(handed_out.qsize())] == [third]
    line.tried(third)
    assert handed_out.get_nowait() is fourth
