"""Reviews under policies, in a real browser: explained, changed, withdrawn, with reasons; and who is away."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.browser.looks import PHONE_IN_THE_DARK, expect, timeline
from tests.web.policy_house import policy_house
from tests.world import ANA, BEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from core.store.database import Database
    from tests.browser.conftest import SignIn
    from tests.web.policy_house import PolicyHouse
    from tests.world import StoppedClock

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[PolicyHouse]:
    async with AsyncExitStack() as stack, policy_house(sqlite_database, clock, stack) as made:
        yield made


async def fits(page: Page) -> None:
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


@pytest.mark.parametrize("how", [{}, PHONE_IN_THE_DARK], ids=["desk", "phone"])
async def test_a_decision_is_made_withdrawn_and_changed_live(
    house: PolicyHouse, sign_in: SignIn, how: dict[str, object]
) -> None:
    task_id = await house.submitted("Announce the new opening hours", flow="two")
    sam, ana = await sign_in("sam"), await sign_in("ana", **how)
    for page in (sam, ana):
        await page.goto(f"{house.url}/tasks/{task_id}")
    panel = sam.locator("#explain")
    await expect(panel).to_contain_text("2 approvals: Ana Ruiz, Ben Okri or Cy Young")
    await ana.get_by_role("textbox", name="Reason").fill("Fine.")
    await ana.get_by_role("button", name="Approve").click()
    await expect(panel).to_contain_text("Ana Ruiz: approved")
    await expect(panel).to_contain_text("1 approval: Ben Okri or Cy Young")
    await expect(ana.get_by_text("You have approved this.")).to_be_visible()
    await fits(ana)
    await ana.get_by_role("button", name="Withdraw my decision").click()
    await expect(panel).to_contain_text("2 approvals: ")
    await expect(timeline(sam)).to_contain_text("The decision of Ana Ruiz was taken back.")
    await ana.get_by_role("button", name="Approve").click()
    await ana.get_by_text("Change it…").click()
    await expect(ana.get_by_role("textbox", name="Reason")).to_have_value("")
    await fits(ana)
    await ana.get_by_role("button", name="Reject instead").click()
    await expect(timeline(sam)).to_contain_text("Rejected by Ana Ruiz")


@pytest.mark.parametrize("how", [{}, PHONE_IN_THE_DARK], ids=["desk", "phone"])
async def test_who_is_looking_is_seen_by_others_and_a_reminder_is_put_off_by_keyboard(
    house: PolicyHouse, sign_in: SignIn, how: dict[str, object]
) -> None:
    task_id = await house.submitted("Announce the new opening hours", flow="two")
    ben, ana = await sign_in("ben"), await sign_in("ana", **how)
    for page in (ben, ana):
        await page.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").fill("Half written")
    await ana.get_by_role("button", name="I'm looking").click()
    panel = ben.locator("#explain")
    await expect(panel).to_contain_text("Looking Ana Ruiz until 21 Nov 2026, 08:15:00 UTC")
    await expect(timeline(ben)).to_contain_text("Ana Ruiz is looking")
    await expect(ben.get_by_role("button", name="Approve", exact=True)).to_be_enabled()
    await fits(ana)
    await ana.get_by_role("button", name="Stop looking").click()
    await expect(panel).not_to_contain_text("Looking")
    later = ana.get_by_text("Remind me later…")
    await later.focus()
    await ana.keyboard.press("Enter")
    await fits(ana)
    await ana.get_by_label("Or at a time of your own").fill("2026-11-23T07:30")
    await ana.keyboard.press("Enter")
    await expect(ana.get_by_text("Your reminder: 23 Nov 2026, 07:30:00 UTC.")).to_be_visible()
    await expect(panel).to_contain_text("Reminded later Ana Ruiz 23 Nov 2026, 07:30:00 UTC")
    await ana.get_by_role("button", name="In 4 hours").click()
    await expect(panel).to_contain_text("Reminded later Ana Ruiz 21 Nov 2026, 12:00:00 UTC")
    await ana.get_by_role("button", name="Remind me as usual").click()
    await expect(panel).not_to_contain_text("Reminded later")
    await expect(ana.get_by_role("textbox", name="Reason")).to_have_value("Half written")
    await ana.get_by_label("Or at a time of your own").fill("2026-11-20T07:30")
    await ana.get_by_role("button", name="Remind me then").click()
    await expect(ana.locator("#notice")).to_contain_text("by 1 minute at least")


async def test_a_withdrawal_that_comes_too_late_says_so(house: PolicyHouse, sign_in: SignIn) -> None:
    task_id = await house.submitted(flow="two")
    review = await house.open_review(task_id)
    await house.world.approve(review, ANA)
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.evaluate("stopFollowing(); refresh = () => {}; follow = () => {}")
    await house.world.approve(review, BEN)
    await house.world.end(task_id)
    await ana.get_by_role("button", name="Withdraw my decision").click()
    await expect(ana.locator("#notice")).to_contain_text("Already approved by Ben Okri at ")


@pytest.mark.parametrize("flow", ["why", "always"])
async def test_a_reason_is_asked_for_before_anything_is_sent(
    house: PolicyHouse, sign_in: SignIn, flow: str
) -> None:
    task_id = await house.submitted(flow=flow)
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/inbox")
    reason = ana.locator("form.decide").get_by_label("Reason")  # with quick reasons a list of choices, too
    await ana.get_by_role("button", name="Reject").click()
    assert await reason.evaluate("field => field.validity.valueMissing && field === document.activeElement")
    await fits(ana)
    # Spaces pass the browser; the server says what is missing.
    await reason.fill("   ")
    await ana.get_by_role("button", name="Reject").click()
    await expect(ana.locator("#notice")).to_contain_text("This policy asks for a reason: say why.")
    assert (await house.task(task_id)).status == "waiting_for_review"
    if flow == "always":
        await reason.fill("All is well.")
    else:
        await reason.fill("")
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_text("Nothing waits for you.")).to_be_visible()
    await house.world.end(task_id)


@pytest.mark.parametrize("how", [{}, PHONE_IN_THE_DARK], ids=["desk", "phone"])
async def test_somebody_is_away_and_a_delegate_decides(
    house: PolicyHouse, sign_in: SignIn, how: dict[str, object]
) -> None:
    task_id = await house.submitted("Announce the new opening hours", flow="staged")
    ana, eve = await sign_in("ana", **how), await sign_in("eve", **how)
    await ana.get_by_role("link", name="Away").click()
    await fits(ana)
    # By keyboard alone.
    await ana.get_by_label("Who decides for you").focus()
    await ana.keyboard.type("Eve")
    await ana.get_by_label("Last day").fill("2026-11-24")
    await ana.keyboard.press("Enter")
    await expect(ana.get_by_role("heading", name="You are away")).to_be_visible()
    await expect(ana.get_by_text("Eve Moss decides for you")).to_be_visible()
    await fits(ana)
    await ana.goto(f"{house.url}/inbox")
    await expect(ana.get_by_text("You are away until")).to_be_visible()
    await fits(ana)
    await eve.goto(f"{house.url}/inbox")
    await expect(eve.get_by_text("For Ana Ruiz, who is away.")).to_be_visible()
    await fits(eve)
    await eve.get_by_role("button", name="Approve").click()
    await expect(eve.get_by_text("Nothing waits for you.")).to_be_visible()
    await eve.goto(f"{house.url}/tasks/{task_id}")
    await expect(eve.locator("#explain")).to_contain_text("Eve Moss for Ana Ruiz: approved")
    await house.later(hours=2)
    await expect(timeline(eve)).to_contain_text("Reminded: Cy Young.")
    await fits(eve)
    await eve.goto(f"{house.url}/away")
    await expect(eve.get_by_text("you decide instead")).to_be_visible()
    await ana.get_by_role("link", name="Change this").click()
    await ana.get_by_role("button", name="I am back").click()
    await expect(ana.get_by_role("button", name="Be away until then")).to_be_visible()


async def test_without_scripts(house: PolicyHouse, sign_in: SignIn) -> None:
    task_id = await house.submitted(flow="two")
    signed_in = await sign_in("ana")
    assert signed_in.context.browser is not None
    context = await signed_in.context.browser.new_context(java_script_enabled=False)
    await context.add_cookies([{**cookie} for cookie in await signed_in.context.cookies()])  # type: ignore[typeddict-item]  # as read
    page = await context.new_page()
    await page.goto(f"{house.url}/tasks/{task_id}")
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_role("button", name="Withdraw my decision").click()
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await page.goto(f"{house.url}/away")
    await page.get_by_label("Who decides for you").select_option("ben")
    await page.get_by_label("Last day").fill("2026-11-24")
    await page.get_by_role("button", name="Be away until then").click()
    await page.get_by_role("button", name="I am back").click()
    await expect(page.get_by_role("button", name="Be away until then")).to_be_visible()
    await context.close()
