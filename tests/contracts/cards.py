"""Cards at two places."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from core.model import ChannelName, Policy, Recipient
from tests.world import ANA, BEN, DESK, HALL

if TYPE_CHECKING:
    from core.model import Delivery
    from core.store.sql import SqlStore


STONE = ChannelName("stone")
WALL = Recipient(channel=STONE, address="wall")

ON_DESK = Policy(name="desk", reviewers=(ANA.id, BEN.id), recipients=(DESK,))

WITH_FALLBACK = replace(ON_DESK, fallback=(HALL, WALL))

DAY = timedelta(hours=24)


async def cards(store: SqlStore, review: str) -> list[Delivery]:
    return list(await store.deliveries((await store.review(review)).task.id))


async def card(store: SqlStore, review: str, place: Recipient = DESK) -> Delivery:
    (found,) = [one for one in await cards(store, review) if one.recipient == place and not one.is_retired]
    return found
