"""The pages in a real browser: live, by keyboard, on a phone, in the dark, in ten tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.errors import StoreUnavailable
from core.model import PersonId
from tests.browser.looks import PHONE_IN_THE_DARK, expect, hide, show, status, timeline
from tests.world import BEN

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.looks import SignIn
    from tests.web.web_house import House
    from tests.world import StoppedClock

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def submitted(page: Page, text: str) -> str:
    """Submit by the form; the task's id."""
    await page.get_by_label("What should be done?").fill(text)
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    return page.url.rsplit("/", 1)[1]


async def test_two_people_and_one_task(house: House, sign_in: SignIn) -> None:
    sam, ana = await sign_in("sam"), await sign_in("ana")
    task_id = await submitted(sam, "Announce the new opening hours")
    await expect(status(sam)).to_contain_text("waiting for review")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").fill("Mention the holiday.")
    await ana.get_by_role("button", name="Reject").click()
    # Sam's page follows by itself.
    await expect(status(sam)).to_contain_text("attempt 2")
    await expect(timeline(sam)).to_contain_text("Rejected by Ana Ruiz")
    await expect(timeline(sam)).to_contain_text("Mention the holiday.")
    await expect(timeline(sam)).to_contain_text("superseded by attempt 2")
    await expect(ana.get_by_label("Draft of attempt 2")).to_contain_text("Mention the holiday.")
    await ana.get_by_role("button", name="Approve").click()
    for page in (ana, sam):
        await expect(page.get_by_role("heading", name="Final result")).to_be_visible()
        await expect(timeline(page)).to_contain_text("Approved by Ana Ruiz")
        await expect(status(page)).to_contain_text("completed")
    assert (await house.task(task_id)).outcome == "approved"


async def test_the_personal_link_leaves_no_trace_in_the_address(house: House, sign_in: SignIn) -> None:
    page = await sign_in("ana")
    assert page.url == f"{house.url}/"
    assert await page.evaluate("document.cookie") == ""


async def test_a_wrong_link_says_so(house: House, sign_in: SignIn) -> None:
    page = await sign_in("ana")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.goto(f"{house.url}/inbox#token=nonsense")
    await expect(status(page)).to_contain_text("not valid")
    assert "nonsense" not in page.url


async def test_the_inbox_decides_in_place(house: House, sign_in: SignIn) -> None:
    first, second = await house.submitted("First text"), await house.submitted("Second text")
    ana = await sign_in("ana")
    await ana.get_by_role("link", name="Inbox").click()
    await expect(ana.get_by_role("article")).to_have_count(2)
    card = ana.get_by_role("article").filter(has_text="Second text")
    await card.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("article")).to_have_count(1)
    await expect(ana.get_by_role("article")).to_contain_text("First text")
    await house.world.end(second)
    assert (await house.task(first)).status == "waiting_for_review"


async def test_the_second_half_of_a_double_click_decides_nothing(house: House, sign_in: SignIn) -> None:
    """What was pressed is gone by then, and the next card's button is in its place."""
    first, second = await house.submitted("First text"), await house.submitted("Second text")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/inbox")
    place = await ana.get_by_role("button", name="Approve").first.bounding_box()
    assert place is not None
    x, y = place["x"] + 20, place["y"] + 20
    await ana.mouse.click(x, y)
    await expect(ana.get_by_role("article")).to_have_count(1)
    left = await ana.evaluate("([x, y]) => document.elementFromPoint(x, y)?.textContent", [x, y])
    assert left == "Approve", "else this tests nothing"
    await ana.mouse.down(click_count=2)
    await ana.mouse.up(click_count=2)
    await expect(ana.locator("#notice")).to_contain_text("pressed twice")
    tasks = [await house.task(task) for task in (first, second)]
    assert sorted(task.status for task in tasks) == ["completed", "waiting_for_review"]
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("article")).to_have_count(0)


async def test_the_inbox_shows_the_next_attempt_soon_after_a_decision(house: House, sign_in: SignIn) -> None:
    await house.submitted("Once more, please")
    ana = await sign_in("ana")
    await ana.clock.install()
    await ana.goto(f"{house.url}/inbox")
    await expect(ana.get_by_role("article")).to_contain_text("Attempt 1")
    await ana.clock.pause_at(await ana.evaluate("Date.now() + 1000"))
    async with ana.expect_response(lambda answer: "/feedback/" in answer.url):
        await ana.get_by_role("button", name="Reject").click()
    await house.open_review((await house.tasks())[0].id, 2)
    await ana.clock.run_for(1000)
    await expect(ana.get_by_role("article")).to_contain_text("Attempt 2")


async def test_a_refused_press_takes_the_stale_card_away(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("Somebody was quicker")
    ana = await sign_in("ana")
    await ana.clock.install()
    # The page does not ask for news by itself then: an answer on its way would take the card away, too.
    await ana.clock.pause_at(await ana.evaluate("Date.now() + 1000"))
    await ana.goto(f"{house.url}/inbox")
    await expect(ana.get_by_role("article")).to_have_count(1)
    await ana.wait_for_load_state("networkidle")  # it asks once as it is shown
    await ana.clock.run_for(100)  # htmx begins by a timer
    await house.world.approve(await house.open_review(task_id), person=BEN)
    await house.world.end(task_id)
    await ana.get_by_role("button", name="Approve").click()
    await ana.clock.run_for(100)
    await expect(ana.get_by_role("alert")).not_to_be_empty()
    await expect(ana.get_by_role("article")).to_have_count(0)


async def test_the_inbox_asks_every_five_seconds_while_it_is_seen(house: House, sign_in: SignIn) -> None:
    ana = await sign_in("ana")
    await ana.clock.install()
    await ana.goto(f"{house.url}/inbox")
    await expect(ana.get_by_text("Nothing waits for you.")).to_be_visible()
    await ana.wait_for_load_state("networkidle")
    asked: list[str] = []
    ana.on("request", lambda request: asked.append(request.url))
    await hide(ana)
    await ana.clock.fast_forward(60_000)
    assert asked == []
    async with ana.expect_response(f"{house.url}/inbox"):
        await show(ana)
    await house.submitted("New")
    await ana.clock.fast_forward(5_000)
    await expect(ana.get_by_role("article")).to_have_count(1)


async def test_an_inbox_that_has_not_changed_is_not_sent_again(house: House, sign_in: SignIn) -> None:
    """Nothing in it moves then; and whatever somebody else does comes as before."""
    first, second = await house.submitted("First text"), await house.submitted("Second text")
    ana = await sign_in("ana")
    await ana.clock.install()
    await ana.clock.pause_at(await ana.evaluate("Date.now() + 1000"))
    await ana.goto(f"{house.url}/inbox")
    await ana.wait_for_load_state("networkidle")
    await ana.clock.run_for(100)  # htmx begins by a timer
    card = ana.get_by_role("article").filter(has_text="First text")
    await card.get_by_text("Remind me later…").click()
    await card.get_by_role("textbox", name="Reason").fill("Half a rea")
    await ana.evaluate(
        """() => {
          window.changes = 0;
          const watching = new MutationObserver((seen) => (window.changes += seen.length));
          const all = { subtree: true, childList: true, attributes: true, characterData: true };
          watching.observe(document.querySelector("main"), all);
        }"""
    )

    async def refreshed() -> int:
        # Not while the page asks by itself, as it does once shown: it would ask once more for this.
        await ana.evaluate("async () => { while (asking) await fetch('/healthz'); }")
        async with ana.expect_response(f"{house.url}/inbox") as told:
            await ana.evaluate("refresh()")
        return (await told.value).status

    assert [await refreshed(), await refreshed()] == [304, 304]
    assert await ana.evaluate("window.changes") == 0
    await expect(card.get_by_role("textbox", name="Reason")).to_be_focused()
    await house.world.approve(await house.open_review(second), person=BEN)
    await house.world.end(second)
    assert [await refreshed(), await refreshed()] == [200, 304]
    await expect(ana.get_by_role("article")).to_have_count(1)
    assert await ana.title() == "Inbox (1) · Countersign"
    await expect(card.get_by_role("textbox", name="Reason")).to_be_focused()
    await expect(card.get_by_role("textbox", name="Reason")).to_have_value("Half a rea")
    await expect(card.get_by_role("button", name="Tomorrow, 9:00")).to_be_visible()
    await card.get_by_role("button", name="I'm looking").click()
    await expect(card.get_by_role("button", name="Stop looking")).to_be_visible()
    await ana.clock.run_for(1_000)  # it asks once more after a press
    assert await refreshed() == 304
    await house.world.approve(await house.open_review(first), person=BEN)
    await house.world.end(first)
    assert [await refreshed(), await refreshed()] == [200, 304]
    await expect(ana.get_by_text("Nothing waits for you.")).to_be_visible()
    kept = ana.get_by_role("region", name="What you had written")
    await expect(kept.get_by_role("textbox")).to_have_value("Half a rea")


async def test_the_inbox_does_not_move_as_somebody_is_about_to_press(house: House, sign_in: SignIn) -> None:
    await house.submitted("First text")
    ana = await sign_in("ana")
    await ana.clock.install()
    await ana.clock.pause_at(await ana.evaluate("Date.now() + 1000"))
    await ana.goto(f"{house.url}/inbox")
    await ana.wait_for_load_state("networkidle")
    await ana.clock.run_for(4_000)
    asked: list[str] = []
    ana.on("request", lambda request: asked.append(request.url))
    await ana.get_by_role("button", name="Approve").hover()
    await ana.clock.run_for(1_200)
    assert asked == []
    async with ana.expect_response(f"{house.url}/inbox"):
        await ana.clock.run_for(5_000)


async def test_who_is_signed_out_meanwhile_can_sign_in_again(
    house: House, sign_in: SignIn, clock: StoppedClock
) -> None:
    """Whether the page asks by itself, its stream ends, or a button is pressed."""
    task_id = await house.submitted("For whom?")
    asking, following, pressing = [await sign_in("ana") for _ in range(3)]
    await asking.goto(f"{house.url}/inbox")
    await following.goto(f"{house.url}/tasks/{task_id}")
    await pressing.goto(f"{house.url}/inbox")
    for page in (asking, following, pressing):
        await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await hide(pressing)
    await house.world.store.revoke_credentials(PersonId("ana"))
    clock.advance(seconds=2)
    await pressing.get_by_role("button", name="Approve").click()
    await expect(pressing.get_by_label("Or paste your token")).to_be_visible()
    assert (await house.task(task_id)).status == "waiting_for_review"
    await house.world.approve(await house.open_review(task_id), person=BEN)
    for page in (asking, following):
        await expect(page.get_by_label("Or paste your token")).to_be_visible(timeout=20_000)
        await expect(page.get_by_role("alert")).to_have_count(0)
    await asking.get_by_label("Or paste your token").fill(await house.token("ana"))
    await asking.get_by_role("button", name="Sign in").click()
    await expect(asking.get_by_role("heading", name="Inbox")).to_be_visible()


async def test_a_page_outlives_a_server_in_trouble(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("Still here")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    house.service.fault = StoreUnavailable("The disk is full.")
    async with ana.expect_response(lambda answer: answer.status == 503):
        await ana.evaluate("refresh()")
    await ana.evaluate("new Promise(done => (function look() { asking ? setTimeout(look, 5) : done() })())")
    await expect(ana.get_by_role("button", name="Approve")).to_be_visible()
    house.service.fault = None
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()


async def test_a_page_whose_stream_was_refused_follows_again_by_itself(house: House, sign_in: SignIn) -> None:
    """As a proxy refuses it while the server behind is replaced: a browser does not ask again after that."""
    task_id = await house.submitted("Still here")
    ana = await sign_in("ana")
    await ana.clock.install()
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await expect(ana.get_by_role("button", name="Approve")).to_be_visible()
    await hide(ana)
    house.service.fault = StoreUnavailable("The disk is full.")
    async with ana.expect_response(lambda answer: answer.status == 503 and "/events" in answer.url):
        await show(ana)
    await ana.wait_for_function("() => source === null")
    house.service.fault = None
    async with ana.expect_response(lambda answer: answer.status == 200 and "/events" in answer.url):
        await ana.clock.fast_forward(60_000)
    await house.world.approve(await house.open_review(task_id), person=BEN)
    await house.world.end(task_id)
    await ana.clock.run_for(100)
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()


async def test_a_change_that_could_not_be_shown_is_shown_later(house: House, sign_in: SignIn) -> None:
    """The stream told of it, and the page was refused: no further event may follow."""
    task_id = await house.submitted("Still here")
    ana = await sign_in("ana")
    await ana.clock.install()
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await expect(ana.get_by_role("button", name="Approve")).to_be_visible()
    house.service.fault = StoreUnavailable("The disk is full.")
    await house.world.approve(await house.open_review(task_id), person=BEN)
    await house.world.end(task_id)
    async with ana.expect_response(lambda answer: answer.status == 503 and "/events" not in answer.url):
        await ana.clock.run_for(1_000)
    await ana.wait_for_function("() => !asking")
    house.service.fault = None
    await ana.clock.fast_forward(60_000)
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()


@pytest.mark.parametrize("keys", ["Control+Enter", "Meta+Enter"])
async def test_a_shortcut_submits_the_form(sign_in: SignIn, keys: str) -> None:
    sam = await sign_in("sam")
    await sam.get_by_label("What should be done?").fill("By shortcut")
    await sam.keyboard.press(keys)
    await expect(sam.get_by_role("heading", name="By shortcut")).to_be_visible()


async def test_no_shortcut_decides(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("Not by accident")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").press("Control+Enter")
    await ana.get_by_role("textbox", name="Reason").fill("Yes.")
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()
    (review,) = await house.world.service.reviews(task_id)
    assert [decision.comment for decision in review.decisions] == ["Yes."]


async def test_what_was_half_written_survives_a_change(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("Two must agree", flow="two")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await ana.get_by_role("textbox", name="Reason").fill("half a rea")
    await house.world.approve(await house.open_review(task_id), person=BEN, comment="Fine.")
    await ana.evaluate("refresh()")
    await expect(timeline(ana)).to_contain_text("Approved by Ben Okri")
    await expect(ana.get_by_role("textbox", name="Reason")).to_have_value("half a rea")
    await expect(ana.get_by_role("textbox", name="Reason")).to_be_focused()
    await ana.keyboard.type("son")
    await ana.get_by_role("button", name="Approve").click()
    await expect(timeline(ana)).to_contain_text("half a reason")


async def test_a_decision_that_came_too_late_says_so(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("Quick")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await hide(ana)
    await house.world.reject(await house.open_review(task_id), person=BEN)
    await house.open_review(task_id, 2)
    await ana.get_by_role("button", name="Approve").click()
    await expect(ana.get_by_role("alert")).to_contain_text("attempt 2 has replaced it")
    assert (await house.task(task_id)).outcome == "rejected"


async def test_everything_by_keyboard(house: House, sign_in: SignIn) -> None:
    ana = await sign_in("ana")
    task_id = await house.submitted("By keyboard")
    await ana.get_by_label("What should be done?").press("Shift+Tab")
    await ana.keyboard.press("Shift+Tab")
    await expect(ana.get_by_role("link", name="Away")).to_be_focused()
    await ana.keyboard.press("Shift+Tab")
    await expect(ana.get_by_role("link", name="Tasks")).to_be_focused()
    await ana.keyboard.press("Shift+Tab")
    await expect(ana.get_by_role("link", name="Inbox")).to_be_focused()
    await ana.keyboard.press("Enter")
    await expect(ana.get_by_role("heading", name="Inbox")).to_be_visible()
    await ana.get_by_role("textbox", name="Reason").focus()
    await ana.keyboard.type("Not yet.")
    for _ in range(2):
        await ana.keyboard.press("Tab")
    await expect(ana.get_by_role("button", name="Reject")).to_be_focused()
    await ana.keyboard.press("Enter")
    await house.open_review(task_id, 2)
    review = (await house.world.service.reviews(task_id))[0]
    assert review.decisions[0].comment == "Not yet."


async def test_the_skip_link_comes_first(sign_in: SignIn) -> None:
    page = await sign_in("ana")
    await page.goto(f"{page.url}inbox")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()


async def test_on_a_phone_in_the_dark(house: House, sign_in: SignIn) -> None:
    sam = await sign_in("sam", **PHONE_IN_THE_DARK)
    await submitted(sam, "x" * 300 + " and some words")
    await expect(status(sam)).to_contain_text("waiting for review")
    ana = await sign_in("ana", **PHONE_IN_THE_DARK)
    for page, path in [(sam, sam.url), (sam, f"{house.url}/"), (ana, f"{house.url}/inbox")]:
        await page.goto(path)
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path
        paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(18, 24, 23)"
    for name in ("Approve", "Reject"):
        box = await ana.get_by_role("button", name=name).bounding_box()
        assert box
        assert box["height"] >= 44  # a finger's width


async def test_at_four_times_the_size_nothing_is_read_by_scrolling_sideways(
    house: House, sign_in: SignIn
) -> None:
    """320 CSS pixels are a screen of 1280 at 400 % (WCAG 2.2, 1.4.10)."""
    sam = await sign_in("sam", viewport={"width": 320, "height": 640})
    task_id = await submitted(sam, "a word " * 50_000)  # too long to be edited on a page
    ana = await sign_in("ana", viewport={"width": 320, "height": 640})
    for path in ("/", "/inbox", "/tasks", "/away", f"/tasks/{task_id}"):
        await ana.goto(house.url + path)
        await ana.evaluate("for (const more of document.querySelectorAll('details')) more.open = true")
        wide = await ana.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path
    await expect(ana.get_by_text("too long to be edited here")).to_be_visible()


async def test_ten_open_tabs_can_still_approve(house: House, sign_in: SignIn) -> None:
    """A browser opens six connections to a host; ten streams would leave none for the approval."""
    task_ids = [await house.submitted(f"Task {number}") for number in range(10)]
    first = await sign_in("ana")
    tabs = [first, *[await first.context.new_page() for _ in task_ids[1:]]]
    for tab, task_id in zip(tabs, task_ids, strict=True):
        await tab.bring_to_front()
        await tab.goto(f"{house.url}/tasks/{task_id}")
        await expect(tab.get_by_role("button", name="Approve")).to_be_visible()
        await hide(tab)
    for tab in tabs:
        await show(tab)
        await tab.get_by_role("button", name="Approve").click()
        await expect(tab.get_by_role("heading", name="Final result")).to_be_visible()
        await hide(tab)


async def test_a_hidden_tab_catches_up(house: House, sign_in: SignIn) -> None:
    task_id = await house.submitted("While you were away")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/tasks/{task_id}")
    await expect(ana.get_by_role("button", name="Approve")).to_be_visible()
    await hide(ana)
    await house.world.approve(await house.open_review(task_id), person=BEN)
    await house.world.end(task_id)
    await expect(ana.get_by_role("heading", name="Final result")).to_have_count(0)
    await show(ana)
    await expect(ana.get_by_role("heading", name="Final result")).to_be_visible()


async def test_people_s_text_runs_nothing(house: House, sign_in: SignIn) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    task_id = await house.submitted(evil)
    await house.world.reject(await house.open_review(task_id), comment=evil)
    await house.open_review(task_id, 2)
    ana = await sign_in("ana")
    for path in (f"/tasks/{task_id}", "/inbox"):
        await ana.goto(house.url + path)
        await expect(ana.get_by_role("button", name="Approve")).to_be_visible()
        await expect(ana.locator("pre.draft").first).to_contain_text("<script>")
        assert await ana.title() != "owned"


async def test_everything_works_without_scripts(house: House, sign_in: SignIn) -> None:
    signed_in = await sign_in("ana")
    task_id = await house.submitted("Without scripts")
    cookies = await signed_in.context.cookies()
    browser = signed_in.context.browser
    assert browser
    page = await browser.new_page(java_script_enabled=False)
    await page.context.add_cookies(cookies)  # type: ignore[arg-type]  # what it gave
    await page.goto(f"{house.url}/inbox")
    await page.get_by_role("textbox", name="Reason").fill("Plain.")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    await house.open_review(task_id, 2)
    await page.goto(f"{house.url}/tasks/{task_id}")
    await page.get_by_role("button", name="Approve").click()
    await expect(timeline(page)).to_contain_text("Approved by Ana Ruiz")
    await house.world.end(task_id)
    await page.reload()
    await expect(page.get_by_role("heading", name="Final result")).to_be_visible()
    await page.context.close()
