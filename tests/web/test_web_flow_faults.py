"""What a flow may leave behind, and what people may send, that no page and no endpoint falls over."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from core.events import TextStreamed
from core.model import LOCAL, StoredEvent, TaskId
from core.nodes import ReviewNode
from tests.core.graphs import Does, Shared, in_a_row
from tests.core.small_flows import sets
from tests.web.asking import ask
from tests.web.web_house import PAGE, House
from tests.world import ANA, PATIENCE, draft_flows, whole_core
from web.pages.trail import STREAMED, working
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.world import StoppedClock


HOSTILE = "</pre><script>alert(1)</script>&amp;\u202e\x00 {{ 7*7 }}"


def nested(levels: int, inner: Any = "x") -> Any:
    for _ in range(levels):
        inner = [inner]
    return inner


async def leaves(shared: Shared) -> None:
    kind = shared["task_input"]
    shared["processed_output"] = {
        "deep": nested(120),
        "long": {"text": "x" * 2_000_000},
        "wide": {f"key {n}": [n] for n in range(20_000)},
        "odd": {HOSTILE: HOSTILE, "</textarea>": "</pre><script>alert(1)</script>", "": "\x00"},
    }[kind]
    shared[HOSTILE] = [HOSTILE]


@pytest.fixture
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[House]:
    odd = in_a_row(Does("<b>leaves", leaves), ReviewNode("<i>check & co"), sets("end", final_result=1))
    async with (
        whole_core(sqlite_database, clock, flows={**draft_flows(), "odd": odd}, admins={ANA.id}) as world,
        AsyncExitStack() as stack,
    ):
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


@pytest.mark.parametrize("kind", ["deep", "long", "wide", "odd"])
async def test_whatever_a_state_holds_every_page_and_answer_shows_it(house: House, kind: str) -> None:
    task_id = await house.submitted(kind, flow="odd")
    ana = await house.signed_in("ana")
    paths = ["/", "/inbox", f"/tasks/{task_id}", *(f"/tasks/{task_id}/checkpoints/{n}" for n in (0, 1))]
    for path in paths:
        async with ana.get(path, headers=PAGE) as answer:
            page = await answer.text()
            assert answer.status == 200, path
        assert "<script>alert" not in page
        assert "<b>leaves" not in page
        assert len(page) < 3_000_000
    for path in ("checkpoints", "checkpoints/1", "checkpoints/0", ""):
        status, _ = await ask(house, "GET", f"/v1/tasks/{task_id}/{path}".rstrip("/"))
        assert status == 200
    assert (await ask(house, "GET", "/v1/tasks"))[0] == 200
    before = await house.world.history(task_id)
    for state in ("[" * 5_000, "{", "[]", "null", '{"a": "\\ud800"}', '{"a": 1e999}', '{"a":' + "[" * 300):
        async with ana.post(
            f"/tasks/{task_id}/resume", data={"checkpoint": "1", "state": state}, headers=PAGE
        ) as answer:
            assert answer.status in {400, 422}, state[:20]
        if state == "[]":
            continue  # is an edit of a list
        async with ana.post(
            f"/tasks/{task_id}/edit",
            data={"content": state, "review_id": str((await house.task(task_id)).review)},
            headers=PAGE,
        ) as answer:
            assert answer.status in {400, 422}, state[:20]
    assert await house.world.history(task_id) == before
    status, _ = await ask(house, "POST", f"/v1/tasks/{task_id}/resume", json={"checkpoint": 1})
    assert status == 200
    await house.world.open_review(task_id, 2)


@pytest.mark.parametrize(
    "body",
    [
        {"checkpoint": 10**30},
        {"checkpoint": 2**63 - 1},
        {"checkpoint": -1},
        {"checkpoint": True},
        {"checkpoint": "1"},
        {"checkpoint": 1, "node": "\x00"},
        {"checkpoint": 1, "node": "x" * 100_000},
        {"checkpoint": 1, "node": "../check"},
        {"checkpoint": 1, "state": {"a": "\x00"}},
        {"checkpoint": 1, "state": {"\x00": 1}},
        {"checkpoint": 1, "state": {"a": nested(100)}},
        {"checkpoint": 1, "state": {"a": 10**1500}},
        {"checkpoint": 1, "state": []},
        {"checkpoint": 1, "fork": "yes"},
        {"checkpoint": 1, "by": "ben"},
        {},
    ],
    ids=lambda body: json.dumps(body)[:40],
)
async def test_a_resume_that_cannot_be_is_refused_with_a_sentence(house: House, body: dict[str, Any]) -> None:
    task_id = await house.submitted()
    before = await house.world.history(task_id)
    for fork in (False, True):
        sent = {"fork": fork, **body}
        status, problem = await ask(house, "POST", f"/v1/tasks/{task_id}/resume", json=sent)
        assert status in {404, 422}, problem
        assert problem["detail"]
    assert await house.world.history(task_id) == before
    assert len(await house.tasks()) == 1


async def test_a_reader_who_has_seen_the_end_is_answered_although_the_task_is_resumed_just_then(
    house: House,
) -> None:
    task_id = await house.submitted()
    await house.world.approve(await house.open_review(task_id))
    ended = await house.world.end(task_id)
    last = len(await house.world.history(task_id))
    await house.world.service.checkpoints.resume(task_id, LOCAL, checkpoint=1)
    await house.open_review(task_id, 2)
    service = house.world.service
    read = service.task

    async def a_moment_ago(task_id: str) -> Any:
        return ended

    service.task = a_moment_ago  # type: ignore[method-assign]  # the moment between two reads
    headers = {**await house.bearer("sam"), "Last-Event-ID": str(last)}
    async with (
        asyncio.timeout(PATIENCE),
        house.http.get(f"/v1/tasks/{task_id}/events", headers=headers) as answer,
    ):
        assert answer.status == 200
        assert b"task_rewound" in await answer.content.readuntil(b"\n\n")
    service.task = read  # type: ignore[method-assign]  # the moment between two reads


async def test_nobody_but_administrators_goes_past_a_review(house: House) -> None:
    task_id = await house.submitted()
    before = await house.world.history(task_id)
    body = {"checkpoint": 1, "node": "result"}
    for person in ("sam", "ben", "eve"):
        for fork in (False, True):
            status, _ = await ask(
                house, "POST", f"/v1/tasks/{task_id}/resume", person, json={**body, "fork": fork}
            )
            assert status == 403
        browser = await house.signed_in(person)
        form = {"checkpoint": "1", "node": "result", "how": "fork"}
        async with browser.post(f"/tasks/{task_id}/resume", data=form, headers=PAGE) as answer:
            assert answer.status == 403
    ana = await house.signed_in("ana")
    for path in (f"/tasks/{task_id}/resume", f"/v1/tasks/{task_id}/resume"):
        for origin in (
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "null"},
        ):
            async with ana.post(path, data={"checkpoint": "1", "node": "result"}, headers=origin) as answer:
                assert answer.status == 403
        async with ana.get(path, params={"checkpoint": "1"}) as answer:
            assert answer.status == 405
    async with house.http.post(f"/v1/tasks/{task_id}/resume", json=body) as answer:
        assert answer.status == 401
    assert await house.world.history(task_id) == before
    assert len(await house.tasks()) == 1


def test_of_a_long_text_the_newest_is_shown() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    said = [
        StoredEvent(task=TaskId("a" * 32), seq=seq, at=at, event=TextStreamed(node="write", text=text))
        for seq, text in enumerate(("a" * STREAMED, "the end"), 1)
    ]
    assert working(said).text == "a" * (STREAMED - len("the end")) + "the end"
