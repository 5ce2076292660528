"""A real Chromium on a real server over the real core."""

from __future__ import annotations

import os
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import pytest_asyncio

from tests.web.web_house import House
from tests.world import whole_core
from web.auth import sign_in_link
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

    from core.store.database import Database
    from tests.world import StoppedClock

    SignIn: TypeAlias = Callable[..., Awaitable[Page]]

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NO_CHROMIUM = "No Chromium: install Debian's chromium to run the browser tests."
REFUSALS = (
    "401 (Unauthorized)",
    "409 (Conflict)",
    "412 (Precondition Failed)",
    "422 (Unprocessable",
    "503 (Service Unavailable)",
)
"""What a browser writes by itself of the sign-in page, of refused forms and of a server in trouble."""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is; CI never does without."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[House]:
    async with whole_core(sqlite_database, clock) as world, AsyncExitStack() as stack:
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def complaints() -> AsyncIterator[list[str]]:
    """What browsers wrote to their consoles; a test that ends with any has failed."""
    found: list[str] = []
    yield found
    assert found == []


@pytest_asyncio.fixture(loop_scope="session")
async def sign_in(browser: Browser, house: House, complaints: list[str]) -> AsyncIterator[SignIn]:
    """`await sign_in("ana", viewport=…)` opens a browser window by her personal link."""
    from playwright.async_api import expect

    contexts: list[BrowserContext] = []

    def listen(message: ConsoleMessage) -> None:
        is_refusal = any(refusal in message.text for refusal in REFUSALS)
        if message.type in {"error", "warning"} and not is_refusal:
            complaints.append(message.text)

    async def opened(person: str, **how: Any) -> Page:
        context = await browser.new_context(**how)
        contexts.append(context)
        context.on("console", listen)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = await context.new_page()
        await page.goto(sign_in_link(house.url, await house.token(person)))
        await expect(page.get_by_label("What should be done?")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        await context.close()
