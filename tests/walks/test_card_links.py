"""From a task's page into both chats: the way back from a card's link to its page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.walks.town import GENERAL, GROUP
from tests.world import eventually

if TYPE_CHECKING:
    from tests.walks.browsers import Browser
    from tests.walks.town import Town

CHATS = ("Slack", "Telegram")


async def links(browser: Browser, task: str) -> dict[str, str]:
    """Of both chats, once both cards are noted: before, they are seen there already."""

    async def both() -> dict[str, str] | None:
        page = await browser.page(f"/tasks/{task}")
        found = {name: url for url, name in re.findall(r'<a href="([^"]+)" rel="noreferrer">(\w+)</a>', page)}
        return found if len(found) == len(CHATS) else None

    found = await eventually(both)
    assert found is not None
    return found


async def test_a_tasks_page_leads_to_its_newest_card_in_each_chat(by_socket: Town) -> None:
    there = by_socket
    sam = await there.browser("sam")
    task = await sam.submit("hello world")
    slack, telegram = await there.slack.card("hello world"), await there.telegram.card("hello world")
    assert await links(sam, task) == {
        "Slack": f"https://simulated.slack.example/archives/{GENERAL}/p{slack.ts.replace('.', '')}",
        "Telegram": f"https://t.me/c/{str(GROUP).removeprefix('-100')}/{telegram.id}",
    }
    ana = await there.browser("ana")
    await ana.decide(task, "rejected", "shorter")
    first, second = slack, await there.slack.card("attempt 2 · submitted")
    await there.telegram.card("attempt 2 · submitted")
    assert (await links(sam, task))["Slack"] == (
        f"https://simulated.slack.example/archives/{GENERAL}/p{second.ts.replace('.', '')}"
        f"?thread_ts={first.ts}&amp;cid={GENERAL}"
    )
