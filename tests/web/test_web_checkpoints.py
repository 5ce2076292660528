"""web/checkpoints.py: what a flow left behind after each node, and going on from there."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.graphs import Does, Shared, in_a_row
from tests.web.asking import ask
from tests.web.web_house import House
from tests.world import ANA, THEIRS, draft_flows, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from core.model import StoredCheckpoint
    from core.store.database import Database
    from tests.web.web_house import Houses
    from tests.world import StoppedClock


@pytest.fixture
async def admin_house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[House]:
    """One where Ana is an administrator."""
    async with (
        whole_core(sqlite_database, clock, admins={ANA.id}) as world,
        AsyncExitStack() as stack,
    ):
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


async def completed(house: House) -> str:
    """A task whose first draft was approved."""
    task_id = await house.submitted("first line\nsecond line")
    await house.world.approve(await house.open_review(task_id))
    await house.world.end(task_id)
    return task_id


async def test_every_checkpoint_is_listed(house: House) -> None:
    task_id = await completed(house)
    status, body = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints", "eve")
    assert status == 200
    listed = body["checkpoints"]
    assert [one["number"] for one in listed] == list(range(len(listed)))
    assert [one["node"] for one in listed] == [None, "process", "review", "result"]
    assert listed[1] == {
        "number": 1,
        "node": "process",
        "action": "default",
        "attempt": 1,
        "cause": listed[1]["cause"],
        "at": "2026-11-21T08:00:00Z",
        "parent": 0,
        "superseded": False,
        "following": "review",
        "changed": ["processed_output", "current_attempt"],
    }
    assert listed[2]["action"] == "approved"
    assert listed[2]["cause"] == "Approved by Ana Ruiz."
    assert listed[-1]["following"] is None


async def test_a_page_of_checkpoints_leads_to_the_one_of_earlier_ones(house: House) -> None:
    task_id = await completed(house)
    every = house.world.service.checkpoints

    class InTwos:
        async def of_task(self, task_id: str, *, before: int | None) -> Sequence[StoredCheckpoint]:
            return await every.of_task(task_id, before=before, limit=2)

    house.service.answers["checkpoints"] = InTwos()
    path = f"/v1/tasks/{task_id}/checkpoints"
    _, newest = await ask(house, "GET", path)
    _, earlier = await ask(house, "GET", f"{path}?before={newest['next_before']}")
    assert [one["number"] for page in (earlier, newest) for one in page["checkpoints"]] == [0, 1, 2, 3]
    assert (newest["next_before"], earlier["next_before"]) == (2, None)


async def test_a_checkpoint_shows_its_state_and_what_changed(house: House) -> None:
    task_id = await completed(house)
    _, listed = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints")
    status, one = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints/1")
    assert status == 200
    assert {name: one[name] for name in listed["checkpoints"][1]} == listed["checkpoints"][1]
    assert one["state"]["task_id"] == task_id
    draft = one["state"]["processed_output"]
    assert one["changes"]["processed_output"] == {"from": None, "to": draft}
    assert one["changes"]["current_attempt"] == {"from": 0, "to": 1}
    _, first = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints/0")
    assert first["changes"] == {}
    assert first["state"]["task_input"] == "first line\nsecond line"


async def test_changed_text_has_a_diff(admin_house: House) -> None:
    house = admin_house
    task_id = await completed(house)
    body = {"checkpoint": 1, "state": {"processed_output": "another\ntext", "mine": 1}}
    assert (await ask(house, "POST", f"/v1/tasks/{task_id}/resume", json=body))[0] == 200
    _, one = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints/4")
    change = one["changes"]["processed_output"]
    assert change["diff"].startswith("--- checkpoint 1\n+++ checkpoint 4\n@@")
    assert "+another" in change["diff"]
    assert one["changes"]["mine"] == {"from": None, "to": 1}
    assert (one["parent"], one["changed"]) == (1, ["processed_output", "mine"])
    _, body = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints")
    assert [one["superseded"] for one in body["checkpoints"]] == [False, False, True, True, False]


@pytest.mark.parametrize(
    "number", ["9", "-1", "x", "1.0", "%00", "\u0663", "99999999999999999999", "9" * 5000, "1;2", "%ff"]
)
async def test_an_unknown_checkpoint_is_not_found(house: House, number: str) -> None:
    task_id = await completed(house)
    assert (await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints/{number}"))[0] in {400, 404}


async def test_checkpoints_are_of_one_task_and_for_those_who_are_signed_in(house: House) -> None:
    await completed(house)
    other = "0" * 32
    assert (await ask(house, "GET", f"/v1/tasks/{other}/checkpoints"))[0] == 404
    assert (await ask(house, "GET", f"/v1/tasks/{other}/checkpoints/1"))[0] == 404
    assert (await ask(house, "GET", "/v1/tasks/nonsense/checkpoints"))[0] == 404
    async with house.http.get(f"/v1/tasks/{other}/checkpoints") as answer:
        assert answer.status == 401


async def test_an_administrator_resumes_in_place(admin_house: House) -> None:
    house = admin_house
    task_id = await completed(house)
    body = {"checkpoint": 1, "state": {"processed_output": "Mine."}}
    status, task = await ask(house, "POST", f"/v1/tasks/{task_id}/resume", json=body)
    assert (status, task["task_id"], task["status"]) == (200, task_id, "running")
    assert (task["ended_at"], task["parent"]) == (None, None)
    await house.open_review(task_id, 2)
    _, task = await ask(house, "GET", f"/v1/tasks/{task_id}")
    assert (task["status"], task["draft"], task["attempt"]) == ("waiting_for_review", "Mine.", 2)


async def test_before_the_first_node_the_flow_itself_comes_next(admin_house: House) -> None:
    house = admin_house
    task_id = await completed(house)
    _, first = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints/0")
    assert (first["node"], first["following"]) == (None, "/")
    path = f"/v1/tasks/{task_id}/resume"
    assert (await ask(house, "POST", path, json={"checkpoint": 0}))[0] == 200
    await house.open_review(task_id, 2)
    _, anew = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints/4")
    assert (anew["node"], anew["following"], anew["parent"]) == ("/", "/", 0)
    _, body = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints")
    assert [one["node"] for one in body["checkpoints"][4:]] == ["/", "process"]
    assert (await ask(house, "POST", path, json={"checkpoint": 1, "node": "/"}))[0] == 200
    await house.open_review(task_id, 3)
    _, body = await ask(house, "GET", f"/v1/tasks/{task_id}/checkpoints")
    assert [(one["node"], one["following"]) for one in body["checkpoints"][6:]] == [
        ("process", "/"),
        ("process", "review"),
    ]


async def test_a_fork_is_a_new_task_that_names_its_parent(admin_house: House) -> None:
    house = admin_house
    task_id = await completed(house)
    headers = await house.bearer("ana")
    headers = {**headers, "Idempotency-Key": "only once"}
    body = {"checkpoint": 1, "node": "result", "state": {"final_result": "Forked."}, "fork": True}
    made: set[str] = set()
    for _ in range(2):
        async with house.http.post(f"/v1/tasks/{task_id}/resume", json=body, headers=headers) as answer:
            assert answer.status == 201
            fork = await answer.json()
            assert answer.headers["Location"] == f"/v1/tasks/{fork['task_id']}"
        made.add(fork["task_id"])
    assert len(made) == 1
    assert (fork["parent"], fork["parent_checkpoint"], fork["submitter"]) == (task_id, 1, "ana")
    done = await house.world.end(fork["task_id"])
    assert done.final_result == "Forked."
    _, fork = await ask(house, "GET", f"/v1/tasks/{fork['task_id']}")
    assert fork["ended_at"] == "2026-11-21T08:00:00Z"
    assert (await house.task(task_id)).final_result != "Forked."


async def test_in_open_mode_the_person_at_the_machine_may(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, auth="open"))
    task_id = await house.submitted()
    async with house.http.post(f"/v1/tasks/{task_id}/resume", json={"checkpoint": 1}) as answer:
        assert answer.status == 200
    await house.open_review(task_id, 2)


RESUMES: list[tuple[Any, int, str]] = [
    ({}, 422, "`checkpoint` is missing."),
    ({"checkpoint": "1"}, 422, "checkpoint"),
    ({"checkpoint": True}, 422, "checkpoint"),
    ({"checkpoint": -1}, 422, "checkpoint"),
    ({"checkpoint": 10**30}, 422, "checkpoint"),
    ({"checkpoint": 1.5}, 422, "checkpoint"),
    ({"checkpoint": 9}, 404, "no checkpoint 9"),
    ({"checkpoint": 1, "forks": True}, 422, "forks"),
    ({"checkpoint": 1, "fork": "yes"}, 422, "fork"),
    ({"checkpoint": 1, "node": "nowhere"}, 422, "process, result, review"),
    ({"checkpoint": 1, "node": ""}, 422, "no node"),
    ({"checkpoint": 1, "node": "<b>\u202e"}, 422, "no node"),
    ({"checkpoint": 1, "node": "x" * 2000}, 422, "node"),
    ({"checkpoint": 3}, 422, "name the `node`"),
    ({"checkpoint": 1, "state": []}, 422, "state"),
    ({"checkpoint": 1, "state": {"processed_output": 1}}, 422, "`state.processed_output` has to be text"),
    ({"checkpoint": 1, "state": {"task_id": "0" * 32}}, 422, "cannot be changed"),
    ({"checkpoint": 1, "state": {"x": "a\0b"}}, 422, "NUL"),
    ({"checkpoint": 1, "state": {"a\0b": 1}}, 422, "NUL"),
    ([], 422, "JSON object"),
]


@pytest.mark.parametrize(("body", "status", "said"), RESUMES, ids=lambda value: str(value)[:60])
async def test_what_cannot_be_resumed_is_told_why(
    admin_house: House, body: Any, status: int, said: str
) -> None:
    house = admin_house
    task_id = await completed(house)
    before = await house.world.history(task_id)
    for fork in (False, True):
        sent = {**body, "fork": fork} if fork and isinstance(body, dict) and "fork" not in body else body
        got, problem = await ask(house, "POST", f"/v1/tasks/{task_id}/resume", json=sent)
        assert got == status, problem
        assert said in problem["detail"]
    assert await house.world.history(task_id) == before
    assert len(await house.tasks()) == 1


@pytest.mark.parametrize(
    "state",
    [
        b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"x": "\\ud800"}',
        b'{"x": NaN}',
        b'{"x": ' + b"9" * 100_000 + b"}",
        b'{"\\udfff": 1}',
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_hostile_state_is_a_problem(admin_house: House, state: bytes) -> None:
    house = admin_house
    task_id = await completed(house)
    headers = {**await house.bearer("ana"), "Content-Type": "application/json"}
    body = b'{"checkpoint": 1, "state": ' + state + b"}"
    async with house.http.post(f"/v1/tasks/{task_id}/resume", data=body, headers=headers) as answer:
        assert 400 <= answer.status < 500
        assert (await answer.json(content_type="application/problem+json"))["detail"]


async def test_only_administrators_resume(admin_house: House) -> None:
    house = admin_house
    task_id = await completed(house)
    for person in ("sam", "ben", "eve"):
        status, problem = await ask(
            house, "POST", f"/v1/tasks/{task_id}/resume", person, json={"checkpoint": 1}
        )
        assert status == 403
        assert problem["type"].endswith("not-an-admin")


async def test_a_running_task_is_not_moved(sqlite_database: Database, clock: StoppedClock) -> None:
    async with (
        whole_core(
            sqlite_database, clock, flows=draft_flows(processor=THEIRS), admins={ANA.id}, limit=0
        ) as world,
        AsyncExitStack() as stack,
    ):
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        task = await world.submit()
        path = f"/v1/tasks/{task.id}/resume"
        status, problem = await ask(house, "POST", path, json={"checkpoint": 0})
        assert (status, problem["type"].rpartition(":")[2]) == (409, "task-is-running")
        assert (await ask(house, "POST", path, json={"checkpoint": 0, "fork": True}))[0] == 201


async def test_states_and_nodes_are_data_and_nothing_else(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    evil = "<img src=x onerror=alert(1)>"

    async def work(shared: Shared) -> None:
        shared[evil] = {"</script>": evil}
        shared["final_result"] = evil

    flows = {**draft_flows(), "odd": in_a_row(Does(evil, work))}
    async with whole_core(sqlite_database, clock, flows=flows) as world, AsyncExitStack() as stack:
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        task = await world.submit(flow="odd")
        await world.end(task.id)
        async with house.http.get(
            f"/v1/tasks/{task.id}/checkpoints/1", headers=await house.bearer("ana")
        ) as answer:
            assert answer.content_type == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            one = json.loads(await answer.text())
        assert one["node"] == evil
        assert one["state"][evil] == {"</script>": evil}
