"""What a browser is asked for, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from playwright.async_api import Locator, Page

    SignIn: TypeAlias = "Callable[..., Awaitable[Page]]"


PHONE_IN_THE_DARK = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


def expect(locator: Locator) -> Any:
    from playwright.async_api import expect as wait_for

    wait_for.set_options(timeout=PATIENCE * 1_000)  # not the five seconds that it waits by itself
    return wait_for(locator)


def status(page: Page) -> Locator:
    return page.get_by_role("status")


def timeline(page: Page) -> Locator:
    return page.locator("ol.timeline")


async def hide(page: Page) -> None:
    """Headless Chromium shows all tabs; so the page is told what a browser would tell it."""
    await _say(page, "hidden")


async def show(page: Page) -> None:
    await _say(page, "visible")


async def _say(page: Page, state: str) -> None:
    await page.evaluate(
        """(state) => {
            Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
            Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )
