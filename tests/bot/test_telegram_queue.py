"""What somebody asks Telegram for besides a card: their queue, who they are, handing in."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bot.markup import LIMIT
from bot.menu import LISTED
from bot.simulator.faults import Fault
from bot.telegram.commands import ANSWERED, LOST
from core.model import Verdict
from tests.bot import telegram_fixtures
from tests.bot.telegram_house import (
    ANA_ID,
    BEN_ID,
    EVE_ID,
    GROUP,
    SAM_ID,
    TelegramHouse,
    said,
    simulated,
    telegram_house,
)
from tests.bot.telegram_tasks import tasks
from tests.world import ANA, BEN, SAM, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.store.database import Database
    from tests.world import StoppedClock

NOTHING = "Nothing waits for you."


there, polling = telegram_fixtures.there, telegram_fixtures.polling


# What waits for me


async def test_in_private_what_waits_is_listed_with_links(there: TelegramHouse) -> None:
    assert (await said(there, "/pending", chat=ANA_ID)).text.startswith(NOTHING)
    task = await there.house.submit("https://evil.example & <b>", flow="timed")
    delivery = await there.house.delivery(task, lambda one: one.message)
    number = str(delivery.message).partition("/")[2]
    told = await said(there, "/pending", chat=ANA_ID)
    assert told.text.startswith("One review waits for you:")
    assert "https://evil.example & <b>" in told.text
    assert "attempt 1 · submitted by Sam Lee · until " in told.text
    assert f"https://t.me/c/1234567890/{number}" in told.text
    assert f"{there.public_url}/tasks/{task.id}" in told.text
    assert told.text.endswith(f"{there.public_url}/inbox")
    title = told.text.index("https://evil")
    assert any(one["offset"] == title and one["type"] == "code" for one in told.entities)


async def test_in_a_group_the_list_goes_to_the_private_chat(there: TelegramHouse) -> None:
    await there.house.review(await there.house.submit("secret"))
    told = await said(there, "/pending")
    assert told.text == ANSWERED
    (private,) = there.ours(ANA_ID)
    assert "secret" in private.text


async def test_whoever_never_started_the_bot_is_told_how_and_nothing_else(there: TelegramHouse) -> None:
    await there.house.review(await there.house.submit("secret"))
    for text in ("/pending", "/whoami"):
        told = await said(there, text, user=BEN_ID)
        assert f"https://t.me/{there.telegram.bot.username}" in told.text
        assert told.text.endswith(f"{there.public_url}/inbox")
        assert "secret" not in told.text
        assert str(BEN_ID) not in told.text.replace(there.public_url, "")


async def test_a_private_chat_that_telegram_does_not_take_is_said(polling: TelegramHouse) -> None:
    polling.telegram.faults.add(Fault(method="sendMessage", status=502, body={}))
    told = await said(polling, "/pending")
    assert told.text.startswith(LOST)


async def test_ten_at_most_are_listed_within_one_message(polling: TelegramHouse) -> None:
    for number in range(LISTED + 2):
        await polling.house.review(await polling.house.submit(f"task {number} " + "🙂" * 300))
    told = await said(polling, "/pending", chat=ANA_ID)
    assert told.text.startswith(f"{LISTED + 2} reviews wait for you, the oldest first:")
    assert told.text.endswith(f"\nAnd 2 more:\n{polling.public_url}/inbox")
    assert "task 0 " in told.text
    assert f"task {LISTED} " not in told.text
    assert len(told.text.encode("utf-16-le")) // 2 <= LIMIT


async def test_a_delegate_reads_for_whom(polling: TelegramHouse) -> None:
    await polling.house.review(await polling.house.submit(flow="brief"))
    until = polling.house.clock.now() + timedelta(days=1)
    await polling.house.service.delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    await polling.telegram.say(BEN_ID, "/start", user=BEN_ID)
    told = await said(polling, "/pending", user=BEN_ID, chat=BEN_ID)
    assert "you decide for Ana Ruiz" in told.text


# Who am I


@pytest.mark.parametrize("text", ["/whoami", "/start", "/WhoAmI"])
async def test_whoami_says_what_to_write_and_whether_it_is_known(there: TelegramHouse, text: str) -> None:
    known = await said(there, text, chat=ANA_ID)
    assert known.text.startswith("You are Ana Ruiz: countersign.toml knows this id of yours.")
    assert known.text.endswith(f"[people.ana]\ntelegram = {ANA_ID}")
    stranger = await said(there, text, user=EVE_ID, chat=EVE_ID)
    assert "lists nobody under your id" in stranger.text
    assert stranger.text.endswith(f'name = "Your Name"\ntelegram = {EVE_ID}')


async def test_strangers_are_told_how_they_become_known(there: TelegramHouse) -> None:
    for text in ("/pending", "/submit pay me"):
        told = await said(there, text, user=EVE_ID, chat=EVE_ID)
        assert f"nobody is listed under yours, {EVE_ID}" in told.text
        assert ("Nothing was changed" in told.text) is (text != "/pending")
        assert "Say “/whoami”" in told.text
    assert await tasks(there) == ()


# Handing in


@pytest.mark.parametrize("chat", [GROUP, SAM_ID])
async def test_a_task_is_handed_in_and_its_author_hears_the_outcome_there(
    there: TelegramHouse, chat: int
) -> None:
    told = await said(there, "/submit Refund EUR 40\nto Mira", user=SAM_ID, chat=chat)
    (task,) = await tasks(there)
    assert (task.input, task.submitter) == ("Refund EUR 40\nto Mira", SAM.id)
    assert told.text.startswith("Handed in: ")
    assert told.text.endswith(f"{there.public_url}/tasks/{task.id}")
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.REJECT, comment="no", via="web")
    again = await there.house.review(task, attempt=2)
    await there.house.service.decide(again.id, BEN.id, Verdict.APPROVE, via="web")

    async def heard() -> list[Message]:
        await tasks(there)
        there.house.clock.advance(seconds=1)
        return there.saying("was approved by Ben Okri", chat)

    (outcome,) = await eventually(heard)
    assert outcome.text.startswith("Sam Lee: your task ")
    assert f"{there.public_url}/tasks/{task.id}" in outcome.text


async def test_a_failure_and_a_cancellation_are_told_too(polling: TelegramHouse) -> None:
    await said(polling, "/submit one", user=SAM_ID, chat=SAM_ID)
    (task,) = await tasks(polling)
    await polling.house.review(task)
    await polling.house.service.cancel(task.id, SAM.id)
    await polling.card_with("was cancelled", SAM_ID)


async def test_the_same_message_twice_is_one_task(there: TelegramHouse) -> None:
    there.telegram.updates.duplicate = 1
    await said(there, "/submit once", user=SAM_ID, chat=SAM_ID)
    assert len(await tasks(there)) == 1
    await said(there, "/submit once", user=SAM_ID, chat=SAM_ID)
    assert len(await tasks(there)) == 2, "said again it is another"


async def test_messages_of_one_number_in_two_chats_are_two_tasks(polling: TelegramHouse) -> None:
    for chat in (GROUP, SAM_ID):
        polling.telegram.chat(chat).last_id = 100
        await said(polling, "/submit once", user=SAM_ID, chat=chat)
    assert len(await tasks(polling)) == 2


async def test_a_task_is_handed_in_once_over_a_restart_and_its_end_is_told_after_it(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as first:
            await said(first, "/submit slowly", user=SAM_ID, chat=SAM_ID)
            (task,) = await tasks(first)
            review = await first.house.review(task)
            telegram.faults.add(Fault(method="sendMessage", status=502, body={}, contains="your task"))
            await first.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
            await telegram.until(lambda: any(call.status == 502 for call in telegram.calls))
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as second:

            async def heard() -> list[Message]:
                assert len(await tasks(second)) == 1
                clock.advance(seconds=1)
                return second.saying("was approved by Ana Ruiz", SAM_ID)

            await eventually(heard)
            assert len(second.saying("was approved", SAM_ID)) == 1


async def test_nothing_to_hand_in_and_an_unknown_flow(there: TelegramHouse) -> None:
    assert "“/submit Refund" in (await said(there, "/submit", user=SAM_ID)).text
    assert "There is no flow 'nope'" in (await said(there, "/submit flow:nope x", user=SAM_ID)).text
    assert await tasks(there) == ()
    await said(there, "/submit flow:brief x", user=SAM_ID)
    await said(there, "/submit flow: brief y", user=SAM_ID)
    assert [(one.flow, one.title) for one in await tasks(there)] == [("brief", "y"), ("brief", "x")]
