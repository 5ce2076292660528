"""Who of some people is in a Telegram chat: asked with the real python-telegram-bot."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from bot.settings import BotSettings
from bot.simulator.faults import Fault
from bot.simulator.telegram import TelegramSimulator
from bot.telegram import memberships
from bot.telegram.connection import trusted
from bot.telegram.memberships import Memberships
from core.clock import SystemClock
from core.errors import Unavailable
from tests.bot.telegram_house import ANA_ID, BEN_ID, EVE_ID, GROUP, SAM_ID
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from tests.world import StoppedClock

PEOPLE = (ANA_ID, BEN_ID, SAM_ID, EVE_ID)
METHOD = "getChatMember"


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator() as running:
        for user, name in zip(PEOPLE, ("Ana", "Ben", "Sam", "Eve"), strict=True):
            running.add_user(user, name)
        running.add_chat(GROUP, title="Reviews", members=[ANA_ID, BEN_ID])
        yield running


def settings(telegram: TelegramSimulator, **changes: Any) -> BotSettings:
    found: dict[str, Any] = {
        "telegram_bot_token": SecretStr(telegram.token),
        "telegram_api_url": telegram.api_url,
        "telegram_file_url": telegram.file_url,
    }
    return BotSettings(**(found | changes))


async def members(telegram: TelegramSimulator, *users: int, chat: int = GROUP) -> tuple[str, ...]:
    return await Memberships(settings(telegram), SystemClock()).members(chat, users or PEOPLE)


async def refusal(of: BotSettings, chat: int = GROUP) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await Memberships(of, SystemClock()).members(chat, PEOPLE)
    return caught.value


def refused(status: int, description: str, **parameters: int) -> Fault:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return Fault(method=METHOD, status=status, body=body | ({"parameters": parameters} if parameters else {}))


async def test_those_who_are_in_it_are_told_in_the_order_in_which_they_are_asked_for(
    telegram: TelegramSimulator,
) -> None:
    assert await members(telegram, EVE_ID, BEN_ID, ANA_ID) == ("43", "42")
    assert await members(telegram, EVE_ID) == ()


async def test_certificates_are_read_once_and_not_for_every_answer(telegram: TelegramSimulator) -> None:
    """Reading them holds up everybody's presses."""
    await members(telegram)
    before = trusted.cache_info().misses
    await members(telegram)
    assert trusted.cache_info().misses == before == 1


async def test_nobody_to_be_asked_for_is_an_answer(telegram: TelegramSimulator) -> None:
    asking = Memberships(settings(telegram), SystemClock())
    assert await asking.members(GROUP, ()) == ()
    assert telegram.calls == []


async def test_who_counts_as_a_member(telegram: TelegramSimulator) -> None:
    group = telegram.chat(GROUP)
    group.owner, group.administrators = ANA_ID, {BEN_ID}
    telegram.join(GROUP, SAM_ID)
    group.restricted = {SAM_ID, EVE_ID}
    assert await members(telegram) == ("42", "43", "44"), "who may only read is there, too"
    telegram.leave(GROUP, SAM_ID)
    assert await members(telegram) == ("42", "43"), "who was restricted, and left"
    telegram.leave(GROUP, BEN_ID, banned=True)
    assert await members(telegram) == ("42",)


@pytest.mark.parametrize("kind", ["group", "supergroup", "channel"])
async def test_every_kind_of_chat_is_asked_for_alike(telegram: TelegramSimulator, kind: str) -> None:
    telegram.add_chat(-1002, kind, members=[SAM_ID])
    assert await members(telegram, chat=-1002) == ("44",)


@pytest.mark.parametrize(
    "words",
    [
        "user not found",
        "member not found",
        "PARTICIPANT_ID_INVALID",
        "USER_ID_INVALID",
        "invalid user_id specified",
    ],
)
async def test_of_whom_telegram_knows_nothing_there_is_not_a_member(
    telegram: TelegramSimulator, words: str
) -> None:
    """One whom the bot never met must not keep it from knowing the others."""
    fault = refused(400, f"Bad Request: {words}")
    fault.contains = str(ANA_ID)
    telegram.faults.add(fault)
    assert await members(telegram) == ("43",)


async def test_who_is_not_in_telegram_at_all_is_not_a_member(telegram: TelegramSimulator) -> None:
    assert await members(telegram, 999, BEN_ID) == ("43",)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            refused(400, "Bad Request: chat not found"),
            "Telegram refused it (Chat not found): there is no such chat, or the bot is not in it.",
        ),
        (
            refused(403, "Forbidden: bot is not a member of the supergroup chat"),
            (
                "Telegram refused it (Forbidden: bot is not a member of the supergroup chat): add the bot to "
                "the chat."
            ),
        ),
        (
            refused(403, "Forbidden: bot was kicked from the supergroup chat"),
            (
                "Telegram refused it (Forbidden: bot was kicked from the supergroup chat): add the bot to "
                "the chat again."
            ),
        ),
        (
            refused(400, "Bad Request: member list is inaccessible"),
            (
                "Telegram refused it (Member list is inaccessible): make the bot an administrator of the "
                "chat, which lets it see who is there."
            ),
        ),
        (
            refused(400, "Bad Request: CHAT_ADMIN_REQUIRED"),
            (
                "Telegram refused it (Chat_admin_required): make the bot an administrator of the chat, which "
                "lets it see who is there."
            ),
        ),
        (
            refused(400, "Bad Request: STRANGE"),
            "Telegram refused it (Strange), and nobody is told without the user 43.",
        ),
        (refused(401, "Unauthorized"), "Telegram refuses the bot's token."),
        (refused(502, "Bad Gateway"), "Telegram could not be reached (NetworkError)."),
        (Fault(method=METHOD, cut=True), "Telegram could not be reached (NetworkError)."),
        (
            Fault(method=METHOD, body={"ok": True, "result": {"status": "member"}}),
            "Telegram answered with what is not a member, and nobody is told without the user 43.",
        ),
        (
            Fault(
                method=METHOD,
                body={
                    "ok": True,
                    "result": {"status": "member", "user": {"id": 1, "is_bot": False, "first_name": "A"}},
                },
            ),
            "Telegram answered with what is not a member, and nobody is told without the user 43.",
        ),
        (
            Fault(method=METHOD, body={"ok": True, "result": []}),
            "Telegram answered with what is not a member, and nobody is told without the user 43.",
        ),
    ],
)
async def test_a_trouble_with_one_person_is_one_sentence_and_half_an_answer_is_none(
    telegram: TelegramSimulator, fault: Fault, sentence: str
) -> None:
    fault.contains = str(BEN_ID)
    telegram.faults.add(fault)
    assert str(await refusal(settings(telegram))) == sentence


async def test_a_pause_that_telegram_asks_for_is_told_and_nobody_else_is_asked_for_then(
    telegram: TelegramSimulator,
) -> None:
    users = [*PEOPLE, *range(1000, 1020)]
    telegram.faults.add(refused(429, "Too Many Requests: retry after 77", retry_after=77))
    with pytest.raises(Unavailable) as caught:
        await Memberships(settings(telegram), SystemClock()).members(GROUP, users)
    assert str(caught.value) == "Telegram asks for a pause."
    assert caught.value.retry_after == timedelta(seconds=77)
    assert len(telegram.calls) <= 2 * memberships.SIDE_BY_SIDE


async def test_a_short_pause_is_waited_out_by_all_and_nothing_is_asked_for_twice(
    telegram: TelegramSimulator, clock: StoppedClock
) -> None:
    """Of many people some are always asked for too often: begun anew each time, it would never end."""
    fault = refused(429, "Too Many Requests: retry after 4", retry_after=4)
    fault.contains = str(SAM_ID)
    telegram.faults.add(fault)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(Memberships(settings(telegram), clock).members(GROUP, (SAM_ID, ANA_ID)))

        async def is_waiting() -> bool:
            return clock.next_alarm is not None

        await eventually(is_waiting)
        assert clock.next_alarm == clock.now() + timedelta(seconds=4)
        clock.advance(seconds=4)
    assert asking.result() == ("42",)
    assert sorted(call.params["user_id"] for call in telegram.calls) == [ANA_ID, SAM_ID, SAM_ID]


async def test_a_clock_that_is_set_back_keeps_nobody_waiting(
    telegram: TelegramSimulator, clock: StoppedClock
) -> None:
    memberships = Memberships(settings(telegram), clock)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        await memberships.members(GROUP, [*PEOPLE, *range(1000, 1016)])
        clock.advance(timedelta(hours=-3))
        asking = tasks.create_task(memberships.members(GROUP, PEOPLE))

        async def is_waiting() -> bool:
            return clock.next_alarm == clock.now() + timedelta(seconds=1)

        await eventually(is_waiting)
        clock.advance(seconds=1)
    assert asking.result() == ("42", "43")


async def test_a_group_that_became_a_supergroup_is_followed_and_its_old_id_stays_good(
    telegram: TelegramSimulator,
) -> None:
    telegram.add_chat(-55, "group", "Old", members=[ANA_ID])
    now = telegram.migrate(-55)
    telegram.join(now, SAM_ID)
    asking = Memberships(settings(telegram), SystemClock())
    with capture_logs() as lines:
        assert await asking.members(-55, PEOPLE) == ("42", "44")
        before = len(telegram.calls)
        assert await asking.members(-55, PEOPLE) == ("42", "44")
    assert [call.params["chat_id"] for call in telegram.calls[before:]] == [now] * len(PEOPLE)
    (told,) = [line for line in lines if line["event"] == "place_moved"]
    assert (told["address"], told["moved_to"]) == ("-55", now)


async def test_a_group_that_moves_in_circles_is_a_trouble(telegram: TelegramSimulator) -> None:
    moved = refused(
        400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=GROUP
    )
    moved.times = None
    telegram.faults.add(moved)
    assert "has become the supergroup" in str(await refusal(settings(telegram)))


async def test_few_are_asked_for_at_once(telegram: TelegramSimulator) -> None:
    slow = Fault(method=METHOD, delay=60.0, times=20)
    telegram.faults.add(slow)
    asking = asyncio.create_task(members(telegram, *range(1000, 1020)))

    async def under_way() -> int:
        return 20 - (slow.times or 0)

    async def are_some() -> bool:
        return await under_way() >= memberships.SIDE_BY_SIDE

    await eventually(are_some)
    await _settled()
    assert await under_way() == memberships.SIDE_BY_SIDE
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_twenty_are_asked_for_in_a_second_whatever_the_chats(
    telegram: TelegramSimulator, clock: StoppedClock
) -> None:
    asking = Memberships(settings(telegram), clock)
    telegram.add_chat(-1002, members=[SAM_ID])
    users = [*PEOPLE, *range(1000, 1008)]
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        one = tasks.create_task(asking.members(GROUP, users))
        other = tasks.create_task(asking.members(-1002, users))
        await telegram.until(lambda: len(telegram.calls) == 20 and clock.next_alarm is not None)
        assert clock.next_alarm == clock.now() + timedelta(seconds=1)
        clock.advance(seconds=1)
    assert (one.result(), other.result()) == (("42", "43"), ("44",))
    assert len(telegram.calls) == 24


async def test_neither_token_nor_address_is_said(telegram: TelegramSimulator) -> None:
    assert str(await refusal(BotSettings())) == "TELEGRAM_BOT_TOKEN is not set."
    wrong = settings(telegram, telegram_bot_token=SecretStr("1:canary"))
    assert str(await refusal(wrong)) == "Telegram refuses the bot's token."
    nowhere = settings(telegram, telegram_api_url="http://127.0.0.1:9/bot")
    said = str(await refusal(nowhere))
    assert "127.0.0.1" not in said
    assert telegram.token not in said


async def _settled() -> None:
    """Everything that could go on has."""
    for _ in range(50):
        await asyncio.sleep(0)
