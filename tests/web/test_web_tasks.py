"""web/tasks.py: the calls of scripts and forms."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import Overloaded
from tests.web.asking import ask
from tests.web.web_house import PAGE, WHSEC
from web.parameters import preferred_wait
from web.settings import WebSettings

if TYPE_CHECKING:
    from tests.web.web_house import House, Houses
    from tests.world import StoppedClock

TASK_FIELDS = [
    "task_id",
    "flow",
    "title",
    "status",
    "outcome",
    "attempt",
    "review_id",
    "input",
    "draft",
    "final_result",
    "error",
    "submitter",
    "on_behalf_of",
    "created_at",
    "updated_at",
    "ended_at",
    "policy",
    "parent",
    "parent_checkpoint",
    "node",
    "point",
]
MOVING = {"status", "attempt", "review_id", "draft", "updated_at", "node", "point"}


@pytest.mark.parametrize(
    "how", [{"json": {"data": "hello"}}, {"data": {"data": "hello"}}], ids=["json", "form"]
)
async def test_submitting(house: House, how: dict[str, Any]) -> None:
    status, body = await ask(house, "POST", "/submit", **how)
    assert status == 202
    assert set(body) == {"message", "task_id"}
    assert (await house.task(body["task_id"])).input == "hello"


async def test_the_seed_s_call_takes_flow_policy_and_title(house: House) -> None:
    named = {"flow": "two", "policy": "two", "title": "A title", "colour": "blue"}
    status, body = await ask(house, "POST", "/submit", json={"data": "hello", **named})
    assert status == 202
    task = await house.task(body["task_id"])
    assert (task.flow, task.policy, task.title) == ("two", "two", "A title")
    status, body = await ask(house, "POST", "/submit", data={"data": "hello", "flow": "", "policy": ""})
    assert (await house.task(body["task_id"])).flow == "draft", "nothing was chosen in the form"
    for wrong in ({"flow": "nothing"}, {"policy": "two"}, {"flow": ""}, {"policy": ""}):
        status, _ = await ask(house, "POST", "/submit", json={"data": "hello", **wrong})
        assert status == 422, "what is asked for is never passed over"


@pytest.mark.parametrize("how", ["json", "data"])
async def test_an_empty_flow_is_refused_as_unknown(house: House, how: str) -> None:
    for name in ("flow", "policy"):
        sent: dict[str, Any] = {how: {"input": "hello", name: ""}}
        status, problem = await ask(house, "POST", "/v1/tasks", **sent)
        assert (status, f"{name} ''" in problem["detail"]) == (422, True)
    assert not await house.tasks()


async def test_a_browser_s_form_leads_to_the_task(house: House) -> None:
    browser = await house.signed_in("ana")
    async with browser.post(
        "/submit", data={"data": "h\u00e9llo"}, headers=PAGE, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        task_id = answer.headers["Location"].removeprefix("/tasks/")
    assert (await house.task(task_id)).input == "h\u00e9llo"


async def test_a_task_has_the_contract_s_fields(house: House) -> None:
    status, task = await ask(
        house, "POST", "/v1/tasks", json={"input": {"a": [1]}, "title": "T", "metadata": {"k": 1}}
    )
    assert status == 201
    assert list(task)[: len(TASK_FIELDS)] == TASK_FIELDS
    assert task["input"] == {"a": [1]}
    assert task["metadata"] == {"k": 1}
    assert task["created_at"] == "2026-11-21T08:00:00Z"
    _, later = await ask(house, "GET", f"/v1/tasks/{task['task_id']}")
    assert {name for name in task if later[name] != task[name]} <= MOVING


async def test_a_task_that_waits_says_where_in_its_flow(house: House) -> None:
    task_id = await house.submitted()
    await house.open_review(task_id)
    _, task = await ask(house, "GET", f"/v1/tasks/{task_id}")
    assert (task["node"], task["point"]) == ("review", "review")
    _, task = await ask(
        house, "POST", f"/v1/tasks/{task_id}/decisions", json={"verdict": "approve", "attempt": 1}
    )
    assert (task["node"], task["point"]) == (None, None)


async def test_location_names_the_new_task(house: House) -> None:
    async with house.http.post("/v1/tasks", json={"input": "x"}, headers=await house.bearer("ana")) as answer:
        body = await answer.json()
        assert answer.headers["Location"] == f"/v1/tasks/{body['task_id']}"


async def test_the_whole_round_trip(house: House) -> None:
    _, body = await ask(house, "POST", "/submit", "sam", json={"data": "hello"})
    task_id = body["task_id"]
    await house.open_review(task_id)
    rejected = {"feedback": "rejected", "comment": " why? "}
    assert (await ask(house, "POST", f"/feedback/{task_id}", json=rejected))[0] == 200
    await house.open_review(task_id, 2)
    _, task = await ask(house, "GET", f"/v1/tasks/{task_id}")
    assert (task["attempt"], task["outcome"], task["status"]) == (2, "rejected", "waiting_for_review")
    assert "why?" in task["draft"]
    status, said = await ask(
        house, "POST", f"/feedback/{task_id}", json={"feedback": "approved", "attempt": 2}
    )
    assert (status, said) == (200, {"message": "Attempt 2 is approved."})
    await house.world.end(task_id)
    _, task = await ask(house, "GET", f"/v1/tasks/{task_id}")
    assert (task["status"], task["outcome"], task["final_result"]) == ("completed", "approved", task["draft"])
    assert task["review_id"] is None


FEEDBACKS: list[tuple[dict[str, Any], int]] = [
    ({"feedback": "approve"}, 422),
    ({"feedback": ""}, 422),
    ({"feedback": None}, 422),
    ({}, 422),
    ({"feedback": "approved", "attempt": "1"}, 422),
    ({"feedback": "approved", "attempt": True}, 422),
    ({"feedback": "approved", "attempt": 0}, 422),
    ({"feedback": "approved", "attempt": 2}, 412),
    ({"feedback": "approved", "review_id": "f" * 32}, 412),
    ({"feedback": "approved", "review_id": ""}, 412),
    ({"feedback": "approved", "comment": "x" * 20_000}, 422),
    ({"feedback": "approved", "comment": "a\0b"}, 422),
    ({"feedback": "approved", "unknown": 1}, 200),
]


@pytest.mark.parametrize(("body", "status"), FEEDBACKS, ids=lambda value: str(value)[:60])
async def test_feedback_s_statuses(house: House, body: dict[str, Any], status: int) -> None:
    task_id = await house.submitted()
    assert (await ask(house, "POST", f"/feedback/{task_id}", json=body))[0] == status
    assert ((await house.task(task_id)).outcome == "approved") == (status == 200)


@pytest.mark.parametrize("path", ["/submit", "/v1/tasks", "/feedback/{id}", "/v1/tasks/{id}/decisions"])
async def test_a_body_that_is_empty_lacks_what_is_asked_for(house: House, path: str) -> None:
    """`curl -X POST` alone sends none: that is missing data, and no broken JSON."""
    path = path.format(id=await house.submitted())
    for headers in (
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ):
        async with house.http.post(path, headers={**await house.bearer("ana"), **headers}) as answer:
            assert answer.status == 422
            assert (await answer.json(content_type=None))["detail"].endswith("is missing.")


async def test_an_edit_that_leaves_nothing_is_refused(house: House) -> None:
    task_id = await house.submitted()
    for content in ("", " \n"):
        edit = {"verdict": "edit", "content": content, "attempt": 1}
        status, problem = await ask(house, "POST", f"/v1/tasks/{task_id}/decisions", json=edit)
        assert (status, problem["detail"]) == (
            422,
            "The edit leaves nothing of the draft; reject it instead.",
        )


async def test_a_form_s_attempt_is_a_number(house: House) -> None:
    task_id = await house.submitted()
    form = {"feedback": "approved", "attempt": "1", "comment": ""}
    assert (await ask(house, "POST", f"/feedback/{task_id}", data=form))[0] == 200


async def test_who_may_not_decide_is_told_why(house: House) -> None:
    task_id = await house.submitted()
    status, problem = await ask(house, "POST", f"/feedback/{task_id}", "sam", json={"feedback": "approved"})
    assert status == 403
    assert problem["type"].endswith("not-a-reviewer")
    assert "reviewers" in problem["detail"]


async def test_a_second_decision_is_refused(house: House) -> None:
    task_id = await house.submitted()
    review = await house.open_review(task_id)
    assert (await ask(house, "POST", f"/feedback/{task_id}", json={"feedback": "approved"}))[0] == 200
    for body in ({"feedback": "approved"}, {"feedback": "rejected", "review_id": review}):
        assert (await ask(house, "POST", f"/feedback/{task_id}", "ben", json=body))[0] == 409


async def test_deciding_twice_while_the_review_is_open_is_refused(house: House) -> None:
    task_id = await house.submitted(flow="two")
    status, said = await ask(house, "POST", f"/feedback/{task_id}", json={"feedback": "approved"})
    assert status == 200
    assert "More approvals are needed" in said["message"]
    assert (await ask(house, "POST", f"/feedback/{task_id}", json={"feedback": "approved"}))[0] == 409
    status, said = await ask(house, "POST", f"/feedback/{task_id}", "ben", json={"feedback": "approved"})
    assert (status, said["message"]) == (200, "Attempt 1 is approved.")


async def test_what_does_not_wait_cannot_be_decided(idle_house: House) -> None:
    task = await idle_house.world.submit()
    status, problem = await ask(idle_house, "POST", f"/feedback/{task.id}", json={"feedback": "approved"})
    assert status == 409
    assert "pending" in problem["detail"]


async def test_a_review_of_another_task_cannot_be_decided_through_this_one(house: House) -> None:
    mine, other = await house.submitted(), await house.submitted()
    body = {"verdict": "approve", "review_id": await house.open_review(other)}
    assert (await ask(house, "POST", f"/v1/tasks/{mine}/decisions", json=body))[0] == 412
    assert (await house.task(other)).status == "waiting_for_review"


DECISIONS: list[tuple[dict[str, Any], int]] = [
    ({"verdict": "approve", "attempt": 1}, 200),
    ({"verdict": "reject", "attempt": 1, "comment": "no"}, 200),
    ({"verdict": "approve"}, 422),
    ({"verdict": "approved", "attempt": 1}, 422),
    ({"verdict": "edit", "attempt": 1, "content": "x", "comment": "so"}, 200),
    ({"verdict": "edit", "content": "x"}, 422),
    ({"verdict": "edit", "attempt": 1}, 422),
    ({"verdict": "edit", "attempt": 1, "content": None}, 422),
    ({"verdict": "edit", "attempt": 1, "content": {"a": "x"}}, 422),
    ({"verdict": "edit", "attempt": 1, "content": "a\0b"}, 422),
    ({"verdict": "edit", "attempt": 2, "content": "x"}, 412),
    ({"verdict": "approve", "attempt": 1, "content": "x"}, 422),
    ({"verdict": "reject", "attempt": 1, "content": "x"}, 422),
    ({"verdict": "approve", "attempt": 1, "comments": "typo"}, 422),
    ({"verdict": "approve", "attempt": 2}, 412),
    ({"verdict": "approve", "review_id": "0" * 32, "attempt": 1}, 412),
]


@pytest.mark.parametrize(("body", "status"), DECISIONS, ids=str)
async def test_decisions(house: House, body: dict[str, Any], status: int) -> None:
    task_id = await house.submitted()
    got, answer = await ask(house, "POST", f"/v1/tasks/{task_id}/decisions", json=body)
    assert got == status
    if status == 200:
        assert answer["task_id"] == task_id
        assert answer["outcome"] == ("rejected" if body["verdict"] == "reject" else "approved")
    else:
        assert answer["detail"].endswith(".")


async def test_a_wrong_verdict_is_told_what_is_possible(house: House) -> None:
    task_id = await house.submitted()
    body = {"verdict": "maybe", "attempt": 1}
    status, problem = await ask(house, "POST", f"/v1/tasks/{task_id}/decisions", json=body)
    assert status == 422
    assert "'approve', 'reject' or 'edit'" in problem["detail"]
    assert (await house.task(task_id)).status == "waiting_for_review"


async def test_an_edit_becomes_the_result(house: House) -> None:
    task_id = await house.submitted()
    body = {"verdict": "edit", "attempt": 1, "content": "My own words.", "comment": "Shorter."}
    assert (await ask(house, "POST", f"/v1/tasks/{task_id}/decisions", json=body))[0] == 200
    await house.world.end(task_id)
    _, task = await ask(house, "GET", f"/v1/tasks/{task_id}")
    assert (task["status"], task["outcome"], task["final_result"]) == (
        "completed",
        "approved",
        "My own words.",
    )
    assert task["ended_at"] == "2026-11-21T08:00:00Z"


async def test_where_several_must_agree_an_edit_is_the_next_attempt(house: House) -> None:
    task_id = await house.submitted(flow="two")
    path = f"/v1/tasks/{task_id}/decisions"
    body: dict[str, Any] = {"verdict": "edit", "attempt": 1, "content": "Mine."}
    status, task = await ask(house, "POST", path, json=body)
    assert (status, task["outcome"]) == (200, None)
    await house.open_review(task_id, 2)
    _, task = await ask(house, "GET", f"/v1/tasks/{task_id}")
    assert (task["status"], task["attempt"], task["draft"]) == ("waiting_for_review", 2, "Mine.")
    for person in ("ana", "ben"):
        body = {"verdict": "approve", "attempt": 2}
        assert (await ask(house, "POST", path, person, json=body))[0] == 200
    assert (await house.world.end(task_id)).final_result == "Mine."


async def test_an_edit_that_changes_nothing_is_refused(house: House) -> None:
    task_id = await house.submitted()
    draft = (await house.task(task_id)).draft
    body = {"verdict": "edit", "attempt": 1, "content": draft}
    status, problem = await ask(house, "POST", f"/v1/tasks/{task_id}/decisions", json=body)
    assert status == 422
    assert "as it is" in problem["detail"]


async def test_the_seed_s_call_takes_no_edit(house: House) -> None:
    task_id = await house.submitted()
    for word in ("edit", "edited"):
        body = {"feedback": word, "content": "x"}
        status, problem = await ask(house, "POST", f"/feedback/{task_id}", json=body)
        assert status == 422
        assert "'approved' or 'rejected'" in problem["detail"]


async def test_only_its_submitter_cancels_and_only_once(house: House) -> None:
    task_id = await house.submitted()
    path = f"/v1/tasks/{task_id}/cancel"
    assert (await ask(house, "POST", path, "ana"))[0] == 403
    status, task = await ask(house, "POST", path, "sam")
    assert (status, task["status"]) == (200, "cancelled")
    assert (await ask(house, "POST", path, "sam"))[0] == 409


async def test_the_same_key_gives_the_first_task(house: House) -> None:
    keyed: dict[str, Any] = {"headers": {"Idempotency-Key": "k-1"}}
    first = await ask(house, "POST", "/v1/tasks", json={"input": "x"}, **keyed)
    again = await ask(house, "POST", "/v1/tasks", json={"input": "x"}, **keyed)
    assert (again[0], again[1]["task_id"]) == (201, first[1]["task_id"])
    assert (await ask(house, "POST", "/v1/tasks", json={"input": "y"}, **keyed))[0] == 422
    assert (await ask(house, "POST", "/v1/tasks", "ben", json={"input": "x"}, **keyed))[1][
        "task_id"
    ] != first[1]["task_id"]
    assert (await ask(house, "POST", "/submit", json={"data": "x"}, **keyed))[1]["task_id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00e4", "a\tb"])
async def test_a_key_is_a_plain_word(house: House, key: str) -> None:
    status, _ = await ask(house, "POST", "/submit", json={"data": "x"}, headers={"Idempotency-Key": key})
    assert status == 422


@pytest.mark.parametrize(("second", "expected"), [("k-1", 201), ("k-2", 422)])
async def test_two_keys_are_one_only_where_they_are_the_same(
    house: House, second: str, expected: int
) -> None:
    headers = [*(await house.bearer("sam")).items(), ("Idempotency-Key", "k-1"), ("Idempotency-Key", second)]
    async with house.http.post("/v1/tasks", json={"input": "x"}, headers=headers) as answer:
        assert answer.status == expected, await answer.text()


async def test_prefer_wait_answers_once_it_waits_for_review(house: House) -> None:
    headers = {**await house.bearer("sam"), "Prefer": "respond-async, wait=60"}
    async with (
        asyncio.timeout(55),  # and not only because the wait is over
        house.http.post("/v1/tasks", json={"input": "x"}, headers=headers) as answer,
    ):
        assert answer.headers["Preference-Applied"] == "wait=60"
        task = await answer.json()
    assert task["status"] == "waiting_for_review"
    assert task["draft"]


async def test_prefer_wait_is_bounded(idle_house: House) -> None:
    how: dict[str, Any] = {"headers": {"Prefer": "wait=1"}}
    status, task = await ask(idle_house, "POST", "/v1/tasks", json={"input": "x"}, **how)
    assert (status, task["status"]) == (201, "pending")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", 5),
        ("Wait=5", 5),
        ("wait=999999", 60),
        ("wait=9999999", 60),
        (f"wait={'9' * 4000}", 60),
        (f"wait={'9' * 5000}", 0),
        ("wait=0", 0),
        ("wait=x", 0),
        ("await=3", 0),
        ("foo; wait=2", 2),
    ],
)
def test_preferred_wait(header: str, seconds: int) -> None:
    class Asked:
        class headers:  # noqa: N801 - an attribute of the request's
            @staticmethod
            def getall(_name: str, _default: object) -> list[str]:
                return [header]

    assert preferred_wait(Asked()) == seconds  # type: ignore[arg-type]  # all that it reads


async def test_pages_of_tasks(house: House, clock: StoppedClock) -> None:
    ids = []
    for number in range(5):
        ids.append(await house.submitted(f"task {number}"))
        clock.advance(seconds=1)
    _, first = await ask(house, "GET", "/v1/tasks?limit=3")
    assert [task["task_id"] for task in first["tasks"]] == ids[:1:-1]
    _, second = await ask(house, "GET", f"/v1/tasks?limit=3&cursor={first['next_cursor']}")
    assert [task["task_id"] for task in second["tasks"]] == ids[1::-1]
    assert second["next_cursor"] is None
    assert len((await ask(house, "GET", "/v1/tasks?limit=200"))[1]["tasks"]) == 5
    assert (await ask(house, "GET", "/v1/tasks?status=completed"))[1]["tasks"] == []
    assert len((await ask(house, "GET", "/v1/tasks?submitter=sam&flow=&status="))[1]["tasks"]) == 5


@pytest.mark.parametrize(
    "query",
    [
        "status=done",
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=\u0663",
        "limit=1e9",
        "cursor=nonsense",
        "cursor=%00",
        "submitter=%00",
        "flow=" + "x" * 600,
        "status=%ed%a0%80",
    ],
)
async def test_wrong_queries_are_refused(house: House, query: str) -> None:
    assert (await ask(house, "GET", f"/v1/tasks?{query}"))[0] == 422


@pytest.mark.parametrize("task_id", ["0" * 32, "nonsense", "%00", "%ff", "a" * 5000, "\u0663", "a;b"])
async def test_an_unknown_task_is_not_found(house: House, task_id: str) -> None:
    for method, path in [
        ("GET", "/v1/tasks/{}"),
        ("GET", "/tasks/{}"),
        ("GET", "/stream/{}"),
        ("POST", "/v1/tasks/{}/cancel"),
        ("GET", "/v1/tasks/{}/checkpoints"),
        ("GET", "/v1/tasks/{}/checkpoints/1"),
        ("GET", "/tasks/{}/checkpoints/1"),
    ]:
        assert (await ask(house, method, path.format(task_id)))[0] in {404, 405}
    for path, body in [
        ("/feedback/{}", {"feedback": "approved"}),
        ("/v1/tasks/{}/decisions", {"verdict": "approve", "attempt": 1}),
        ("/tasks/{}/edit", {"content": "x", "review_id": "0" * 32}),
    ]:
        assert (await ask(house, "POST", path.format(task_id), json=body))[0] == 404


async def test_too_much_work_is_refused_with_a_time(house: House) -> None:
    house.service.fault = Overloaded("10,000 tasks are waiting for the database.")
    headers = await house.bearer("ana")
    async with house.http.post("/submit", json={"data": "x"}, headers=headers) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


CALLBACKS = [
    ("https://hooks.example/path?token=1", 201),
    ("https://8.8.8.8/", 201),
    ("http://localhost:9/x", 201),
    ("http://hooks.example/", 422),
    ("https://10.0.0.1/", 422),
    ("https://user:pw@hooks.example/", 422),
    ("ftp://hooks.example/", 422),
    ("", 422),
]


@pytest.mark.parametrize(("url", "status"), CALLBACKS)
async def test_callbacks_are_checked_when_they_are_handed_in(houses: Houses, url: str, status: int) -> None:
    house = await houses(
        WebSettings.model_validate({"port": 0, "webhook_secret": WHSEC, "webhook_allow": "localhost"})
    )
    got, body = await ask(house, "POST", "/v1/tasks", json={"input": "x", "callback_url": url})
    assert got == status
    assert "callback_url" not in body


async def test_callbacks_need_a_secret_that_signs_them(house: House) -> None:
    status, problem = await ask(
        house, "POST", "/v1/tasks", json={"input": "x", "callback_url": "https://hooks.example/"}
    )
    assert status == 422
    assert "COUNTERSIGN_WEBHOOK_SECRET" in problem["detail"]


async def test_no_get_changes_anything(house: House) -> None:
    task_id = await house.submitted()
    review = await house.open_review(task_id)
    browser = await house.signed_in("ana")
    before = (await house.tasks(), await house.world.history(task_id))
    resources = {route.resource for route in house.server.app.router.routes() if route.resource}
    for path in {resource.canonical for resource in resources}:
        if path in {"/stream/{task_id}", "/v1/tasks/{task_id}/events"}:
            continue
        filled = path.replace("{task_id}", task_id).replace("{name}", "ci")
        for query in ("", f"?feedback=approved&review_id={review}&verdict=approve&data=x&token=x"):
            async with browser.get(filled + query, headers=PAGE) as answer:
                assert answer.status < 500
    assert (await house.tasks(), await house.world.history(task_id)) == before
