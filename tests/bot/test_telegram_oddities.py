"""What Telegram's Bot API allows of a press and our cards never bring about; and groups that move twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from bot.answers import UNREADABLE
from bot.buttons import Action
from core.model import Verdict
from tests.bot import telegram_fixtures
from tests.bot.house import decisions
from tests.bot.telegram_house import ANA_ID, SECRET, simulated, telegram_house
from tests.bot.telegram_updates import none_left
from tests.bot.test_telegram import posted
from tests.world import BEN, eventually

if TYPE_CHECKING:
    from core.store.database import Database
    from tests.bot.telegram_house import TelegramHouse
    from tests.world import StoppedClock

by_webhook = telegram_fixtures.by_webhook
BASIC = -77
ELSEWHERE = {"inline_message_id": "AgAAAB-canary"}
"""Of a message that somebody sent by way of a bot, which may stand in any chat."""


async def brought(there: TelegramHouse, **query: Any) -> str | None:
    """What is said to such a press of Ana's; it is handled, and no fault of ours comes of it."""
    sender = {"id": ANA_ID, "is_bot": False, "first_name": "Ana"}
    press = {"id": "77", "from": sender, "chat_instance": "1"} | query
    with capture_logs() as logs:
        status, answer = await posted(there, json.dumps({"update_id": 5, "callback_query": press}), SECRET)
        await eventually(lambda: none_left(there))
    assert status == 200
    assert [line for line in logs if line["log_level"] == "error"] == []
    # by a call where it was said before the webhook waited for it
    calls = there.telegram.calls_of("answerCallbackQuery")
    said = [json.loads(answer)] if answer else [call.params for call in calls]
    assert [one["callback_query_id"] for one in said] in ([], ["77"])
    return said[0].get("text") if said else None


@pytest.mark.parametrize("query", [{}, {"game_short_name": "chess"}, ELSEWHERE], ids=str)
async def test_a_press_that_carries_nothing_is_told_that_it_cannot_be_read(
    by_webhook: TelegramHouse, query: dict[str, Any]
) -> None:
    assert await brought(by_webhook, **query) == UNREADABLE


async def test_an_approval_without_a_message_counts(by_webhook: TelegramHouse) -> None:
    """Telegram leaves out what it no longer shows, and of which it was pressed the button tells."""
    task = await by_webhook.house.submit()
    await by_webhook.card()
    token = by_webhook.house.buttons.token((await by_webhook.house.review(task)).id, 1, Action.APPROVE)
    assert await brought(by_webhook, data=token, **ELSEWHERE) == "Approved."
    assert [made.reviewer for made in await decisions(by_webhook, task)] == ["ana"]
    await by_webhook.card_with("Approved by Ana Ruiz")


@pytest.mark.parametrize("action", [one for one in Action if one is not Action.APPROVE])
async def test_no_other_button_without_a_message_is_a_fault_or_decides(
    by_webhook: TelegramHouse, action: Action
) -> None:
    task = await by_webhook.house.submit()
    await by_webhook.card()
    token = by_webhook.house.buttons.token((await by_webhook.house.review(task)).id, 1, action)
    await brought(by_webhook, data=token, **ELSEWHERE)
    assert await decisions(by_webhook, task) == ()


async def test_a_group_that_moves_a_second_time_while_its_cards_edit_is_on_its_way_is_followed(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """Its first move is told by the refusal of that very edit."""
    async with simulated() as telegram:
        telegram.add_chat(BASIC, "group", "Reviews", [ANA_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=BASIC
        ) as there:
            task = await there.house.submit()
            await there.card(chat=BASIC)
            telegram.updates.hold()
            first = telegram.migrate(BASIC)
            second = telegram.migrate(first)
            review = await there.house.review(task)
            await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
            card = await there.card_with("Approved by Ben Okri", chat=second)
            assert not card.labels
            telegram.updates.release()
            later = await there.house.submit("a later one")
            assert (await there.card_with("a later one", chat=second)).labels
            assert (await there.house.delivery(later, lambda found: found.message)).recipient.address == str(
                second
            )
            assert there.ours(first) == []
