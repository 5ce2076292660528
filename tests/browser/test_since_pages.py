"""What led to an attempt, and what has changed since, in a real browser: folded, narrow, without scripts."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.browser.looks import PHONE_IN_THE_DARK, expect, timeline
from tests.web.attempts import Attempts, house_of_attempts
from tests.web.reading import HOSTILE
from tests.world import ANA, BEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Locator, Page

    from core.store.database import Database
    from tests.browser.conftest import SignIn
    from tests.world import StoppedClock

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NARROW: dict[str, Any] = {"viewport": {"width": 400, "height": 800}}
BEFORE = "We open at eight.\nSee you soon."
NOW = "We open at eight on Monday.\nSee you soon."
LONG = [f"line {number} " + "x" * 60 for number in range(200)]


@pytest_asyncio.fixture(loop_scope="session")
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[Attempts]:
    async with AsyncExitStack() as stack, house_of_attempts(sqlite_database, clock, stack) as made:
        yield made


async def fits(page: Page) -> None:
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


def changes(page: Page) -> Locator:
    return page.locator(".since").get_by_role("group", name="Changes, line by line")


@pytest.mark.parametrize("how", [{}, NARROW, PHONE_IN_THE_DARK], ids=["desk", "narrow", "phone"])
async def test_rejected_words_and_changes_come_live_and_one_decides_by_them(
    house: Attempts, sign_in: SignIn, how: dict[str, Any]
) -> None:
    task = await house.world.submit([BEFORE, NOW], flow="confirm", title="Opening hours")
    await house.open_review(task.id)
    ana, other = await sign_in("ana", **how), await sign_in("ana", **how)
    await ana.goto(f"{house.url}/tasks/{task.id}")
    await other.goto(f"{house.url}/inbox")
    await other.get_by_role("textbox", name="Reason").fill("Name the date, please")
    await other.get_by_role("button", name="Reject").click()
    await house.open_review(task.id, 2)
    await other.goto(f"{house.url}/inbox")
    for page in (ana, other):
        await expect(page.get_by_role("heading", name="Before this, rejected by Ana Ruiz")).to_be_visible()
        await expect(page.locator(".led blockquote")).to_have_text("Name the date, please")
        await expect(page.get_by_role("heading", name="Changed since attempt 1")).to_be_visible()
        await expect(changes(page).locator("del")).to_have_text("Removed: -We open at eight.")
        await expect(changes(page).locator("ins")).to_have_text("Added: +We open at eight on Monday.")
        gone, come = [await changes(page).locator(tag).bounding_box() for tag in ("del", "ins")]
        assert gone is not None
        assert come is not None
        assert come["y"] >= gone["y"] + gone["height"] - 2, "line by line, and not side by side"
        assert abs(come["x"] - gone["x"]) < 2
        await fits(page)
    await other.get_by_role("button", name="Approve").click()
    await expect(timeline(ana)).to_contain_text("Approved by Ana Ruiz")
    await expect(ana.locator(".since, .led")).to_have_count(0)


async def test_long_changes_are_folded_and_stay_as_one_left_them(house: Attempts, sign_in: SignIn) -> None:
    task_id, review = await house.rejected(
        "\n".join(LONG), "\n".join(LONG).upper(), comment="word " * 1_000, flow="two", by=(ANA,)
    )
    ana = await sign_in("ana", **NARROW)
    for path in (f"/tasks/{task_id}", "/inbox"):
        await ana.goto(house.url + path)
        await expect(changes(ana)).to_be_hidden()
        summary = ana.locator(".since summary")
        await expect(summary).to_have_text("Changed since attempt 1 400 lines")
        await summary.focus()
        await ana.keyboard.press("Enter")
        await expect(changes(ana)).to_be_visible()
        await fits(ana)
        await expect(ana.locator(".since")).to_contain_text("Lines of it missing here: ")
        higher = "document.documentElement.scrollHeight - document.body.getBoundingClientRect().height"
        assert await ana.evaluate(higher) < 2, "what only screen readers read makes nothing longer"
        await house.world.service.looking.claim(review, BEN.id, via="web")
        await expect(ana.get_by_text("Ben Okri is looking").first).to_be_visible()
        await expect(changes(ana)).to_be_visible()
        await house.world.service.looking.release(review, BEN.id, via="web")
    await ana.get_by_role("link", name="the timeline").last.click()
    await expect(ana.get_by_role("heading", name="Timeline")).to_be_in_viewport()
    assert ana.url == f"{house.url}/tasks/{task_id}#timeline"


async def test_ask_leads_to_the_question(house: Attempts, sign_in: SignIn) -> None:
    await house.rejected(BEFORE, NOW)
    ana = await sign_in("ana", **NARROW)
    await ana.goto(f"{house.url}/inbox")
    await ana.get_by_role("link", name="Ask Sam Lee something…").click()
    await ana.get_by_role("textbox", name="Your question").fill("Which Monday?")
    await ana.get_by_role("button", name="Ask", exact=True).click()
    await expect(ana.get_by_text("No answer yet.")).to_be_visible()
    await ana.goto(f"{house.url}/inbox")
    await expect(ana.get_by_text("1 asked so far")).to_be_visible()


async def test_hostile_words_do_nothing_and_widen_nothing(house: Attempts, sign_in: SignIn) -> None:
    hidden = "safe\u202egnp.exe\u200b " + "wide" * 300
    calm = "\n".join(map(str, range(9)))
    task_id, _ = await house.rejected(
        calm, "\n".join([*HOSTILE, hidden]), comment="\n".join([*HOSTILE, hidden])
    )
    ana = await sign_in("ana", **NARROW)
    for path in (f"/tasks/{task_id}", "/inbox"):
        await ana.goto(house.url + path)
        await expect(ana.locator(".led blockquote")).to_contain_text("<script>alert(1)</script>")
        await expect(ana.locator(".since")).to_contain_text("</textarea></pre><h1>Approved</h1>")
        await expect(ana.locator(".since .hidden-character")).to_have_text(["U+202E", "U+200B"])
        await fits(ana)


async def test_without_scripts(house: Attempts, sign_in: SignIn) -> None:
    task_id, _ = await house.rejected("\n".join(LONG), "\n".join(LONG).upper())
    signed_in = await sign_in("ana")
    assert signed_in.context.browser is not None
    context = await signed_in.context.browser.new_context(java_script_enabled=False, **NARROW)
    await context.add_cookies([{**cookie} for cookie in await signed_in.context.cookies()])  # type: ignore[typeddict-item]  # as read
    page = await context.new_page()
    await page.goto(f"{house.url}/inbox")
    await expect(page.get_by_text("Name the date, please")).to_be_visible()
    await page.locator(".since summary").click()
    await expect(changes(page)).to_be_visible()
    await page.get_by_role("link", name="Ask Sam Lee something…").click()
    await expect(page.get_by_text("Ask Sam Lee something…")).to_be_visible()
    await page.get_by_text("Ask Sam Lee something…").click()
    await expect(page.get_by_role("textbox", name="Your question")).to_be_visible()
    assert page.url.startswith(f"{house.url}/tasks/{task_id}#ask-")
    await context.close()
