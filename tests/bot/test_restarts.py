"""Cards posted and questions asked before a restart: the first press after it counts, or explains itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from core.model import Verdict
from tests.bot import slack_house, telegram_house
from tests.bot.house import decided
from tests.bot.telegram_house import ANA_ID, EVE_ID, GROUP
from tests.world import StoppedClock

if TYPE_CHECKING:
    from core.store.database import Database

IN_SLACK = "U01ANA"


@pytest.fixture
def clock() -> StoppedClock:
    """bolt and the simulator sign and check by the machine's clock."""
    return StoppedClock(datetime.now(UTC))


@pytest.mark.parametrize("http", [False, True])
async def test_in_slack_buttons_and_an_open_dialog_outlive_it(
    sqlite_database: Database, clock: StoppedClock, *, http: bool
) -> None:
    async with slack_house.simulated() as slack:
        async with slack_house.slack_house(sqlite_database, clock, http=http, running=slack) as there:
            one, two = await there.house.submit("one"), await there.house.submit("two")
            first, second = await there.card_with("Review: one"), await there.card_with("Review: two")
            await slack.press(second, "Reject…", user=IN_SLACK)
        async with slack_house.slack_house(sqlite_database, clock, http=http, running=slack) as again:
            assert (await slack.press(first, "Approve", user="U01EVE")).ok
            assert "nobody is listed under yours" in await again.told("U01EVE")
            assert (await slack.press(first, "Approve", user=IN_SLACK)).ok
            assert (await decided(again, one)).verdict is Verdict.APPROVE
            await slack.submit(slack_house.the_view(again), {"Reason": "too long"}, user=IN_SLACK)
            made = await decided(again, two)
            assert (made.verdict, made.comment) == (Verdict.REJECT, "too long")
            assert (await again.card_with("Approved by Ana Ruiz")).ts == first.ts
            assert (await again.card_with("superseded by attempt 2")).ts == second.ts


@pytest.mark.parametrize("webhook", [False, True])
async def test_in_telegram_buttons_and_an_open_question_outlive_it(
    sqlite_database: Database, clock: StoppedClock, *, webhook: bool
) -> None:
    async with telegram_house.simulated() as telegram:
        async with telegram_house.telegram_house(
            sqlite_database, clock, webhook=webhook, telegram=telegram
        ) as there:
            one, two = await there.house.submit("one"), await there.house.submit("two")
            first, second = await there.card_with("Review: one"), await there.card_with("Review: two")
            await telegram.press(second, "Reject…", user=ANA_ID)
            asked = await there.card_with("why do you reject")
        clock.advance(seconds=3)  # a group takes so many messages at once
        async with telegram_house.telegram_house(
            sqlite_database, clock, webhook=webhook, telegram=telegram
        ) as again:
            refused = await telegram.press(first, "Approve", user=EVE_ID)
            assert "nobody is listed under yours" in (refused.text or "")
            await telegram.press(first, "Approve", user=ANA_ID)
            assert (await decided(again, one)).verdict is Verdict.APPROVE
            await telegram.say(GROUP, "too long", user=ANA_ID, reply_to=asked)
            made = await decided(again, two)
            assert (made.verdict, made.comment) == (Verdict.REJECT, "too long")
            assert (await again.card_with("Approved by Ana Ruiz")).id == first.id
            assert (await again.card_with("superseded by attempt 2")).id == second.id
