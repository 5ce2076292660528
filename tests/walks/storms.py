"""People and scripts at work on several replicas while something breaks, and what has to be true afterwards.

Everybody asks again where there was no answer, or a 503, of any replica, and says the same again: with the
same idempotency key, and of the same attempt.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from tests.bot.house import served
from tests.contracts.conftest import on
from tests.walks.fleet import fleet
from tests.walks.histories import names
from tests.walks.runs import eventually, figures
from tests.walks.town import WEBHOOK_SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from core.store.database import Database
    from tests.walks.fleet import Replica

CONFIGURATION = """
[people.sam]
name = "Sam Lee"
[people.ana]
name = "Ana Ruiz"
[policies.default]
reviewers = ["ana"]
[flows.draft]
processor = "python:drafting:draft"
"""
DRAFTING = """
import asyncio
from random import random

async def draft(data, feedback=None, comment=None):
    await asyncio.sleep(random() * 0.2)
    return f"a draft of {data}"
"""
ANSWER = aiohttp.ClientTimeout(total=8)
"""How long somebody waits before they ask another replica."""
PAUSE = 0.05
"""Between two looks at a task: to look is all that a client can do who may be cut off at any time."""
DONE_WITHIN = 90.0
"""A takeover takes 45 s at most, and one may begin as another ends."""


@dataclass
class Storm:
    """Enter it when the replicas are ready; then break something, and `end`."""

    replicas: list[Replica]
    database: Database
    seed: int
    in_flight: int
    """Tasks that are not over, at most."""
    thinking: float = 0.1
    """Seconds that each decision takes at most to be made."""
    submitted: dict[str, str] = field(default_factory=dict)
    """Acknowledged task ids, and their texts."""
    told: dict[tuple[str, int], str] = field(default_factory=dict)
    """Verdicts that were acknowledged, by task and attempt."""
    troubles: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    """Why a decision was asked for again."""
    refused: int = 0
    """Requests that were answered 503."""
    refused_decisions: int = 0
    lost: int = 0
    """Requests that were never answered."""
    stored_though_refused: int = 0
    """Decisions that were there after nothing but 503s."""
    notices: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    """Task and number of the event of each webhook, by its id."""
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """Webhooks are answered while it is set."""
    in_delivery: int = 0
    """Webhooks that wait for their answer."""
    is_over: bool = False
    _number: int = 0
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        self._chance = Random(self.seed)  # noqa: S311 - to be repeatable
        self._http = await self._stack.enter_async_context(
            aiohttp.ClientSession(trust_env=False, timeout=ANSWER)
        )
        self.receiver = await self._stack.enter_async_context(served([web.post("/", self._noticed)])) + "/"
        self.answering.set()
        people = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._people = [people.create_task(self._work()) for _ in range(self.in_flight)]
        return self

    async def __aexit__(self, *error: Any) -> None:  # noqa: PYI036 - passed on
        for person in self._people:
            person.cancel()
        await self._stack.__aexit__(*error)

    async def rows(self, statement: str) -> list[Any]:
        return await asyncio.to_thread(on, self.database, statement)

    def anyone(self) -> Replica:
        return self._chance.choice([replica for replica in self.replicas if replica.is_up])

    async def until_told(self, more: int, *, within: float = DONE_WITHIN) -> None:
        """So many more decisions are acknowledged."""
        target = len(self.told) + more

        async def look() -> bool:
            assert not any(person.done() for person in self._people), "somebody gave up"
            return len(self.told) >= target

        await eventually(look, within=within)

    # webhooks

    async def _noticed(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = Webhook(WEBHOOK_SECRET).verify(await request.text(), dict(request.headers))
        self.notices[request.headers["webhook-id"]].append((body["data"]["task_id"], body["data"]["seq"]))
        self.in_delivery += 1
        try:
            await self.answering.wait()
        finally:
            self.in_delivery -= 1
        return web.Response(status=204)

    # people

    async def _work(self) -> None:
        while not self.is_over:
            self._number += 1
            await self._task(f"Task-{self._number:04}")

    async def _task(self, text: str) -> None:
        body, key = {"input": text, "callback_url": self.receiver}, {"Idempotency-Key": text}
        status, answer = await self._asked("/v1/tasks", body, "sam", **key)
        while status != 201:
            assert status in {503, 0}, (status, answer)
            status, answer = await self._asked("/v1/tasks", body, "sam", **key)
        task: str = answer["task_id"]
        self.submitted[task] = text
        while True:
            status, seen = await self._asked(f"/v1/tasks/{task}", None, "sam")
            assert status in {200, 503, 0}, (status, seen)
            if status == 200 and seen["status"] == "completed":
                return
            if status == 200 and seen["status"] == "waiting_for_review":
                await asyncio.sleep(self._chance.uniform(0.0, self.thinking))
                await self._decide(task, text, seen["attempt"])
            else:
                assert status != 200 or seen["status"] in {"pending", "running"}, seen
                await asyncio.sleep(PAUSE)

    async def _decide(self, task: str, text: str, attempt: int) -> None:
        """Until it is recorded, as far as anybody can tell."""
        verdict = self.verdict(text, attempt)
        body = {"verdict": verdict, "comment": f"no. {attempt}", "attempt": attempt}
        troubles = self.troubles[task, attempt]
        while True:
            status, answer = await self._asked(f"/v1/tasks/{task}/decisions", body, "ana")
            if status == 200:
                self.told[task, attempt] = verdict
                return
            if status in {409, 412}:
                assert troubles, (status, answer, "nobody else decides")
                self.stored_though_refused += troubles == {"refused"}
                return
            assert status in {503, 0}, (status, answer)
            self.refused_decisions += status == 503
            troubles.add("refused" if status else "lost")

    def verdict(self, text: str, attempt: int) -> str:
        chance = Random(f"{self.seed}/{text}/{attempt}")  # noqa: S311 - to be repeatable
        return "reject" if attempt < 3 and chance.random() < 0.4 else "approve"

    async def _asked(self, path: str, body: Any, person: str, **headers: str) -> tuple[int, Any]:
        """Status and answer; 0 where there was none."""
        where = self.anyone()
        method = "GET" if body is None else "POST"
        headers |= where.headers(person)
        try:
            async with self._http.request(method, where.url + path, json=body, headers=headers) as answer:
                said = await answer.json(content_type=None)
                if answer.status == 503:
                    self.refused += 1
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert answer.headers["Content-Type"].startswith("application/problem+json")
                    await asyncio.sleep(PAUSE)  # sooner than it asks for: it has to bear that
                return answer.status, said
        except (aiohttp.ClientError, TimeoutError):
            self.lost += 1
            await asyncio.sleep(PAUSE)
            return 0, {}

    # the end

    async def end(self) -> None:
        """Everybody finishes what they have begun; then nothing may be lost, doubled or left."""
        self.is_over = True
        async with asyncio.timeout(DONE_WITHIN):
            await asyncio.gather(*self._people)
        await self._every_history_is_whole()
        await self._every_notice_is_told_under_one_id()

    async def _every_history_is_whole(self) -> None:
        tasks = {row[0]: (row[1], row[2]) for row in await self.rows("SELECT id, status, input FROM task")}
        assert {status for status, _ in tasks.values()} == {"completed"}
        texts = Counter(json.loads(text) if text.startswith('"') else text for _, text in tasks.values())
        assert set(texts.values()) == {1}, "submitted twice under one key"
        assert {task: text for task, (_, text) in tasks.items() if task in self.submitted}.keys() == (
            self.submitted.keys()
        )
        events: dict[str, list[tuple[int, str, Any]]] = defaultdict(list)
        for task, number, kind, data in await self.rows(
            "SELECT task_id, seq, kind, data FROM event ORDER BY task_id, seq"
        ):
            events[task].append((number, kind, json.loads(data)))
        for task, history in events.items():
            verdicts = [data["verdict"] for _, kind, data in history if kind == "decision_recorded"]
            assert [number for number, _, _ in history] == list(range(1, len(history) + 1))
            assert [kind for _, kind, _ in history] == names(verdicts), task
            text = self.submitted[task]
            assert verdicts == [self.verdict(text, n) for n in range(1, len(verdicts) + 1)]
            told = {attempt: verdict for (of, attempt), verdict in self.told.items() if of == task}
            assert told.items() <= dict(enumerate(verdicts, 1)).items(), "acknowledged, and lost"

    async def _every_notice_is_told_under_one_id(self) -> None:
        due = {
            (task, number)
            for task, number in await self.rows(
                "SELECT task_id, seq FROM event WHERE kind IN ('review_requested', 'task_completed')"
            )
        }

        async def all_are_told() -> bool:
            return {notice for told in self.notices.values() for notice in told} >= due

        await eventually(all_are_told, within=DONE_WITHIN)
        assert {len(set(told)) for told in self.notices.values()} == {1}
        assert Counter(told[0] for told in self.notices.values()) == Counter(due), "each under one id"

    def tell(self, **more: object) -> None:
        """One line for docs/evidence.md."""
        figures(
            submissions=len(self.submitted),
            decisions=len(self.told),
            lost=0,
            doubled=0,
            answered_503=self.refused,
            unanswered=self.lost,
            webhooks=len(self.notices),
            repeated_webhooks=sum(len(told) - 1 for told in self.notices.values()),
            **more,
            seed=self.seed,
        )


@asynccontextmanager
async def storm(
    folder: Path,
    database: Database,
    seed: int,
    *,
    in_flight: int = 8,
    size: int = 3,
    commands: Mapping[int, tuple[str, ...]] = {},
) -> AsyncIterator[Storm]:
    """Replicas under load; `commands` says what some of them run instead."""
    (folder / "drafting.py").write_text(DRAFTING)
    url = database.url.render_as_string(hide_password=False)
    settings = {
        "COUNTERSIGN_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "COUNTERSIGN_WEBHOOK_ALLOW": "127.0.0.1",
        "PYTHONPATH": python_path(folder),
    }
    async with (
        fleet(
            folder,
            url,
            configuration=CONFIGURATION,
            people=["sam", "ana"],
            size=size,
            settings=settings,
            commands=commands,
        ) as replicas,
        Storm(replicas, database, seed, in_flight) as there,
    ):
        yield there


def python_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
