"""A task's page in a real browser shows what becomes of its card, which is no event."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from core.errors import Unreachable
from tests.browser.looks import expect, hide, show
from tests.web.web_house import House
from tests.world import DESK, PaperChannel, draft_flows, eventually, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from playwright.async_api import Page

    from core.model import Delivery, ReviewId
    from core.store.database import Database
    from tests.browser.looks import SignIn
    from tests.world import StoppedClock

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def card_links(review: ReviewId, deliveries: Sequence[Delivery]) -> list[tuple[str, str]]:
    shown = [one for one in deliveries if one.review == review and one.message]
    return [("paper", f"https://paper.example/{one.message}") for one in shown]


@pytest.fixture
def paper() -> PaperChannel:
    return PaperChannel()


@pytest_asyncio.fixture(loop_scope="session")
async def house(sqlite_database: Database, clock: StoppedClock, paper: PaperChannel) -> AsyncIterator[House]:
    """Whose cards are put up on paper."""
    async with (
        whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world,
        AsyncExitStack() as stack,
    ):
        made = House(world, stack)
        await made.start(WebSettings(port=0), card_links=card_links)
        yield made


async def test_the_link_to_a_card_appears_by_itself(
    house: House, sign_in: SignIn, paper: PaperChannel, clock: StoppedClock
) -> None:
    paper.faults = [Unreachable("The line is cut.")]
    task_id = await house.submitted("Announce the new opening hours")

    async def is_tried() -> bool:
        return any(one.error for one in await house.world.service.deliveries(task_id))

    async def is_posted() -> bool:
        return any(one.message for one in await house.world.service.deliveries(task_id))

    await eventually(is_tried)
    sam = await sign_in("sam")
    await sam.clock.install()
    await sam.goto(f"{house.url}/tasks/{task_id}")
    trouble, link = sam.get_by_text("The line is cut."), sam.get_by_role("link", name="paper")
    await expect(trouble).to_be_visible()
    await expect(link).to_have_count(0)
    clock.advance(minutes=1)
    await eventually(is_posted)
    await sam.clock.run_for(2_000)
    await expect(link).to_be_visible()
    await expect(trouble).to_have_count(0)


async def asked_for(page: Page, address: str, act: Awaitable[object]) -> None:
    """Once the page has its answer: by its clock, which is put forward, a request would take too long."""
    async with page.expect_response(
        lambda one: one.url == address and one.request.resource_type == "fetch"
    ) as found:
        await act
    await (await found.value).finished()
    await page.evaluate("0")


async def test_nobody_asks_for_a_page_that_nobody_sees(
    house: House, sign_in: SignIn, paper: PaperChannel
) -> None:
    paper.close()
    task_id = await house.submitted("Announce the new opening hours")
    sam = await sign_in("sam")
    await sam.clock.install()
    address = f"{house.url}/tasks/{task_id}"
    await asked_for(sam, address, sam.goto(address))
    await expect(sam.get_by_role("heading", name="Where it stands")).to_have_count(1)
    await asked_for(sam, address, sam.clock.fast_forward(60_000))
    await hide(sam)
    asked: list[str] = []
    sam.on("request", lambda request: asked.append(request.url))
    await sam.clock.fast_forward(600_000)
    assert address not in asked
    async with sam.expect_response(address):
        await show(sam)
    paper.open()
