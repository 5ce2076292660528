"""An HTTP source, real and on loopback: what is understood, and that everything else is a trouble."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from bot.settings import BotSettings
from bot.simulator.faults import Fault
from bot.simulator.telegram import TelegramSimulator
from core.errors import Unavailable
from countersign.membership import LARGEST, asked, asker, patience
from countersign.sources import Kind, Source
from tests.countersign.listing import Lists, listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def lists() -> AsyncIterator[Lists]:
    async with listing() as running:
        yield running


@pytest.mark.parametrize("body", ['{"people": ["ana", "ben", "ana"], "as_of": 1}', '["ana", "ben"]'])
async def test_both_shapes_are_understood(lists: Lists, body: str) -> None:
    lists.body = body
    assert await lists.members() == ("ana", "ben")
    assert "Authorization" not in lists.asked[0]


async def test_nobody_is_an_answer(lists: Lists) -> None:
    assert await lists.members() == ()


async def test_the_token_is_a_bearers(lists: Lists) -> None:
    await lists.members("canary")
    assert lists.asked[0]["Authorization"] == "Bearer canary"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "ana",
        '{"people": "ana"}',
        '{"members": ["ana"]}',
        '["ana", 1]',
        "null",
        "[" * 100_000,
        '[["ana"]]',
    ],
)
async def test_another_shape_is_not_an_empty_list(lists: Lists, body: str) -> None:
    lists.body = body
    assert str(await lists.refusal()).startswith("127.0.0.1 answered with ")


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500])
async def test_another_status_is_not_an_answer(lists: Lists, status: int) -> None:
    lists.status = status
    refused = await lists.refusal()
    assert (str(refused), refused.retry_after) == (f"127.0.0.1 answered {status}.", timedelta(0))


@pytest.mark.parametrize(
    ("header", "pause"),
    [("77", 77), ("99999999999", 3600), ("soon", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0)],
)
async def test_a_pause_that_is_asked_for_is_told(lists: Lists, header: str, pause: int) -> None:
    lists.status, lists.headers = 429, {"Retry-After": header}
    assert (await lists.refusal()).retry_after == timedelta(seconds=pause)


@pytest.mark.parametrize("where", ["https://elsewhere.example/", "/legal"])
async def test_a_redirect_is_not_followed(lists: Lists, where: str) -> None:
    lists.status, lists.headers = 302, {"Location": where}
    assert str(await lists.refusal()) == "127.0.0.1 redirects (302), which is not followed."
    assert len(lists.asked) == 1


async def test_no_more_than_a_mebibyte_is_read(lists: Lists) -> None:
    names = '["' + "a" * (LARGEST - 4) + '"]'
    lists.body = names
    assert len((await lists.members())[0]) == LARGEST - 4
    lists.body = names + " "
    assert str(await lists.refusal()) == "127.0.0.1 answered with more than 1 MiB."


async def test_a_source_that_hangs_is_left(lists: Lists) -> None:
    lists.gate.clear()
    with pytest.raises(Unavailable, match="no answer in time"):
        await asker(BotSettings(), within=0.1)(lists.source())
    lists.gate.set()


@pytest.mark.parametrize(("people", "seconds"), [(0, 10), (49, 10), (50, 20), (500, 110)])
def test_a_chat_in_telegram_has_longer_the_more_people_it_is_asked_for(people: int, seconds: float) -> None:
    assert patience(chat_of(people)) == seconds


async def test_a_chat_in_telegram_that_hangs_is_left_and_each_is_asked_with_the_bots_own_token() -> None:
    async with TelegramSimulator() as telegram:
        telegram.add_chat(-1001, members=[telegram.add_user(number, "X") for number in (1, 2)])
        bot = bot_of(telegram)
        assert await asker(bot)(chat_of(3)) == ("1", "2")
        telegram.faults.add(Fault(method="getChatMember", delay=60.0, times=None))
        with pytest.raises(Unavailable, match="no answer in time"):
            await asker(bot, within=0.1)(chat_of(3))


async def test_chats_in_telegram_are_asked_one_after_the_other() -> None:
    """All share one pace: side by side each takes as long as all together, and many are never in time."""
    async with TelegramSimulator() as telegram:
        sources = chats(telegram, people=40)
        asking = asyncio.create_task(asked(sources, asker(bot_of(telegram))))
        await telegram.until(lambda: len(telegram.calls) >= 20)
        assert {call.params["chat_id"] for call in telegram.calls[:20]} == {-1001}
        asking.cancel()
        await asyncio.wait([asking])


async def test_who_waits_for_a_chat_in_telegram_that_hangs_is_still_in_time() -> None:
    async with TelegramSimulator() as telegram:
        sources = chats(telegram, people=2)
        telegram.faults.add(Fault(method="getChatMember", contains="-1001", delay=60.0, times=None))
        found, troubles = await asked(sources, asker(bot_of(telegram), within=0.5))
        assert str(troubles["-1001"]) == "There was no answer in time."
        assert found == {"-1002": ("1",)}


@pytest.mark.parametrize("kind", [Kind.SLACK, Kind.TELEGRAM])
async def test_a_chat_that_is_off_says_which_token_is_missing(kind: Kind) -> None:
    with pytest.raises(Unavailable, match=f"^{kind.upper()}_BOT_TOKEN is not set.$"):
        await asker(BotSettings())(replace(chat_of(1), kind=kind))


def bot_of(telegram: TelegramSimulator) -> BotSettings:
    return BotSettings(
        telegram_bot_token=SecretStr(telegram.token),
        telegram_api_url=telegram.api_url,
        telegram_file_url=telegram.file_url,
    )


def chats(telegram: TelegramSimulator, people: int) -> dict[str, Source]:
    """Two, each with one member."""
    member = telegram.add_user(1, "X")
    for chat in (-1001, -1002):
        telegram.add_chat(chat, members=[member])
    return {chat: replace(chat_of(people), group=chat, address=chat) for chat in ("-1001", "-1002")}


def chat_of(people: int) -> Source:
    """A chat in Telegram, to be asked for so many."""
    candidates = tuple(range(1, people + 1))
    return Source(group="night", kind=Kind.TELEGRAM, address="-1001", candidates=candidates)


async def test_a_source_that_is_not_there_is_named_by_its_host_only() -> None:
    lists = Lists(url="http://127.0.0.1:9/secret")
    assert str(await lists.refusal()) == "127.0.0.1 could not be reached (ClientConnectorError)."


async def test_it_answers_again(lists: Lists) -> None:
    lists.status = 500
    await lists.refusal()
    lists.status, lists.body = 200, '["ana"]'
    assert await lists.members() == ("ana",)
