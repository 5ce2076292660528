"""Socket Mode's connections: there are two, and each comes back whatever happens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bot.simulator.faults import Fault
from bot.slack import channel, socket
from bot.slack.socket import CONNECTIONS
from core.model import DeliveryState
from tests.bot.slack_house import SlackHouse, slack_house
from tests.world import ANA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.slack.socket import Reason
    from core.store.database import Database
    from tests.world import StoppedClock

NEVER = 600.0
"""Seconds: ten times as long as a test waits for anything."""


@pytest.fixture
async def there(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[SlackHouse]:
    async with slack_house(sqlite_database, clock, http=False) as started:
        yield started


@pytest.fixture
async def patient(
    sqlite_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SlackHouse]:
    """A call that Slack leaves unanswered goes on for longer than any test waits."""
    monkeypatch.setattr(channel, "CALL_SECONDS", NEVER)
    async with slack_house(sqlite_database, clock, http=False) as started:
        yield started


@pytest.fixture
async def restless(
    sqlite_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SlackHouse]:
    """Whether a connection is there is looked at more often: slack_sdk goes by the real time, and waits as
    long between two tries as between two pings."""
    monkeypatch.setattr(socket, "PING_SECONDS", 1.0)
    async with slack_house(sqlite_database, clock, http=False) as started:
        yield started


async def test_presses_are_heard_on_either_connection(there: SlackHouse) -> None:
    await there.slack.connected(CONNECTIONS)
    for number in range(1, 3):
        task = await there.house.submit(f"text {number}")
        assert (await there.slack.press(await there.card(number), "Approve", user="U01ANA")).ok
        (decision,) = (await there.house.service.reviews(task.id))[0].decisions
        assert decision.reviewer == ANA.id


async def test_while_one_connection_cannot_be_renewed_presses_are_heard_on_the_other(
    there: SlackHouse,
) -> None:
    """Slack ends each now and then, and sends a press to whichever is there: nobody has to press again."""
    task = await there.house.submit()
    card = await there.card()
    await there.slack.connected(2)
    there.slack.faults.add(Fault(method="apps.connections.open", status=502, body={}, times=None))
    await there.slack.disconnect("refresh_requested", count=1)
    await there.slack.until(lambda: there.slack.connections == 1)
    assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert (await there.house.service.reviews(task.id))[0].decisions


@pytest.mark.parametrize("reason", ["refresh_requested", "too_many_websockets", "link_disabled"])
async def test_whatever_slack_ends_them_for_both_come_back(there: SlackHouse, reason: Reason) -> None:
    task = await there.house.submit()
    card = await there.card()
    await there.slack.connected(CONNECTIONS)
    opened = there.transcript.count("apps.connections.open")
    await there.slack.disconnect(reason)
    await there.slack.until(lambda: there.transcript.count("apps.connections.open") >= opened + CONNECTIONS)
    await there.slack.connected(CONNECTIONS)
    assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert (await there.house.service.reviews(task.id))[0].decisions


async def renewed(there: SlackHouse, count: int) -> list[int]:
    """How many connections were open from one change to the next, until so many are, and are new ones."""
    before, opened, counts = there.slack.connections, 0, list[int]()
    with there.slack.changes() as changes:
        await there.slack.disconnect("warning")
        while opened < count or counts[-1] < count:
            kind = (await anext(changes)).kind
            if kind in {"connected", "disconnected"}:
                opened += kind == "connected"
                before += 1 if kind == "connected" else -1
                counts.append(before)
    return counts


async def test_of_two_that_are_told_to_go_at_once_one_is_there_at_any_time(there: SlackHouse) -> None:
    """A press that comes while none is there waits until one is, or is lost."""
    await there.slack.connected(CONNECTIONS)
    assert min(await renewed(there, CONNECTIONS)) == CONNECTIONS - 1


async def one_never_comes_back(there: SlackHouse) -> None:
    await there.slack.connected(CONNECTIONS)
    there.slack.faults.add(Fault(method="apps.connections.open", delay=NEVER))
    await there.slack.disconnect("refresh_requested", count=1)
    await there.slack.until(lambda: there.slack.connections == 1)


async def test_one_that_does_not_come_back_holds_up_no_other_that_is_gone(
    patient: SlackHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = patient
    monkeypatch.setattr(socket, "PATIENCE", NEVER)
    await one_never_comes_back(there)
    await there.slack.disconnect("refresh_requested")
    await there.slack.until(lambda: there.slack.connections == 0)
    await there.slack.connected(1)


async def test_nor_for_long_one_that_is_told_to_go(
    patient: SlackHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = patient
    monkeypatch.setattr(socket, "PATIENCE", 0.05)
    await one_never_comes_back(there)
    assert await renewed(there, 1) == [0, 1], "before the other came back"


async def test_those_that_are_told_to_go_and_then_closed_come_back_once_each(there: SlackHouse) -> None:
    """A press on the new one would meet its end, were that opened anew for what its predecessor was told."""
    task = await there.house.submit()
    card = await there.card()
    await there.slack.connected(CONNECTIONS)
    opened = there.transcript.count("apps.connections.open")
    there.slack.faults.add(Fault(method="apps.connections.open", delay=0.5))
    await there.slack.disconnect("warning")
    await there.slack.until(lambda: there.transcript.count("apps.connections.open") == opened + 1)
    await there.slack.disconnect("refresh_requested")
    await there.slack.until(lambda: there.slack.connections == 1)
    await there.slack.connected(CONNECTIONS)
    assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert (await there.house.service.reviews(task.id))[0].decisions
    assert there.transcript.count("apps.connections.open") == opened + CONNECTIONS


async def test_the_start_does_not_wait_for_the_second_connection(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    limits: dict[str, Any] = {"enforce_rate_limits": True}
    async with slack_house(sqlite_database, clock, http=False, **limits) as there:
        task = await there.house.submit()
        assert (await there.slack.press(await there.card(), "Approve", user="U01ANA")).ok
        assert (await there.house.service.reviews(task.id))[0].decisions
        assert there.slack.connections == 1


async def test_a_connection_cut_while_it_opens_is_opened_anew_by_another_address(
    restless: SlackHouse,
) -> None:
    there = restless
    await there.slack.connected(CONNECTIONS)
    there.slack.faults.add(Fault(method="apps.connections.open", status=502, body={}))
    there.slack.cut_connections(next_too=CONNECTIONS)
    await there.slack.until(lambda: there.slack.connections == 0)
    task = await there.house.submit()
    card = await there.card()
    await there.slack.connected(CONNECTIONS)
    assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    done = await there.house.delivery(task, lambda found: found.shown == found.version > 1)
    assert done.state is DeliveryState.SENT


async def test_private_words_wait_out_a_short_pause(there: SlackHouse) -> None:
    await there.house.submit()
    pause = {"ok": False, "error": "ratelimited"}
    there.slack.faults.add(
        Fault(method="chat.postEphemeral", status=429, headers={"Retry-After": "0"}, body=pause)
    )
    await there.slack.press(await there.card(), "Approve", user="U01EVE")
    assert "U01EVE" in await there.told("U01EVE")
    assert there.transcript.count("chat.postEphemeral") == 2


async def test_private_words_are_not_said_minutes_later(there: SlackHouse) -> None:
    await there.house.submit()
    pause = {"ok": False, "error": "ratelimited"}
    there.slack.faults.add(
        Fault(method="chat.postEphemeral", status=429, headers={"Retry-After": "600"}, body=pause)
    )
    await there.slack.press(await there.card(), "Approve", user="U01EVE")
    await there.slack.until(lambda: "chat.postEphemeral" in there.transcript)
    await there.slack.press(await there.card(), "Approve", user="U01EVE")
    assert "U01EVE" in await there.told("U01EVE")
    assert there.transcript.count("chat.postEphemeral") == 2


async def test_every_card_names_its_delivery_version_and_review_in_its_metadata(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    sent = await there.house.delivery(task, lambda found: found.message is not None)
    expected = {"delivery": sent.id, "version": 1, "review": sent.review}
    call = next(call for call in there.slack.calls if call.method == "chat.postMessage")
    assert card.metadata == {"event_type": "countersign_card", "event_payload": expected}, call
