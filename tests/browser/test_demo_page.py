"""The demo's page in a real Chromium: two chats, three people, one task from form to result."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import pytest_asyncio

from tests.browser.looks import expect
from tests.visitor import running_demo, visiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from playwright.async_api import Browser, Locator, Page

    from tests.visitor import Demo

    Open: TypeAlias = Callable[..., AbstractAsyncContextManager[Page]]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SOON = 20_000
"""Milliseconds: the chats' cards keep to the platforms' own pace."""
NEXT_PICTURE = """() => new Promise((seen) => {
    const source = new EventSource("/demo/events");
    source.addEventListener("telegram", () => {
        source.close();
        requestAnimationFrame(() => setTimeout(seen, 50));
    });
})"""
"""What the page was told before this, it shows by then."""
ANA = 4201
"""In Telegram."""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """One for each test: together they need more new messages in a minute than a Telegram group takes."""
    with running_demo(tmp_path, "--port", "0") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, demo: Demo) -> Open:
    """`async with visit(viewport=…) as page:` the demo's page; its console must stay empty."""

    @asynccontextmanager
    async def opened(**how: Any) -> AsyncIterator[Page]:
        complaints: list[str] = []
        async with await browser.new_context(base_url=demo.base, **how) as context:
            context.on("console", lambda message: complaints.append(message.text))
            context.on("weberror", lambda error: complaints.append(str(error.error)))
            page = await context.new_page()
            await page.goto(demo.address)
            await expect(page.locator("#live h1")).to_be_visible()
            await expect(chat(page, "telegram").get_by_role("article").first).to_be_visible()
            yield page
        assert complaints == []

    return opened


def chat(page: Page, name: str) -> Locator:
    return page.locator(f"#{name}")


def card(page: Page, where: str, *words: str) -> Locator:
    """The latest message in a chat that says all this."""
    found = chat(page, where).get_by_role("article")
    for word in words:
        found = found.filter(has_text=word)
    return found.last


async def submit(page: Page, text: str) -> None:
    await page.get_by_label("What should be done?").fill(text)
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#live h1")).to_have_text(text)


async def become(page: Page, where: str, name: str) -> None:
    await chat(page, where).get_by_text(name, exact=True).click()
    await expect(chat(page, where).get_by_role("radio", name=name)).to_be_checked()


def button(place: Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name)


async def test_a_text_is_rejected_in_slack_and_approved_in_telegram_by_clicking(visit: Open) -> None:
    async with visit(viewport={"width": 1440, "height": 900}) as page:
        slack, telegram = chat(page, "slack"), chat(page, "telegram")
        await submit(page, "Announce the new opening hours")
        await expect(page.locator("#live").get_by_role("status")).to_contain_text("waiting for review")
        first = card(page, "slack", "opening hours", "attempt 1")
        await expect(button(first, "Approve")).to_be_visible(timeout=SOON)
        await expect(first).to_contain_text("For @Ana Ruiz and @Ben Okafor")

        await button(first, "Reject…").click()
        await expect(slack.get_by_label("Reason")).to_be_focused()
        await slack.get_by_label("Reason").fill("Name the holiday, too")
        await button(slack.get_by_role("dialog"), "Reject").click()
        await expect(slack.get_by_role("dialog")).to_have_count(0)

        said = ("opening hours", "attempt 2", "Name the holiday, too")
        await expect(card(page, "slack", *said)).to_be_visible(timeout=SOON)
        await expect(card(page, "slack", "superseded by attempt 2", "opening hours")).to_be_visible(
            timeout=SOON
        )
        second = card(page, "telegram", *said)
        await expect(second).to_be_visible(timeout=SOON)
        await expect(page.locator("#live")).to_contain_text("superseded by attempt 2")

        await become(page, "telegram", "Ben")
        await button(second, "Approve").click()
        await expect(telegram.get_by_text("Approved.", exact=True)).to_be_visible()
        await expect(page.get_by_role("heading", name="Final result")).to_be_visible()
        await expect(page.locator("#live")).to_contain_text("Approved by Ben Okafor")
        for where in ("slack", "telegram"):
            closed = card(page, where, "opening hours", "attempt 2", "Approved by Ben Okafor")
            await expect(closed).to_be_visible(timeout=SOON)
            await expect(button(closed, "Approve")).to_have_count(0)
        await expect(page.locator("#tasks li").first).to_contain_text("completed")


async def test_a_stranger_sees_the_refusal_and_nobody_else_does(visit: Open) -> None:
    async with visit() as page:
        await become(page, "slack", "Otto")
        await button(card(page, "slack", "Deploy payments"), "Approve").click()
        refusal = chat(page, "slack").get_by_text("not among the reviewers")
        await expect(refusal).to_be_visible()
        await become(page, "slack", "Ana")
        await expect(refusal).to_have_count(0)

        await become(page, "telegram", "Otto")
        await button(card(page, "telegram", "Deploy payments"), "Approve").click()
        alert = page.get_by_role("alertdialog")
        await expect(alert).to_contain_text("not among the reviewers")
        await page.keyboard.press("Escape")
        await expect(alert).to_have_count(0)
        await expect(button(card(page, "telegram", "Deploy payments"), "Approve")).to_be_visible()


async def test_who_is_looking_is_said_in_both_chats_and_reminders_are_chosen_behind_the_dots(
    visit: Open,
) -> None:
    async with visit() as page:
        await submit(page, "Look at this one")
        first = card(page, "slack", "Look at this one", "submitted by")
        more = first.get_by_label("More actions")
        await expect(more).to_be_visible(timeout=SOON)
        await expect(button(first, "I'm looking")).to_be_hidden()
        await more.press("Enter")
        await button(first, "Remind me in 1 hour").click()
        await expect(chat(page, "slack").get_by_text("You are reminded of attempt 1")).to_be_visible()
        await expect(button(first, "Remind me in 1 hour")).to_be_hidden()

        await become(page, "telegram", "Ben")
        await button(card(page, "telegram", "Look at this one", "submitted by"), "I'm looking").click()
        await expect(chat(page, "telegram").get_by_text("The cards say that you are looking")).to_be_visible()
        for where in ("slack", "telegram"):
            seen = card(page, where, "Look at this one", "Ben Okafor is looking, until")
            await expect(seen).to_be_visible(timeout=SOON)


async def test_a_press_counts_though_its_card_changes_before_the_release(visit: Open, demo: Demo) -> None:
    async with visit() as page, visiting(demo) as visitor:
        await become(page, "telegram", "Ben")
        pressed = button(card(page, "telegram", "Deploy payments"), "I'm looking")
        await pressed.hover()
        await page.mouse.down()
        first = await visitor.once(lambda: visitor.telegram_card("Deploy payments", "submitted by"))
        await visitor.press_in_telegram(first, "I'm looking", user=ANA)
        await visitor.once(lambda: visitor.telegram_card("Deploy payments", "Ana Ruiz is looking"))
        await page.evaluate(NEXT_PICTURE)
        await page.mouse.up()
        both = re.compile(r"Ana Ruiz \(.*\) and Ben Okafor \(.*\) are looking")
        changed = card(page, "telegram", "Deploy payments", "submitted by")
        await expect(changed).to_contain_text(both, timeout=SOON)


TWO_BUTTONS = """async () => {
    const scripts = performance.getEntriesByType("resource").map((one) => one.name);
    const { steadily } = await import(scripts.find((name) => name.endsWith("/steady.js")));
    const place = document.createElement("div");
    place.style = "position: fixed; top: 0; left: 0; z-index: 9; touch-action: manipulation";
    window.touched = [];
    window.clicked = [];
    window.drawn = 0;
    const button = (name) => {
        const made = document.createElement("button");
        made.style = "display: block; width: 200px; height: 100px";
        made.textContent = name;
        made.onclick = () => window.clicked.push(name);
        return made;
    };
    const swap = () => {
        const names = window.drawn++ % 2 ? ["second", "first"] : ["first", "second"];
        place.replaceChildren(...names.map(button));
    };
    swap();
    place.addEventListener("pointerdown", (event) => {
        window.touched.push(event.target.textContent);
        steadily(swap);
    });
    document.body.append(place);
}"""
"""They change places as one of them is touched, or rather once that is over."""


@pytest.mark.parametrize("has_touch", [True, False])
async def test_a_tap_counts_where_the_finger_fell(visit: Open, *, has_touch: bool) -> None:
    """On a touch screen the click comes some time after the finger has left, now sooner and now later."""
    async with visit(has_touch=has_touch) as page:
        await page.evaluate(TWO_BUTTONS)
        for number in range(1, 31):
            await (page.touchscreen.tap(100, 50) if has_touch else page.mouse.click(100, 50))
            await page.wait_for_function("(drawn) => window.drawn === drawn", arg=number + 1)
        assert len(await page.evaluate("window.touched")) == 30
        assert await page.evaluate("window.clicked") == await page.evaluate("window.touched")


async def test_what_is_held_back_comes_though_no_click_does(visit: Open) -> None:
    async with visit() as page:
        await page.evaluate(TWO_BUTTONS)
        await page.mouse.move(100, 50)
        await page.mouse.down()
        await page.mouse.move(400, 400)
        assert await page.evaluate("window.drawn") == 1
        await page.mouse.up()
        await page.wait_for_function("window.drawn === 2")
        assert await page.evaluate("window.clicked") == []


async def test_a_typed_reason_in_telegram_by_keyboard_alone(visit: Open) -> None:
    async with visit() as page:
        await page.get_by_label("What should be done?").focus()
        await page.keyboard.type("Rename the team")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        reject = button(card(page, "telegram", "Rename the team"), "Reject…")
        await expect(reject).to_be_visible(timeout=SOON)
        await reject.press("Enter")
        reason = button(card(page, "telegram", "why do you reject", "Rename"), "Give a reason")
        await expect(reason).to_be_visible()
        await reason.press("Enter")
        await expect(page.get_by_label("Message in Telegram")).to_be_focused()
        await page.keyboard.type("To which name?")
        await page.keyboard.press("Enter")
        await expect(card(page, "telegram", "attempt 2", "To which name?")).to_be_visible(timeout=SOON)
        await expect(page.locator("#live")).to_contain_text("Rejected by Ana Ruiz")


async def test_a_half_written_reason_in_slacks_dialog_survives_news_and_escape_closes_it(visit: Open) -> None:
    async with visit() as page:
        slack = chat(page, "slack")
        await button(card(page, "slack", "Deploy payments"), "Reject…").click()
        await slack.get_by_label("Reason").fill("Not on a Fri")
        await submit(page, "Meanwhile something else")
        await expect(card(page, "slack", "Meanwhile")).to_be_attached(timeout=SOON)
        await expect(slack.get_by_label("Reason")).to_have_value("Not on a Fri")
        await slack.get_by_label("Reason").press("Escape")
        await expect(slack.get_by_role("dialog")).to_have_count(0)


async def test_where_its_page_decides_the_buttons_in_slack_open_that_page(visit: Open) -> None:
    async with visit() as page:
        await page.request.post("/submit", form={"data": "Raise all prices", "policy": "page"})
        shown = card(page, "slack", "Raise all prices", "decided on its page")
        async with page.context.expect_page() as opening:
            await shown.get_by_role("link", name="Approve").click()
        opened = await opening.value
        await expect(opened.get_by_role("heading", name="Your decision, please")).to_be_visible()
        await expect(chat(page, "slack").get_by_text("Only visible to you").last).to_be_visible(timeout=SOON)


async def test_markup_in_a_text_is_shown_as_text_everywhere(visit: Open) -> None:
    text = "<b>bold</b> <img src=x onerror=alert(1)> *stars* <!channel> &amp;"
    async with visit() as page:
        await submit(page, text)
        for where in ("slack", "telegram"):
            shown = card(page, where, "onerror")
            await expect(shown).to_contain_text(text, timeout=SOON)
            await expect(shown.locator("img, b")).to_have_count(0)


async def test_a_long_text_is_a_file_in_both_chats(visit: Open) -> None:
    text = "Long " + "and <b>longer</b> " * 200
    async with visit(viewport={"width": 1440, "height": 900}) as page:
        await page.get_by_label("What should be done?").fill(text)
        await page.get_by_role("button", name="Submit").click()
        for where in ("slack", "telegram"):
            file = card(page, where, "characters of attempt 1").get_by_role("link", name="attempt-1.txt")
            await expect(file).to_be_visible(timeout=SOON)
            async with page.expect_download() as downloading:
                await file.click()
            download = await downloading.value
            assert download.suggested_filename == "attempt-1.txt"
            assert (await download.path()).read_text() == text.rstrip()


async def test_the_chosen_task_stays_until_something_is_submitted(visit: Open) -> None:
    async with visit() as page:
        title = page.locator("#live h1")
        await submit(page, "The older one")
        await submit(page, "The newer one")
        await button(page.locator("#tasks"), "The older one").click()
        await expect(title).to_have_text("The older one")
        await page.request.post("/submit", form={"data": "From a script"})
        await expect(page.locator("#tasks")).to_contain_text("From a script")
        await expect(button(page.locator("#tasks"), "The older one")).to_have_attribute(
            "aria-current", "true"
        )
        await expect(title).to_have_text("The older one")
        await submit(page, "From the form")


async def test_a_hidden_tab_closes_its_stream_and_opens_it_again(visit: Open) -> None:
    async with visit() as page:
        await page.evaluate(
            "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})"
        )
        async with page.expect_event("requestfailed", lambda request: request.url.endswith("/demo/events")):
            await page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
        await page.request.post("/submit", form={"data": "While nobody looked"})
        async with page.expect_request("**/demo/events"):
            await page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        await expect(card(page, "slack", "While nobody looked")).to_be_attached(timeout=SOON)


async def test_on_a_phone_in_the_dark_nothing_is_wider_than_the_screen(visit: Open) -> None:
    async with visit(viewport={"width": 360, "height": 740}, color_scheme="dark") as page:
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.get_by_role("link", name="Telegram").click()
        await expect(button(chat(page, "telegram"), "Send")).to_be_in_viewport()
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", ground)[:3]) < 64


async def say(page: Page, where: str, text: str) -> None:
    await chat(page, where).get_by_role("textbox", name="Message in").fill(text)
    await button(chat(page, where), "Send").click()


async def test_what_is_private_in_telegram_is_asked_in_the_demos_own_private_chat_with_the_bot(
    visit: Open,
) -> None:
    async with visit() as page:
        telegram = chat(page, "telegram")
        await say(page, "telegram", "/whoami")
        hint = card(page, "telegram", "Open a private chat with me")
        await hint.get_by_role("link", name="t.me").click()
        await expect(button(telegram, "Send")).to_be_hidden()
        await button(telegram, "Start").click()
        await expect(card(page, "telegram", "telegram = 4201")).to_be_visible(timeout=SOON)
        await say(page, "telegram", "/pending")
        waiting = card(page, "telegram", "Deploy payments 4.12.0")
        await expect(waiting).to_be_visible(timeout=SOON)
        await say(page, "telegram", "/submit Order a new coffee machine")
        await expect(page.locator("#live h1")).to_have_text("Order a new coffee machine")

        await waiting.get_by_role("link", name="t.me").first.click()
        await expect(button(telegram, "Approvals")).to_have_attribute("aria-current", "true")
        coffee = card(page, "telegram", "Order a new coffee machine", "submitted by Ana Ruiz")
        await become(page, "telegram", "Ben")
        await button(coffee, "Approve").click()
        await expect(page.locator("#live")).to_contain_text("Approved by Ben Okafor")
        await become(page, "telegram", "Ana")
        await button(telegram, "Countersign").click()
        await expect(card(page, "telegram", "coffee machine", "approved")).to_be_visible(timeout=SOON)

        assert len(page.context.pages) == 1


async def test_the_link_to_a_card_in_slack_leads_to_it_inside_the_demo(visit: Open) -> None:
    async with visit() as page:
        await say(page, "slack", "/countersign pending")
        listed = card(page, "slack", "reviews wait for you")
        await listed.get_by_role("link", name="The card").last.click()
        await expect(card(page, "slack", "Review: Deploy payments")).to_be_focused()
        assert len(page.context.pages) == 1


async def test_each_person_has_a_private_chat_of_their_own_and_is_told_of_what_is_new_there(
    visit: Open,
) -> None:
    async with visit() as page:
        telegram = chat(page, "telegram")
        await button(telegram, "Countersign").click()
        await button(telegram, "Start").click()
        await expect(card(page, "telegram", "telegram = 4201")).to_be_visible(timeout=SOON)
        await button(telegram, "Approvals").click()
        await say(page, "telegram", "/pending")
        await expect(card(page, "telegram", "The answer is in our private chat")).to_be_visible(timeout=SOON)
        await expect(button(telegram, "Countersign, new messages")).to_be_visible()
        await button(telegram, "Countersign").click()
        await expect(card(page, "telegram", "Deploy payments 4.12.0")).to_be_visible()

        await become(page, "telegram", "Otto")
        await expect(telegram.get_by_role("article")).to_have_count(0)
        await button(telegram, "Start").click()
        await expect(card(page, "telegram", "telegram = 4203")).to_be_visible(timeout=SOON)
