"""A task's page in a real browser: edits, checkpoints, and a node at work seen live."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from core.nodes import ReviewNode, progress, stream_text
from tests.browser.looks import PHONE_IN_THE_DARK, expect, hide, show, status, timeline
from tests.core.graphs import Does, Shared, in_a_row
from tests.web.web_house import House
from tests.world import ANA, draft_flows, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.browser.looks import SignIn
    from tests.world import StoppedClock

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


class Speaking:
    """What a node's work says while it waits for the test's word to go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Semaphore(0)

    async def work(self, shared: Shared) -> None:
        await self.go_on.acquire()
        progress(0.25, "Fetching <b>pages</b>")
        stream_text("Once upon ")
        await self.go_on.acquire()
        progress(0.75)
        stream_text("a time.\u202e<img src=x>")
        await self.go_on.acquire()
        shared["final_result"] = "Done."


@pytest.fixture
def speaking() -> Speaking:
    return Speaking()


@pytest_asyncio.fixture(loop_scope="session")
async def house(sqlite_database: Database, clock: StoppedClock, speaking: Speaking) -> AsyncIterator[House]:
    """With a flow that speaks, one that asks about JSON, and Ana as administrator."""

    async def price(shared: Shared) -> None:
        shared["processed_output"] = {"amount": 120}

    flows = {
        **draft_flows(),
        "refund": in_a_row(Does("price", price), ReviewNode("legal")),
        "speaking": in_a_row(ReviewNode("before"), Does("speaks", speaking.work)),
    }
    async with (
        whole_core(sqlite_database, clock, flows=flows, admins={ANA.id}) as world,
        AsyncExitStack() as stack,
    ):
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


@pytest.mark.parametrize("where", ["task", "inbox"])
async def test_a_draft_is_edited(house: House, sign_in: SignIn, where: str) -> None:
    task_id = await house.submitted("Say it better")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/inbox" if where == "inbox" else f"{house.url}/tasks/{task_id}")
    await ana.get_by_text("Edit…").click()
    await ana.get_by_label("What should stand instead").fill("My own words.\nIn two lines.")
    await ana.get_by_role("button", name="Approve with my changes").click()
    if where == "inbox":
        await expect(ana.get_by_text("Nothing waits for you.")).to_be_visible()
        await ana.goto(f"{house.url}/tasks/{task_id}")
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()
    await expect(timeline(ana)).to_contain_text("Edited by Ana Ruiz")
    await expect(timeline(ana)).to_contain_text("+My own words.")
    assert (await house.task(task_id)).final_result == "My own words.\nIn two lines."


async def test_what_is_half_edited_survives_a_change(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("x", flow="refund")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/inbox")
    await ana.get_by_text("Edit…").click()
    field = ana.get_by_label("What should stand instead")
    await field.fill('{"amount": 9')
    await ana.locator("details.more").get_by_label("Reason").focus()
    await ana.evaluate("refresh()")
    await expect(field).to_be_visible()
    await expect(field).to_have_value('{"amount": 9')
    await ana.get_by_role("button", name="Approve with my changes").click()
    await expect(ana.get_by_role("alert").filter(has_text="JSON")).to_be_visible()
    await expect(field).to_have_value('{"amount": 9')
    await field.fill('{"amount": 90}')
    await ana.get_by_role("button", name="Approve with my changes").click()
    await expect(ana.get_by_role("heading", name="Inbox")).to_be_visible()
    assert (await house.world.service.reviews(task_id))[0].decisions[0].content == {"amount": 90}


@pytest.mark.parametrize("how", [{}, PHONE_IN_THE_DARK], ids=["desk", "phone"])
async def test_a_node_at_work_is_seen_live(
    house: House, sign_in: SignIn, speaking: Speaking, how: dict[str, object]
) -> None:
    task_id = await house.submitted("x", flow="speaking")
    ana = await sign_in("ana", **how)
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_label("At work")).to_contain_text("speaks is at work")
    speaking.go_on.release()
    bar = ana.get_by_role("progressbar", name="Fetching <b>pages</b> 25 %")
    await expect(bar).to_be_visible()
    text = ana.get_by_label("Text so far")
    await expect(text).to_have_text("Once upon ")
    # Whoever comes later sees the same.
    other = await ana.context.new_page()
    await other.goto(ana.url)
    await expect(other.get_by_label("Text so far")).to_have_text("Once upon ")
    await expect(other.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    speaking.go_on.release()
    for page in (ana, other):
        await expect(page.get_by_label("Text so far")).to_have_text("Once upon a time.[U+202E]<img src=x>")
        await expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.75")
    await ana.evaluate("refresh()")
    await expect(text).to_contain_text("Once upon a time.")
    wide = await ana.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    await other.close()
    speaking.go_on.release()
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()
    await expect(ana.get_by_role("progressbar")).to_have_count(0)


async def test_the_task_is_resumed_from_a_checkpoint(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("Once more")
    await house.world.approve(await house.open_review(task_id))
    await house.world.end(task_id)
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    watching = await ana.context.new_page()
    await watching.goto(ana.url)
    await expect(watching.get_by_role("heading", name="Final result")).to_be_visible()
    await hide(watching)
    await ana.locator("#checkpoints > summary").click()
    await ana.locator("#checkpoint-1 > summary").click()
    await expect(ana.locator("#checkpoint-1")).to_contain_text("processed_output")
    await ana.locator("#checkpoint-1").get_by_role("link", name="resume from here").click()
    state = ana.get_by_label("State to go on with")
    changed = (await state.input_value()).replace("Once more", "Something else")
    await state.fill("{nonsense")
    await ana.get_by_role("button", name="Resume in place").click()
    await expect(ana.get_by_role("alert").filter(has_text="JSON")).to_be_visible()
    await expect(state).to_have_value("{nonsense")
    await state.fill(changed)
    await ana.get_by_role("button", name="Resume in place").click()
    await expect(status(ana)).to_contain_text("waiting for review")
    await expect(ana.get_by_label("Draft of attempt 2")).to_contain_text("Something else")
    await expect(timeline(ana)).to_contain_text("Resumed from checkpoint 1")
    # A page on a task that had ended notices when somebody looks at it again.
    await show(watching)
    await expect(status(watching)).to_contain_text("waiting for review")


async def test_a_task_is_forked(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("The first")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}/checkpoints/1")
    await ana.get_by_role("button", name="Fork").click()
    await expect(ana.get_by_role("link", name="another task")).to_be_visible()
    assert task_id not in ana.url
    await expect(ana.get_by_role("img", name="Flow draft")).to_be_visible()


async def test_everything_works_without_scripts(house: House, sign_in: SignIn) -> None:
    signed_in = await sign_in("ana")
    task_id = await house.submitted("x", flow="two")
    cookies = await signed_in.context.cookies()
    browser = signed_in.context.browser
    assert browser
    page = await browser.new_page(java_script_enabled=False)
    await page.context.add_cookies(cookies)  # type: ignore[arg-type]  # what it gave
    await page.goto(f"{house.url}/tasks/{task_id}")
    await page.get_by_text("Edit…").click()
    await page.get_by_label("What should stand instead").fill("Mine.")
    async with page.expect_navigation():
        await page.get_by_role("button", name="Propose my changes").click()
    await house.open_review(task_id, 2)
    await page.reload()
    await expect(page.get_by_label("Draft of attempt 2")).to_have_text("Mine.")
    await page.goto(f"{house.url}/tasks/{task_id}/checkpoints/1")
    await page.get_by_label("Go on at").select_option("result")
    await page.get_by_role("button", name="Fork").click()
    await expect(timeline(page)).to_contain_text("Forked from checkpoint 1")
    await page.context.close()
