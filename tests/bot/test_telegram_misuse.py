"""What somebody's own client, a slip or a misunderstanding brings to Telegram's bot, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.buttons import Action
from tests.bot.telegram_house import ANA_ID, GROUP, TelegramHouse, telegram_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.world import StoppedClock


@pytest.fixture
async def there(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[TelegramHouse]:
    async with telegram_house(sqlite_database, clock, webhook=False) as started:
        yield started


async def test_a_button_pressed_on_another_reviews_card_leaves_that_card_as_it_is(
    there: TelegramHouse,
) -> None:
    first = await there.house.submit("the first")
    await there.card(1)
    await there.house.submit("the second")
    other = await there.card(2)
    token = there.house.buttons.token((await there.house.review(first)).id, 1, Action.APPROVE)
    press = await there.telegram.press_raw(token, user=ANA_ID, message=other)
    assert press.text == "Approved."
    there.house.clock.advance(seconds=10)
    await there.card_with("Approved by Ana Ruiz")
    await there.house.quiet()
    shown = there.telegram.message(GROUP, other.id)
    assert "the second" in shown.text
    assert shown.labels == other.labels
