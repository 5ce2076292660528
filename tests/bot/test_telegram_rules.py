"""What Telegram's own rules would spoil: previews, deleted messages, what a bot is told and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from telegram import Bot

from bot.simulator.faults import Fault
from core.errors import SettingsError
from core.model import Verdict
from tests.bot import telegram_fixtures
from tests.bot.house import decided
from tests.bot.telegram_house import ANA_ID, GROUP, TelegramHouse, simulated, telegram_house
from tests.world import BEN

if TYPE_CHECKING:
    from core.store.database import Database
    from tests.world import StoppedClock

polling = telegram_fixtures.polling


async def test_a_card_brings_no_preview_of_what_it_links_to(polling: TelegramHouse) -> None:
    await polling.house.submit("see https://example.com/article")
    card = await polling.card()
    await polling.telegram.press(card, "Approve", user=ANA_ID)
    await polling.card_with("Approved by Ana Ruiz")
    for method in ("sendMessage", "editMessageText"):
        (call,) = polling.telegram.calls_of(method)
        assert call.params["link_preview_options"] == {"is_disabled": True}


async def test_where_somebody_deleted_the_first_card_the_next_attempts_is_posted(
    polling: TelegramHouse,
) -> None:
    there = polling
    task = await there.house.submit()
    first = await there.card()
    async with Bot(there.telegram.token, base_url=there.telegram.api_url) as bot:
        await bot.delete_message(GROUP, first.id)
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    second = await there.card_with("attempt 2 · submitted")
    assert second.reply_to is None
    there.house.clock.advance(seconds=3)  # a group takes so many messages at once
    await there.telegram.press(second, "Approve", user=ANA_ID)
    assert (await there.card_with("Approved by Ana Ruiz")).id == second.id


async def test_where_somebody_deleted_the_card_its_presser_is_asked_all_the_same(
    polling: TelegramHouse,
) -> None:
    """A press that was made before comes after."""
    there = polling
    task = await there.house.submit()
    card = await there.card()
    there.telegram.tap(card, "Reject…", user=ANA_ID)
    async with Bot(there.telegram.token, base_url=there.telegram.api_url) as bot:
        await bot.delete_message(GROUP, card.id)
    asked = await there.card_with("why do you reject")
    await there.telegram.press(asked, "No reason", user=ANA_ID)
    assert (await decided(there, task)).verdict is Verdict.REJECT


@pytest.mark.parametrize("webhook", [False, True])
async def test_whatever_a_bot_asked_for_before_it_hears_presses_and_words(
    sqlite_database: Database, clock: StoppedClock, *, webhook: bool
) -> None:
    """Telegram remembers which updates were asked for last, and goes on with those where nothing is said."""
    async with simulated() as telegram:
        async with Bot(telegram.token, base_url=telegram.api_url) as before:
            await before.get_updates(timeout=0, allowed_updates=["channel_post"])
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            task = await there.house.submit()
            await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
            asked = await there.card_with("why do you reject")
            await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=asked)
            assert (await decided(there, task)).comment == "too long"


async def test_an_address_that_telegram_does_not_call_stops_the_start(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    refused = "Bad Request: bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443"
    body = {"ok": False, "error_code": 400, "description": refused}
    async with telegram_house(sqlite_database, clock, webhook=True, listening=False) as there:
        there.telegram.faults.add(Fault(method="setWebhook", status=400, body=body))
        with pytest.raises(SettingsError, match=r"COUNTERSIGN_PUBLIC_URL: .* only on ports 80, 88"):
            async with there.channel.listening():
                pass
