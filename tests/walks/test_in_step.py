"""All copies in step: a decision anywhere changes every card within two seconds, in both chats."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.walks.browsers import Browser
    from tests.walks.town import Town

PROMISED = 2.0
"""Seconds, while nothing else is going on."""


@pytest.mark.parametrize("where", ["web", "slack", "telegram"])
async def test_a_decision_anywhere_is_shown_by_every_copy_within_two_seconds(there: Town, where: str) -> None:
    sam, ana = await there.browser("sam"), await there.browser("ana")
    task = await sam.submit("Announce the new opening hours")
    cards = [(room, await room.card("Announce the new opening hours")) for room in there.rooms]
    await decide(there, ana, task, where)
    began = asyncio.get_running_loop().time()
    for room, card in cards:
        await room.until_it_says(card, "Approved by Ana Ruiz")
    assert asyncio.get_running_loop().time() - began <= PROMISED


async def decide(there: Town, ana: Browser, task: str, where: str) -> None:
    if where == "web":
        await ana.decide(task, "approved")
    else:
        room = there.room(where)
        await room.approve(await room.card("Announce the new opening hours"), "ana")
