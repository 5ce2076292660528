"""An HTTP source, real and on loopback: what is understood, and that everything else is a trouble."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bot.settings import BotSettings
from core.errors import Unavailable
from countersign.membership import LARGEST, asker
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


async def test_a_source_that_is_not_there_is_named_by_its_host_only() -> None:
    lists = Lists(url="http://127.0.0.1:9/secret")
    assert str(await lists.refusal()).startswith("127.0.0.1 could not be reached (")


async def test_it_answers_again(lists: Lists) -> None:
    lists.status = 500
    await lists.refusal()
    lists.status, lists.body = 200, '["ana"]'
    assert await lists.members() == ("ana",)
