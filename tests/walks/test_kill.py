"""The real process, killed again and again under load: nothing acknowledged is lost or happens twice."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.walks.browsers import Browser, Message
from tests.walks.histories import names
from tests.walks.load import CHANNELS, CONFIGURATION, GROUPS, Load, Plan
from tests.walks.processes import serving
from tests.walks.runs import eventually, figures, seeded
from tests.walks.town import SLACK, TELEGRAM, platforms

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

IDS = ["socket-polling", "http-webhook"]


@pytest.mark.parametrize(("by_http", "kills"), [(False, 3), (True, 2)], ids=IDS)
async def test_a_few_kills_lose_and_double_nothing(tmp_path: Path, by_http: bool, kills: int) -> None:
    await killed(tmp_path, kills=kills, in_flight=8, by_http=by_http)


@pytest.mark.soak
@pytest.mark.parametrize("by_http", [False, True], ids=IDS)
async def test_many_kills_lose_and_double_nothing(tmp_path: Path, by_http: bool) -> None:
    await killed(tmp_path, kills=60, in_flight=24, by_http=by_http)


async def killed(folder: Path, *, kills: int, in_flight: int, by_http: bool) -> None:
    seed, chance = seeded()
    async with (
        platforms(channels=CHANNELS, groups=GROUPS) as chats,
        serving(
            folder,
            chats,
            configuration=CONFIGURATION,
            people=["ana", "ben", "sam"],
            slack_http=by_http,
            telegram_webhook=by_http,
        ) as served,
        Load(served, chats, seed, in_flight) as load,
    ):
        for _ in range(kills):
            await moment(load, chance)
            load.alive.clear()
            await served.kill()
            await served.start()
            load.alive.set()
        load.is_submitting = False
        tasks = await all_over(load)
        await load.rest()
        await every_card_is_closed(load)
        histories = await every_history_is_whole(load, tasks)
        nothing_acknowledged_is_lost(load, tasks, histories)
        await every_notice_is_told_under_one_id(load, histories)
        assert served.complaints() == []
        assert await served.stop() == 0
    figures(
        kills=kills,
        submissions=len(load.submitted),
        decisions=len(load.told),
        lost=0,
        doubled=0,
        duplicate_posts=sum(times - 1 for times in load.posted().values()),
        webhooks=len(load.notices),
        repeated_webhooks=sum(len(bodies) - 1 for bodies in load.notices.values()),
    )


async def moment(load: Load, chance: Random) -> None:
    """After so much more has happened, and a little later than that; or when nothing happens any more."""
    target = load.activity() + chance.randrange(5, 60)
    with suppress(TimeoutError):
        await load.chats.slack.until(lambda: load.activity() >= target, within=2)
    await asyncio.sleep(chance.uniform(0, 0.03))  # a crash keeps no timetable


async def all_over(load: Load) -> list[dict[str, Any]]:
    """Every task there is, once all have ended."""

    async def look() -> list[dict[str, Any]]:
        tasks = await load.tasks()
        return tasks if all(task["status"] == "completed" for task in tasks) else []

    return await eventually(look, within=180)


async def every_card_is_closed(load: Load) -> None:
    """A copy that nobody noted, because a kill came between its post and the note, is closed by a press."""
    for card, _, _ in list(load.slack_cards()):
        await load.chats.slack.press(card, "Approve", user=SLACK["ben"])
    for message, _, _ in list(load.telegram_cards()):
        await load.chats.telegram.press(message, "Approve", user=TELEGRAM["ben"], timeout=60)
    await load.chats.slack.until(lambda: not list(load.slack_cards()), within=150)
    await load.chats.telegram.until(lambda: not list(load.telegram_cards()), timeout=150)


async def every_history_is_whole(load: Load, tasks: list[dict[str, Any]]) -> dict[str, list[Message]]:
    """The events of each task: in their order, without a gap, each review decided once and as planned."""
    histories: dict[str, list[Message]] = {}
    async with aiohttp.ClientSession(trust_env=False) as http:
        sam = Browser(http, load.served.url, load.served.tokens["sam"], is_script=True)
        for task in tasks:
            history = histories[task["task_id"]] = await sam.history(task["task_id"])
            decisions = [m.data for m in history if m.name == "decision_recorded"]
            assert [m.id for m in history] == list(range(1, len(history) + 1))
            assert [m.name for m in history] == names([d["verdict"] for d in decisions])
            started = [m.data["attempt"] for m in history if m.name == "attempt_started"]
            assert started == list(range(1, len(decisions) + 1))
            plans = [Plan.of(load.seed, task["input"], attempt) for attempt in started]
            assert [decided(d) for d in decisions] == plans
    return histories


def decided(recorded: dict[str, Any]) -> Plan:
    return Plan(recorded["via"], recorded["reviewer"], recorded["verdict"], recorded["comment"])


def nothing_acknowledged_is_lost(
    load: Load, tasks: list[dict[str, Any]], histories: dict[str, list[Message]]
) -> None:
    assert load.submitted
    assert load.told
    found = {task["task_id"]: task["input"] for task in tasks}
    assert {task: found.get(task) for task in load.submitted} == load.submitted
    keyed = Counter(text for text in found.values() if int(text[-4:]) % 3)
    assert set(keyed.values()) <= {1}
    recorded = {
        m.data["review"]: decided(m.data)
        for history in histories.values()
        for m in history
        if m.name == "decision_recorded"
    }
    assert {review: recorded.get(review) for review in load.told} == load.told


async def every_notice_is_told_under_one_id(load: Load, histories: dict[str, list[Message]]) -> None:
    due = {
        (task, message.id)
        for task, history in histories.items()
        for message in history
        if message.name in {"review_requested", "task_completed"}
    }

    async def ids() -> dict[tuple[str, int], set[str]]:
        told: dict[tuple[str, int], set[str]] = defaultdict(set)
        for name, bodies in load.notices.items():
            for body in bodies:
                told[body["data"]["task_id"], body["data"]["seq"]].add(name)
        return told if set(told) >= due else {}

    told = await eventually(ids, within=120)
    assert set(told) == due
    assert {len(names) for names in told.values()} == {1}
    assert len(load.notices) == len(due)
