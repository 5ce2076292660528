"""The log of a delivery that failed names the place, and of a callback's address no more than its host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from core.addresses import place_in_log
from core.errors import Undeliverable, Unreachable
from core.model import ChannelName, DeliveryState
from tests.world import DESK, PAPER, PaperChannel, draft_flows, eventually, whole_core

if TYPE_CHECKING:
    from core.model import Delivery
    from core.store.database import Database
    from tests.world import StoppedClock, World

WEBHOOK = ChannelName("webhook")
SECRET = "xoxb-hush"
HOOK = f"https://Hooks.Example.com:8443/services/{SECRET}?token={SECRET}"


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("C01GENERAL", "C01GENERAL"),
        ("-1001234567890/7", "-1001234567890/7"),
        (HOOK, "hooks.example.com:8443"),
        (f"https://ana:{SECRET}@ci.example/{SECRET}#{SECRET}", "ci.example"),
        (f"http://[::1]:8080/{SECRET}", "[::1]:8080"),
        (f"https://ci.example:{SECRET}/", "(no address)"),
        (f"https://[{SECRET}/", "(no address)"),
        (f"https:///{SECRET}", "(no address)"),
    ],
)
def test_of_a_url_only_the_host_is_named(address: str, named: str) -> None:
    assert place_in_log(address) == named


async def given_up(world: World, task: str) -> Delivery | None:
    found = await world.store.deliveries(task)
    return next((one for one in found if one.state is DeliveryState.GIVEN_UP), None)


@pytest.mark.parametrize(("name", "place"), [(PAPER, DESK.address), (WEBHOOK, "hooks.example.com:8443")])
async def test_what_failed_and_what_is_given_up_say_where(
    sqlite_database: Database, clock: StoppedClock, name: ChannelName, place: str
) -> None:
    channel = PaperChannel(name)
    channel.faults = [Unreachable("no route"), Undeliverable("refused")]
    flows = draft_flows(*([DESK] if name == PAPER else []))
    with capture_logs() as logs:
        async with whole_core(sqlite_database, clock, flows=flows, channels=[channel]) as world:
            task = await world.submit("x", callback_url=HOOK)
            await channel.called(1)
            await eventually(lambda: failing(world, task.id))
            clock.advance(minutes=1)
            await eventually(lambda: given_up(world, task.id))
    told = [line for line in logs if line["event"] in {"delivery_failed", "delivery_given_up"}]
    assert [(line["event"], line["place"]) for line in told] == [
        ("delivery_failed", place),
        ("delivery_given_up", place),
    ]
    assert SECRET not in str(logs)


async def failing(world: World, task: str) -> bool:
    return any(one.failing_since for one in await world.store.deliveries(task))
