"""A thousand cards for one Slack channel: at the permitted pace, while decisions are shown at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from core.model import ReviewId, Verdict
from tests.bot.slack_house import GENERAL, SlackHouse, slack_house, text_of
from tests.world import BEN, eventually

if TYPE_CHECKING:
    from datetime import datetime

    from core.store.database import Database
    from tests.world import StoppedClock

BURST = 4
"""Posts at once after a rest, and in any four seconds (`bot.slack.channel.IN_A_CHANNEL`)."""
PROMISED = timedelta(seconds=2)


async def test_cards_leave_at_the_permitted_pace_while_decisions_are_shown(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    await many_cards(sqlite_database, clock, cards=40)


@pytest.mark.soak
async def test_a_thousand_cards_leave_at_the_permitted_pace(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    shown = await many_cards(sqlite_database, clock, cards=1_000)
    figures = f"{len(shown)} decisions shown meanwhile, each within {max(shown).total_seconds():g} s"
    print(f"figures: 1,000 cards, 0 answers 429, {figures}")  # noqa: T201 - figures for docs/evidence.md


async def many_cards(database: Database, clock: StoppedClock, *, cards: int) -> list[timedelta]:
    """How long each decision took to be shown, while the others were being posted."""
    options: dict[str, Any] = {"enforce_rate_limits": True, "now": lambda: clock.now().timestamp()}
    async with slack_house(database, clock, http=False, **options) as there:
        for number in range(cards):
            await there.house.submit(f"text {number}")
        began, shown = clock.now(), []
        for posted in range(BURST, cards + BURST, BURST):
            await there.card(min(posted, cards))
            if posted % (4 * BURST) == 0:
                shown.append(await decided(there, clock, number=posted - BURST))
            await next_burst(there, clock, began + timedelta(seconds=posted))
        assert clock.now() - began <= timedelta(seconds=cards)
        refused = [call.method for call in there.slack.calls if call.status == 429]
        assert [method for method in refused if method.startswith("chat.")] == []
        assert all(took <= PROMISED for took in shown), shown
        closed = [seen for seen in there.slack.messages(GENERAL) if not seen.labels]
        assert len(closed) == len(shown)
        return shown


async def decided(there: SlackHouse, clock: StoppedClock, *, number: int) -> timedelta:
    """Decide on a card elsewhere; how long Slack went on showing it open."""
    card = there.slack.messages(GENERAL)[number]
    value = next(
        element["value"]
        for block in card.blocks
        for element in block.get("elements", ())
        if "value" in element
    )
    said = there.house.buttons.read(value)
    assert said is not None
    at = clock.now()
    await there.house.service.decide(ReviewId(said.review), BEN.id, Verdict.APPROVE, via="web")

    async def is_shown() -> bool:
        await there.house.store.counts()
        now = there.slack.message(GENERAL, card.ts)
        return not now.labels and "Approved by Ben Okri" in text_of(now)

    await eventually(is_shown)
    return clock.now() - at


async def next_burst(there: SlackHouse, clock: StoppedClock, until: datetime) -> None:
    """Let the time pass until posts are permitted again, second by second."""
    while clock.now() < until:
        await there.house.store.counts()
        clock.advance(seconds=1)
