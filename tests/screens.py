"""`make screens`: the pictures in the README and in docs, taken from a running demo by a real Chromium.

    python -m tests.screens [FOLDER]

The story is the product's own: a text is submitted and rejected in Slack with a reason; its second attempt
waits in both chats, and is approved there. Of its cards there is a picture in each chat before, after,
superseded, and with what has changed; and there is one of a card whose page decides.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect, sync_playwright

from tests.palette import shrink
from tests.visitor import running_demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

IMAGES = Path("docs/images")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LARGEST = 200_000
"""Bytes of a picture: the README should load at once."""
SOON = 20_000
CHATS = ("slack", "telegram")

DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 880}}
WALL: dict[str, Any] = {"viewport": {"width": 1440, "height": 1800}}
"""As high as a card may be."""
PAGE: dict[str, Any] = {"viewport": {"width": 860, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "is_mobile": True}

TEXT = "Tell our customers: from Monday we are open until 20:00."
PRICES = "Raise all prices by 3 % from January."
REASON = "Say that the café closes at 18:00, please."


def main(folder: Path) -> int:
    """Take them all; 1 where one has become too large."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("No Chromium: install Debian's chromium to take screenshots.", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place, running_demo(Path(place)) as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        take_all(browser, demo.base, folder)
        browser.close()
    pictures = sorted(folder.glob("*.png"))
    for picture in pictures:
        shrink(picture)
    return report(pictures)


def take_all(browser: Browser, base: str, folder: Path) -> None:
    desk, wall = opened(browser, f"{base}/demo", **DESK), opened(browser, f"{base}/demo", **WALL)
    handed_in(desk)
    pictured(wall, folder, "before", TEXT)
    address = second_attempt(desk, base)
    desk.screenshot(path=folder / "demo.png")
    pictured(wall, folder, "superseded", "attempt 1 ·", "superseded by attempt 2")
    pictured(wall, folder, "diff", "attempt 2 ·", "Changed since attempt 1")
    phone = opened(browser, f"{base}/demo", **PHONE)
    expect(card(phone, "telegram", "attempt 2", REASON)).to_be_attached()
    phone.get_by_role("link", name="Telegram").click()
    phone.screenshot(path=folder / "demo-phone-dark.png")
    for name, path in {"form": "/", "task": address, "inbox": "/inbox"}.items():
        page = opened(browser, f"{base}{path}", **PAGE)
        cropped(page, folder / f"{name}.png")
    card(desk, "slack", "attempt 2", REASON).get_by_role("button", name="Approve").click()
    pictured(wall, folder, "after", "attempt 2 ·", "Approved by")
    desk.request.post(f"{base}/submit", form={"data": PRICES, "policy": "page"})
    pictured(wall, folder, "page", PRICES, "decided on its page")


def pictured(page: Page, folder: Path, name: str, *words: str) -> None:
    """The card that says so, in both chats."""
    for where in CHATS:
        found = card(page, where, *words)
        expect(found).to_be_visible(timeout=SOON)
        found.screenshot(path=folder / f"{where}-{name}.png")


def opened(browser: Browser, address: str, **how: Any) -> Page:
    page = browser.new_context(reduced_motion="reduce", **how).new_page()
    page.goto(address)
    return page


def handed_in(page: Page) -> None:
    """Submit on the page; its card is in Slack."""
    page.get_by_label("What should be done?").fill(TEXT)
    page.get_by_role("button", name="Submit").click()
    first = card(page, "slack", TEXT)
    expect(first.get_by_role("button", name="Reject…")).to_be_visible(timeout=SOON)


def second_attempt(page: Page, base: str) -> str:
    """Reject in the page's Slack; the path of the task whose second attempt waits."""
    first = card(page, "slack", TEXT)
    first.get_by_role("button", name="Reject…").click()
    page.locator("#slack").get_by_label("Reason").fill(REASON)
    page.locator("#slack").get_by_role("dialog").get_by_role("button", name="Reject").click()
    for where in CHATS:
        expect(card(page, where, "attempt 2", REASON)).to_be_visible(timeout=SOON)
        expect(card(page, where, "superseded by attempt 2", REASON)).to_be_attached(timeout=SOON)
    expect(page.locator("#live")).to_contain_text("superseded by attempt 2")
    link = card(page, "slack", "attempt 2", REASON).get_by_role("link", name="Open the task")
    return str(link.get_attribute("href")).removeprefix(base)


def card(page: Page, where: str, *words: str) -> Locator:
    found = page.locator(f"#{where}").get_by_role("article")
    for word in words:
        found = found.filter(has_text=word)
    return found.last


def cropped(page: Page, path: Path) -> None:
    """The whole page, but no more of it than its content."""
    page.wait_for_load_state("load")
    height = page.evaluate(
        "Math.ceil(document.querySelector('main > :last-child').getBoundingClientRect().bottom)"
    )
    page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": 860, "height": height + 32})


def report(pictures: list[Path]) -> int:
    """Their sizes; 1 where one is too large."""
    for picture in pictures:
        print(f"{picture.name}  {picture.stat().st_size / 1000:.0f} kB")
    return int(any(picture.stat().st_size > LARGEST for picture in pictures))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
