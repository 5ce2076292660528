"""A finger on a button, and a page that changes before it leaves: only what was touched may count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.looks import expect

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

    from tests.browser.conftest import SignIn
    from tests.web.web_house import House

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
MOVED = "The page changed as you pressed"


async def touch(page: Page, x: float, y: float) -> CDPSession:
    """The finger stays until `leave`; half a second later it would be a long press, and no click."""
    wire = await page.context.new_cdp_session(page)
    await wire.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    return wire


async def leave(wire: CDPSession) -> None:
    await wire.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


async def middle_of_the_first_approve(page: Page) -> tuple[float, float]:
    place = await page.get_by_role("button", name="Approve").first.bounding_box()
    assert place is not None
    return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2


async def first_card_goes(page: Page) -> None:
    """As when somebody else decides and the list is drawn anew, in the moment of the touch."""
    await page.evaluate("document.querySelector('#live article').remove()")


async def test_a_card_that_moves_under_the_finger_is_not_decided(house: House, sign_in: SignIn) -> None:
    tasks = [await house.submitted("First text"), await house.submitted("Second text")]
    ana = await sign_in("ana", **PHONE)
    await ana.goto(f"{house.url}/inbox")
    await expect(ana.get_by_role("article")).to_have_count(2)
    x, y = await middle_of_the_first_approve(ana)
    finger = await touch(ana, x, y)
    await first_card_goes(ana)
    left = await ana.evaluate("([x, y]) => document.elementFromPoint(x, y)?.textContent", [x, y])
    assert left == "Approve", "else this tests nothing"
    await leave(finger)
    await expect(ana.locator("#notice")).to_contain_text(MOVED)
    assert [(await house.task(task)).status for task in tasks] == ["waiting_for_review"] * 2
    await ana.touchscreen.tap(*await middle_of_the_first_approve(ana))
    await expect(ana.get_by_role("article").filter(has_text="Second text")).to_have_count(0)
    assert sorted([(await house.task(task)).status for task in tasks]) == ["completed", "waiting_for_review"]


async def test_a_tap_counts_where_nothing_moves(house: House, sign_in: SignIn) -> None:
    task = await house.submitted("Only text")
    ana = await sign_in("ana", **PHONE)
    await ana.goto(f"{house.url}/inbox")
    await ana.touchscreen.tap(*await middle_of_the_first_approve(ana))
    await expect(ana.get_by_role("article")).to_have_count(0)
    await house.world.end(task)


async def test_the_enter_key_sends_a_form_right_after_something_else_was_pressed(
    house: House, sign_in: SignIn
) -> None:
    """A browser clicks the form's button for it."""
    task = await house.submitted("Only text")
    ana = await sign_in("ana")
    await ana.goto(f"{house.url}/inbox")
    await ana.get_by_role("button", name="Approve").hover()
    await ana.mouse.down()
    await ana.mouse.move(1, 1)
    await ana.mouse.up()
    await ana.get_by_role("button", name="Approve").focus()
    await ana.keyboard.press("Enter")
    await expect(ana.get_by_role("article")).to_have_count(0)
    await house.world.end(task)


async def test_a_task_page_whose_next_attempt_comes_under_the_finger_decides_nothing(
    house: House, sign_in: SignIn
) -> None:
    task = await house.submitted("Once more, please")
    ana = await sign_in("ana", **PHONE)
    await ana.goto(f"{house.url}/tasks/{task}")
    x, y = await middle_of_the_first_approve(ana)
    finger = await touch(ana, x, y)
    await ana.evaluate("document.querySelector('#live form.decide').id = 'decide-another'")
    await leave(finger)
    await expect(ana.locator("#notice")).to_contain_text(MOVED)
    assert (await house.task(task)).status == "waiting_for_review"


async def test_an_edit_counts_for_the_attempt_that_the_finger_fell_on_alone(
    house: House, sign_in: SignIn
) -> None:
    """The task, and so where the form is sent, is the same."""
    task = await house.submitted("Once more, please")
    ana = await sign_in("ana", **PHONE)
    await ana.goto(f"{house.url}/tasks/{task}")
    await ana.get_by_text("Edit…").tap()
    button = ana.get_by_role("button", name="Approve with my changes")
    await button.scroll_into_view_if_needed()
    place = await button.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    finger = await touch(ana, x, y)
    await ana.evaluate(
        """() => {
          const live = document.getElementById("live");
          const review = live.querySelector("form.edit [name=review_id]").value;
          live.innerHTML = live.innerHTML.replaceAll(review, "0123456789abcdef0123456789abcdef");
        }"""
    )
    left = await ana.evaluate("([x, y]) => document.elementFromPoint(x, y)?.textContent", [x, y])
    assert left == "Approve with my changes", "else this tests nothing"
    await leave(finger)
    await expect(ana.locator("#notice")).to_contain_text(MOVED)
    assert (await house.task(task)).status == "waiting_for_review"
