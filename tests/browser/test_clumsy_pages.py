"""Clumsy hands, bad networks, other people's haste: nothing typed is lost, nothing counts unseen."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from core.model import PersonId
from tests.browser.looks import expect
from tests.web.policy_house import policy_house
from tests.world import ANA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page, Request, Route

    from core.store.database import Database
    from tests.browser.conftest import SignIn
    from tests.web.policy_house import PolicyHouse
    from tests.world import StoppedClock

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SIDE = """(box) => {
  const letter = document.createRange();
  letter.setStart(box.firstChild, 0);
  letter.setEnd(box.firstChild, 1);
  const { left, width } = box.getBoundingClientRect();
  return letter.getBoundingClientRect().left > left + width / 2 ? "right" : "left";
}"""
"""Of a text, on which its first letter stands."""
WHAT_YOU_WROTE = "What you had written"


@pytest_asyncio.fixture(loop_scope="session")
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[PolicyHouse]:
    async with AsyncExitStack() as stack, policy_house(sqlite_database, clock, stack) as made:
        yield made


async def without_scripts(page: Page) -> Page:
    """A window of the same person's in a browser that runs none; its context is to be closed."""
    assert page.context.browser is not None
    context = await page.context.browser.new_context(java_script_enabled=False)
    await context.add_cookies([{**cookie} for cookie in await page.context.cookies()])  # type: ignore[typeddict-item]  # as read
    return await context.new_page()


def sent_from(page: Page) -> list[str]:
    """Addresses to which it sends something from now on."""
    found: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            found.append(request.url)

    page.on("request", note)
    return found


class Gate:
    """Requests that wait until a test lets them go on."""

    def __init__(self) -> None:
        self._came, self._open = asyncio.Event(), asyncio.Event()

    @classmethod
    async def on(cls, where: Page | BrowserContext, pattern: str) -> Gate:
        made = cls()
        await where.route(pattern, made._hold)
        return made

    async def _hold(self, route: Route) -> None:
        self._came.set()
        await self._open.wait()
        await route.continue_()

    async def reached(self) -> None:
        await self._came.wait()

    def open(self) -> None:
        self._open.set()


# Keys


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_enter_among_quick_reasons_decides_nothing(
    house: PolicyHouse, sign_in: SignIn, has_scripts: bool
) -> None:
    """A browser presses a form's first button for it, which is Approve: the reason was one to reject."""
    task_id = await house.submitted(flow="why")
    signed_in = await sign_in("ana")
    ana = signed_in if has_scripts else await without_scripts(signed_in)
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.locator("form.decide").get_by_label("Reason").fill("Too long")
    await ana.keyboard.press("Enter")
    await ana.get_by_role("button", name="Reject").click()
    await house.open_review(task_id, 2)
    (decision,) = (await house.world.service.reviews(task_id))[0].decisions
    assert (decision.verdict, decision.comment) == ("reject", "Too long")
    if not has_scripts:
        await ana.context.close()


async def test_a_key_held_down_presses_once(house: PolicyHouse, sign_in: SignIn) -> None:
    task_id = await house.submitted(flow="two")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    asked = sent_from(ana)
    await ana.get_by_role("button", name="I'm looking").focus()
    await ana.keyboard.down("Enter")
    await expect(ana.get_by_role("button", name="Stop looking")).to_be_visible()
    for _ in range(5):
        await ana.keyboard.down("Enter")
    await ana.keyboard.up("Enter")
    await expect(ana.get_by_role("button", name="Still looking")).to_be_focused()
    assert len(asked) == 1


async def test_keys_stay_where_they_were_after_a_press(house: PolicyHouse, sign_in: SignIn) -> None:
    """And where the form is gone, at the heading of what stands there now: never at the top of the page."""
    first, second, third = [await house.submitted(text, flow="two") for text in ("One", "Two", "Three")]
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{first}")
    await ana.get_by_role("button", name="Approve").press("Enter")
    await expect(ana.get_by_text("You have approved this.")).to_be_visible()
    await expect(ana.get_by_role("heading", name="Waiting for review")).to_be_focused()
    await ana.goto(f"{house.url}/inbox")
    cards = ana.get_by_role("article")
    await expect(cards).to_have_count(2)
    left = await cards.nth(1).get_by_role("heading").inner_text()
    await cards.first.get_by_role("button", name="Approve").press("Enter")
    await expect(cards).to_have_count(1)
    await expect(cards.get_by_role("heading", name=left)).to_be_focused()
    await cards.get_by_role("button", name="Approve").press("Enter")
    await expect(ana.get_by_text("Nothing waits for you.")).to_be_visible()
    await expect(ana.get_by_role("heading", name="Inbox")).to_be_focused()
    assert {second, third} == {task.id for task in await house.tasks()} - {first}


# What was typed


@pytest.mark.parametrize("path", ["/inbox", "/tasks/{}"])
async def test_a_reason_half_written_is_kept_when_somebody_else_decides(
    house: PolicyHouse, sign_in: SignIn, path: str
) -> None:
    task_id = await house.submitted("Somebody is quicker")
    ana = await sign_in("ana")
    await ana.goto(house.url + path.format(task_id))
    await ana.get_by_role("textbox", name="Reason").fill("Three <b>reasons</b>: first,")
    await house.world.approve(await house.open_review(task_id), ANA)
    await house.world.end(task_id)
    await ana.evaluate("refresh()")
    await expect(ana.get_by_role("button", name="Approve")).to_have_count(0)
    kept = ana.get_by_role("region", name=WHAT_YOU_WROTE)
    await expect(kept.get_by_role("textbox")).to_have_value("Three <b>reasons</b>: first,")
    await ana.evaluate("refresh()")
    await expect(kept).to_be_visible()
    await kept.get_by_role("button", name="Remove").click()
    await expect(kept).to_be_hidden()


async def test_what_was_sent_is_not_kept_and_what_was_not_is(house: PolicyHouse, sign_in: SignIn) -> None:
    task_id = await house.submitted("Announce the new opening hours")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").first.fill("Sent with the decision")
    await ana.get_by_text("Edit…").click()
    await ana.get_by_label("What should stand instead").fill("A better text")
    await ana.locator("form.decide").get_by_role("button", name="Reject").click()
    await expect(ana.get_by_label("Draft of attempt 2")).to_be_visible()
    kept = ana.get_by_role("region", name=WHAT_YOU_WROTE)
    await expect(kept.get_by_role("textbox")).to_have_count(1)
    await expect(kept.get_by_role("textbox")).to_have_value("A better text")


async def test_a_refused_reason_is_kept(house: PolicyHouse, sign_in: SignIn) -> None:
    """What was pressed is out of date, and goes; the words stay."""
    task_id = await house.submitted("Somebody is quicker")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.evaluate("stopFollowing(); follow = () => {}")
    await house.world.approve(await house.open_review(task_id), ANA)
    await house.world.end(task_id)
    await ana.get_by_role("textbox", name="Reason").fill("Too late")
    await ana.get_by_role("button", name="Reject").click()
    await expect(ana.locator("#notice")).to_contain_text("Already")
    await expect(ana.get_by_role("region", name=WHAT_YOU_WROTE).get_by_role("textbox")).to_have_value(
        "Too late"
    )


async def test_who_is_signed_out_while_typing_goes_on_after_signing_in_elsewhere(
    house: PolicyHouse, sign_in: SignIn, clock: StoppedClock
) -> None:
    task_id = await house.submitted("For whom?")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").fill("A long reason")
    await house.world.store.revoke_credentials(PersonId("ana"))
    clock.advance(seconds=2)
    await ana.get_by_role("button", name="Approve").click()
    notice = ana.locator("#notice")
    await expect(notice).to_contain_text("signed out")
    async with ana.context.expect_page() as opened:
        await notice.get_by_role("link", name="Sign in").click()
    other = await opened.value
    await other.get_by_label("Or paste your token").fill(await house.token("ana"))
    await other.get_by_role("button", name="Sign in").click()
    await expect(other.get_by_label("What should be done?")).to_be_visible()
    await ana.bring_to_front()
    await expect(ana.get_by_role("textbox", name="Reason")).to_have_value("A long reason")
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()
    await expect(notice).to_be_empty()
    (review,) = await house.world.service.reviews(task_id)
    assert [decision.comment for decision in review.decisions] == ["A long reason"]


async def test_without_scripts_a_refused_form_gives_back_what_was_typed(
    house: PolicyHouse, sign_in: SignIn, clock: StoppedClock
) -> None:
    task_id = await house.submitted("Somebody is quicker")
    ana = await without_scripts(await sign_in("ana"))
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").first.fill("Too <late>\nby far")
    await house.world.approve(await house.open_review(task_id), ANA)
    await house.world.end(task_id)
    await ana.get_by_role("button", name="Reject").click()
    await expect(ana.get_by_role("textbox", name=WHAT_YOU_WROTE)).to_have_value("Too <late>\nby far")
    await ana.get_by_role("link", name="Back to the task").click()
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()
    await ana.goto(house.url)
    await ana.get_by_label("What should be done?").fill("A long task")
    await house.world.store.revoke_credentials(PersonId("ana"))
    clock.advance(seconds=2)
    await ana.get_by_role("button", name="Submit").click()
    await expect(ana.get_by_role("textbox", name=WHAT_YOU_WROTE)).to_have_value("A long task")
    await ana.context.close()


# Twice


async def test_a_form_is_sent_once(sign_in: SignIn) -> None:
    """By a second click, or the shortcut held down, while the answer is on its way."""
    ana = await sign_in("ana")
    await ana.get_by_label("What should be done?").fill("Once")
    passed_over = await ana.evaluate(
        """() => {
          const found = [];
          addEventListener("submit", (event) => {
            found.push(event.defaultPrevented);
            event.preventDefault();
          });
          const form = document.querySelector("form.submit");
          for (const _ of "123") form.requestSubmit();
          dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
          form.requestSubmit();
          return found;
        }"""
    )
    assert passed_over == [False, True, True, False]


async def test_while_an_answer_is_awaited_nothing_else_is_sent_and_no_older_page_comes(
    house: PolicyHouse, sign_in: SignIn
) -> None:
    task_id = await house.submitted("Once", flow="two")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    sent = sent_from(ana)
    old = await Gate.on(ana, f"**/tasks/{task_id}")
    await ana.evaluate("void refresh()")
    await old.reached()
    answer = await Gate.on(ana, "**/feedback/*")
    await ana.get_by_role("button", name="Approve").click()
    await answer.reached()
    await ana.get_by_role("button", name="Reject").click()
    await ana.unroute(f"**/tasks/{task_id}")
    answer.open()
    await expect(ana.get_by_text("You have approved this.")).to_be_visible()
    async with ana.expect_response(f"{house.url}/tasks/{task_id}"):
        old.open()
    await ana.wait_for_function("() => !asking")
    await expect(ana.get_by_text("You have approved this.")).to_be_visible()
    assert len(sent) == 1


# Networks


async def test_a_press_that_the_network_swallowed_is_told(
    house: PolicyHouse, sign_in: SignIn, complaints: list[str]
) -> None:
    task_id = await house.submitted("Offline")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").fill("In a tunnel")
    await ana.route("**/feedback/*", lambda route: route.abort("internetdisconnected"))
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("alert")).to_contain_text("The server did not answer")
    await expect(ana.get_by_role("textbox", name="Reason")).to_have_value("In a tunnel")
    await ana.unroute("**/feedback/*")
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()
    await expect(ana.locator("#notice")).to_be_empty()
    complaints.clear()  # the browser's own words on the network


@pytest.mark.parametrize("how", ["refused", "swallowed"])
async def test_a_page_whose_stream_never_comes_asks_by_itself(
    house: PolicyHouse, sign_in: SignIn, complaints: list[str], how: str
) -> None:
    """A proxy refuses it, or keeps it to itself."""
    task_id = await house.submitted("Behind a proxy")
    ana = await sign_in("ana")
    await ana.clock.install()
    if how == "refused":
        await ana.route("**/events*", lambda route: route.fulfill(status=403))
    else:
        await Gate.on(ana, "**/events*")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await expect(ana.get_by_role("button", name="Approve")).to_be_visible()
    await house.world.approve(await house.open_review(task_id), ANA)
    await house.world.end(task_id)
    await ana.clock.fast_forward(30_000)
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()
    await ana.close()  # it complains of each stream that is refused, and may be about to
    complaints.clear()


async def test_a_page_of_a_database_that_was_put_back_shows_what_is_there(
    house: PolicyHouse, sign_in: SignIn
) -> None:
    """It has seen a number that its task has not reached any more."""
    task_id = await house.submitted("Put back")
    await house.open_review(task_id)
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.evaluate("() => { stopFollowing(); live().dataset.seq = 99; follow(); }")
    await ana.wait_for_function("() => shownUpTo() < 99")
    await house.world.approve(await house.open_review(task_id), ANA)
    await house.world.end(task_id)
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()


async def test_a_notice_is_seen_far_down_the_inbox(house: PolicyHouse, sign_in: SignIn) -> None:
    tasks = [await house.submitted(f"Task {number}") for number in range(12)]
    ana = await sign_in("ana", viewport={"width": 390, "height": 600})
    await ana.goto(f"{house.url}/inbox")
    last = ana.get_by_role("article").last
    await last.scroll_into_view_if_needed()
    await ana.evaluate("clearInterval(polling)")
    for task_id in tasks:
        await house.world.approve(await house.open_review(task_id), ANA)
    await last.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("alert")).to_be_in_viewport(ratio=0.9)


async def test_a_text_that_fits_no_field_or_is_a_file_is_not_lost_unseen(
    house: PolicyHouse, sign_in: SignIn
) -> None:
    task_id = await house.submitted("Long")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    brought = """(field, [kind, text]) => {
      const data = new DataTransfer();
      if (text) data.setData("text/plain", text);
      else data.items.add(new File(["x"], "reason.txt", { type: "text/plain" }));
      const how = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
      const event = kind === "paste" ? new ClipboardEvent(kind, how) : new DragEvent(kind, how);
      return !field.dispatchEvent(event);
    }"""
    field = ana.locator("form.decide").get_by_label("Reason")
    await field.evaluate(brought, ["paste", "x" * 3000])
    await expect(ana.locator("#notice")).to_be_empty()
    await field.evaluate(brought, ["paste", "x" * 3001])
    await expect(ana.locator("#notice")).to_contain_text("Only 3000 characters fit here")
    assert await field.evaluate(brought, ["drop", ""]), "else the browser shows the file in the page's place"
    await expect(ana.locator("#notice")).to_contain_text("Paste their text")


async def test_right_to_left_text_reads_from_the_right_and_paper_shows_all_of_it(
    house: PolicyHouse, sign_in: SignIn
) -> None:
    left, right = await house.submitted("abc\n" * 200), await house.submitted("\u05e9\u05dc\u05d5\u05dd! 123")
    ana = await sign_in("ana")
    draft = ana.get_by_role("group", name="Draft of attempt 1")
    for task_id, title, side in [(right, "\u05e9\u05dc\u05d5\u05dd", "right"), (left, "abc", "left")]:
        await ana.goto(f"{house.url}/tasks/{task_id}")
        assert (await ana.title()).startswith(f"Waiting for review: {title}")
        for text in (draft, ana.get_by_role("heading", level=1)):
            assert await text.evaluate(SIDE) == side
    await ana.emulate_media(media="print")
    assert await draft.evaluate("box => box.scrollHeight <= box.clientHeight")
    await expect(ana.get_by_role("button", name="Approve")).to_be_hidden()
