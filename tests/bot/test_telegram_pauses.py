"""Pauses that Telegram asks for, or what answers in its place: kept where they make sense, and bounded."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from telegram.error import RetryAfter, TelegramError

from bot.checkup import telegram_findings
from bot.simulator.faults import Fault
from bot.telegram.requests import LONGEST_PAUSE, LONGEST_SILENCE, UNTOLD_PAUSE, KeepingRequest, QuietRequest
from tests.bot import telegram_fixtures
from tests.bot.telegram_house import ANA_ID, settings_for, simulated
from tests.bot.test_telegram_requests import none_is_kept, nothing_is_heard

if TYPE_CHECKING:
    from bot.simulator.telegram import TelegramSimulator
    from tests.bot.telegram_house import TelegramHouse

polling = telegram_fixtures.polling

ODD: list[Any] = [10**12, 2**80, -5, 0, "30", "soon", 2.5, True, [30], {"seconds": 30}]


def pause_of(asked: object, *, method: str | None = None, times: int | None = 1) -> Fault:
    body = {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": asked}}
    return Fault(method=method, status=429, body=body, times=times)


async def asked_of(telegram: TelegramSimulator, request: QuietRequest) -> timedelta:
    async with request:
        with pytest.raises(RetryAfter) as refused:
            await request.post(f"{telegram.api_url}{telegram.token}/getUpdates")
    found = refused.value.retry_after
    assert isinstance(found, timedelta)
    return found


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        (7, timedelta(seconds=7)),
        (35_000, timedelta(seconds=35_000)),
        (10**12, LONGEST_PAUSE),
        (2**80, LONGEST_PAUSE),
        (0, timedelta(seconds=1)),
        (-5, timedelta(seconds=1)),
        *((asked, UNTOLD_PAUSE) for asked in ("30", "soon", 2.5, True, [30], {"seconds": 30})),
    ],
    ids=repr,
)
async def test_a_pause_is_at_least_a_second_at_most_a_day_and_a_minute_where_it_is_no_number(
    asked: object, pause: timedelta
) -> None:
    async with simulated() as telegram:
        telegram.faults.add(pause_of(asked, times=None))
        assert await asked_of(telegram, QuietRequest(trust_env=False)) == pause
        keeping = KeepingRequest(none_is_kept, nothing_is_heard, trust_env=False)
        assert await asked_of(telegram, keeping) == min(pause, LONGEST_SILENCE)


@pytest.mark.parametrize("parameters", ["retry_after", 5, [5], {"migrate_to_chat_id": "elsewhere"}], ids=repr)
async def test_parameters_that_are_none_are_passed_over(parameters: object) -> None:
    async with simulated() as telegram:
        body = {"ok": False, "description": "Too Many Requests", "parameters": parameters}
        telegram.faults.add(Fault(status=429, body=body))
        async with QuietRequest(trust_env=False) as request:
            with pytest.raises(TelegramError, match="Too Many Requests") as refused:
                await request.post(f"{telegram.api_url}{telegram.token}/sendMessage")
            assert not isinstance(refused.value, RetryAfter)


async def test_a_card_for_which_telegram_asks_a_pause_of_ages_is_tried_again_the_next_day(
    polling: TelegramHouse,
) -> None:
    polling.telegram.faults.add(pause_of(10**12, method="sendMessage"))
    task = await polling.house.submit()
    due = polling.house.clock.now() + LONGEST_PAUSE
    await polling.house.delivery(task, lambda found: found.due_at == due)
    polling.house.clock.advance(LONGEST_PAUSE)
    await polling.card()


@pytest.mark.parametrize("asked", ["soon", 10**12], ids=repr)
async def test_the_next_poll_waits_whatever_is_asked_for(polling: TelegramHouse, asked: object) -> None:
    polls = polling.telegram.calls_of
    polling.telegram.faults.add(pause_of(asked, method="getUpdates", times=None))
    await polling.house.submit()
    polling.telegram.tap(await polling.card(), "Approve", user=ANA_ID)
    await polling.telegram.until(lambda: polls("getUpdates")[-1].status == 429)
    for _ in range(3):
        await polling.telegram.say(ANA_ID, "/pending", user=ANA_ID)
        await polling.house.quiet()
    assert [call.status for call in polls("getUpdates")].count(429) <= 1


@pytest.mark.parametrize("asked", ODD, ids=repr)
async def test_doctor_says_so_too(asked: object) -> None:
    async with simulated() as telegram:
        telegram.faults.add(pause_of(asked, method="getMe"))
        settings = settings_for(telegram, webhook=False)
        (found,) = [finding async for finding in telegram_findings(settings, ())]
        assert (found.is_well, found.text) == (False, "Telegram asks for a pause")
        assert found.mend == "run doctor again in a while"
