"""Three real servers on one PostgreSQL: readers of any see what happens on all; one does what one may do.

A short slice runs always; `pytest -m soak` goes on for longer. A failure names its seed:
`COUNTERSIGN_SOAK_SEED=… pytest -m soak tests/walks/test_fleet.py` repeats it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.bench.server import posted
from tests.contracts.conftest import on
from tests.walks.fleet import fleet
from tests.walks.rooms import TelegramRoom
from tests.walks.runs import eventually, figures, seeded
from tests.walks.town import CONFIGURATION, GROUP, TELEGRAM, platforms

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from core.store.database import Database
    from tests.walks.fleet import Replica
    from tests.walks.town import Platforms

READERS = 30
SOON = 0.1
"""Seconds within which, of a hundred events, 99 reach their readers on other replicas."""
SOON_ENOUGH = 2.0
"""The same where the machine has other tests to run."""
PEOPLE = """
[people.sam]
name = "Sam Lee"
[people.ana]
name = "Ana Ruiz"
[policies.default]
reviewers = ["ana"]
"""


@dataclass
class Crowd:
    """Readers spread over the replicas, and whoever submits and decides at random ones."""

    http: aiohttp.ClientSession
    replicas: list[Replica]
    chance: Random
    thinking: float
    """Seconds that somebody takes at most to decide, and to submit the next."""
    late: list[float] = field(default_factory=list)
    """Seconds from the begin of a commit to each reader's event, where another replica committed it."""
    here: list[float] = field(default_factory=list)
    """The same where the reader's own replica did."""
    active: dict[str, Replica] = field(default_factory=dict)
    """Where each task was submitted or decided last, and so is run."""
    decided: set[tuple[str, int]] = field(default_factory=set)

    async def task(self, readers: int) -> None:
        """One task to its end, before the eyes of so many."""
        where = self.chance.choice(self.replicas)
        task = (await posted(self.http, f"{where.url}/v1/tasks", {"input": "read me"}, where.headers("sam")))[
            "task_id"
        ]
        self.active[task] = where
        places = [self.replicas[number % len(self.replicas)] for number in range(readers)]
        seen = await asyncio.gather(*(self.read(task, place) for place in places))
        wanted = list(range(1, len(seen[0]) + 1))
        assert all(one == wanted for one in seen), (task, seen)
        elsewhere = self.chance.choice(self.replicas)
        async with self.http.get(
            f"{elsewhere.url}/v1/tasks/{task}", headers=elsewhere.headers("sam")
        ) as answer:
            assert (await answer.json())["status"] == "completed"

    async def read(self, task: str, place: Replica) -> list[int]:
        """The numbers of its events, in the order in which they came."""
        seen: list[int] = []
        opened = datetime.now(UTC)
        async with self.http.get(
            f"{place.url}/v1/tasks/{task}/events", headers=place.headers("sam")
        ) as stream:
            assert stream.status == 200
            async for line in stream.content:
                if not line.startswith(b"data: "):
                    continue
                message = json.loads(line[6:])
                if "seq" not in message:
                    continue
                seen.append(message["seq"])
                at = datetime.fromisoformat(message["at"])
                if at > opened:
                    seconds = (datetime.now(UTC) - at).total_seconds()
                    (self.here if self.active[task] is place else self.late).append(seconds)
                if "review" in message and "draft" in message:
                    await self.decide(task, message["attempt"])
        return seen

    async def decide(self, task: str, attempt: int) -> None:
        """Once for all who read of it, at any replica."""
        if (task, attempt) in self.decided:
            return
        self.decided.add((task, attempt))
        await asyncio.sleep(self.chance.uniform(0.0, self.thinking))  # a load that leaves the machine time
        where = self.active[task] = self.chance.choice(self.replicas)
        verdict = "reject" if self.chance.random() < 0.4 and attempt < 4 else "approve"
        body = {"verdict": verdict, "comment": "again" if verdict == "reject" else None, "attempt": attempt}
        await posted(self.http, f"{where.url}/v1/tasks/{task}/decisions", body, where.headers("ana"))


async def crowded(folder: Path, url: str, rounds: int, *, thinking: float, within: float) -> None:
    seed, chance = seeded()
    async with fleet(folder, url, configuration=PEOPLE, people=["sam", "ana"]) as replicas:
        connector = aiohttp.TCPConnector(limit=256)
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as http:
            crowd = Crowd(http, replicas, chance, thinking)
            began = time.monotonic()

            async def tasks() -> None:
                for _ in range(rounds):
                    await asyncio.sleep(chance.uniform(0.0, thinking))
                    await crowd.task(len(replicas))

            await asyncio.gather(*(tasks() for _ in range(READERS // len(replicas))))
            took = time.monotonic() - began
        assert [replica.complaints() for replica in replicas] == [[], [], []]
    late, here = sorted(crowd.late), sorted(crowd.here)
    p99 = late[int(len(late) * 0.99)]
    figures(
        replicas=3,
        readers=READERS,
        tasks=rounds * READERS // 3,
        events=len(late),
        p50_ms=f"{late[len(late) // 2] * 1000:.1f}",
        p99_ms=f"{p99 * 1000:.1f}",
        p50_own_ms=f"{here[len(here) // 2] * 1000:.1f}",
        p99_own_ms=f"{here[int(len(here) * 0.99)] * 1000:.1f}",
        seconds=f"{took:.1f}",
        seed=seed,
    )
    assert p99 <= within, late[-20:]


def address(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


async def test_readers_of_three_replicas_see_each_event_once_and_in_order(
    tmp_path: Path, postgres_database: Database
) -> None:
    await crowded(tmp_path, address(postgres_database), rounds=3, thinking=0.5, within=SOON_ENOUGH)


@pytest.mark.soak
async def test_readers_of_three_replicas_see_each_event_within_100_ms(
    tmp_path: Path, postgres_database: Database
) -> None:
    await crowded(tmp_path, address(postgres_database), rounds=30, thinking=2.0, within=SOON)


CHATTING = CONFIGURATION.replace("[policies.default]\n", '[policies.default]\nreminders = ["3s"]\n')
HEARING = "telegram hearing"


def telegram_settings(chats: Platforms) -> dict[str, str]:
    telegram = chats.telegram
    return {
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "COUNTERSIGN_TELEGRAM_API_URL": telegram.api_url,
        "COUNTERSIGN_TELEGRAM_FILE_URL": telegram.file_url,
    }


async def test_when_the_replica_that_polls_dies_another_does_what_it_did_once(
    tmp_path: Path, postgres_database: Database
) -> None:
    url = address(postgres_database)
    async with (
        platforms() as chats,
        fleet(
            tmp_path, url, configuration=CHATTING, people=["sam"], settings=telegram_settings(chats)
        ) as replicas,
        aiohttp.ClientSession(trust_env=False) as http,
    ):
        poller = await hearer(replicas)
        room = TelegramRoom(chats.telegram, GROUP, TELEGRAM)
        for number, where in enumerate(replicas):
            await submitted(http, where, f"text {number}")
        cards = [await room.card(f"text {number}") for number in range(3)]
        await room.approve(cards[0], "ana")
        await chats.telegram.until(lambda: room.cards("Reminder for", "text 1"), timeout=60)
        await eventually(partial(all_is_noted, postgres_database))  # else it is shown again: at least once
        await poller.kill()
        died = time.monotonic()
        press = await chats.telegram.press(cards[1], "Approve", user=TELEGRAM["ben"], timeout=60)
        took = time.monotonic() - died
        assert press.answered
        await room.until_it_says(cards[1], "Approved by Ben")
        second = await hearer(replicas)
        assert await second.stop() == 0
        stopped = time.monotonic()
        await room.approve(cards[2], "ana")
        at_once = time.monotonic() - stopped
        await room.until_it_says(cards[2], "Approved by Ana")
        answers = [
            call.params["callback_query_id"] for call in chats.telegram.calls_of("answerCallbackQuery")
        ]
        assert len(answers) == len(set(answers)) == 3, "each press is answered, once"
        said = Counter(message.text.splitlines()[0] for message in room.cards())
        assert said == Counter(
            [f"Approved: text {number}" for number in range(3)]
            + [
                f"Reminder for Ana Ruiz and Ben Okri: please decide on attempt 1 of text {number}."
                for number in (1, 2)
            ]
        ), "each card is posted and each reminder said, once"
        for replica in replicas:
            assert replica.complaints() == []
    assert took <= 15.0, "from the death to the answer"
    assert at_once <= 2.0, "from a stop in good order"
    figures(polls_again_s=f"{took:.1f}", after_a_stop_s=f"{at_once:.2f}")


async def hearer(replicas: list[Replica]) -> Replica:
    """Who hears Telegram, once somebody does."""

    async def look() -> list[Replica]:
        found = [replica for replica in replicas if replica.is_up and replica.holds(HEARING)]
        assert len(found) <= 1
        return found

    return (await eventually(look))[0]


async def all_is_noted(database: Database) -> bool:
    return on(database, "SELECT count(*) FROM delivery WHERE due_at IS NOT NULL") == [(0,)]


async def submitted(http: aiohttp.ClientSession, where: Replica, text: str) -> str:
    body = await posted(http, f"{where.url}/v1/tasks", {"input": text}, where.headers("sam"))
    task: str = body["task_id"]
    return task
