"""web/bodies.py: a body that says two things is refused, whichever of them a reader would have taken."""

from __future__ import annotations

import pytest

from tests.web.test_forms_in_parts import END, KIND, part
from tests.web.test_hostile import FORM, JSON
from tests.web.web_house import PAGE, House


def named(name: str, text: str) -> bytes:
    return part(text, f'Content-Disposition: form-data; name="{name}"')


TWICE: dict[str, tuple[str, str, bytes]] = {
    "verdict": ("decisions", FORM, b"verdict=approve&verdict=reject&attempt=1"),
    "verdict in parts": (
        "decisions",
        KIND,
        named("verdict", "approve") + named("attempt", "1") + named("verdict", "reject") + END,
    ),
    "verdict in JSON": ("decisions", JSON, b'{"verdict": "approve", "attempt": 1, "verdict": "reject"}'),
    "attempt": ("decisions", FORM, b"verdict=approve&attempt=2&attempt=1"),
    "attempt in JSON": ("decisions", JSON, b'{"verdict": "approve", "attempt": 2, "attempt": 1}'),
    "content in JSON": (
        "decisions",
        JSON,
        b'{"verdict": "edit", "attempt": 1, "content": {"a": [1]}, "content": {"a": [2]}}',
    ),
    "feedback": ("feedback", FORM, b"feedback=rejected&feedback=approved"),
    "feedback in JSON": ("feedback", JSON, b'{"feedback": "rejected", "feedback": "approved"}'),
    "comment": ("feedback", FORM, b"feedback=approved&comment=&comment=No%21"),
    "comment escaped": ("feedback", JSON, b'{"feedback": "approved", "comment": "", "\\u0063omment": "No!"}'),
}


@pytest.mark.parametrize("name", TWICE)
async def test_a_decision_that_says_two_things_is_none(house: House, name: str) -> None:
    call, kind, body = TWICE[name]
    task_id = await house.submitted()
    path = f"/feedback/{task_id}" if call == "feedback" else f"/v1/tasks/{task_id}/decisions"
    headers = {**await house.bearer("ana"), "Content-Type": kind}
    async with house.http.post(path, data=body, headers=headers) as answer:
        assert answer.status == 422
        field = name.partition(" ")[0]
        assert (await answer.json())["detail"] == f"`{field}` is said twice, and not the same: say it once."
    assert (await house.task(task_id)).review is not None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, b"feedback=approved&feedback=approved&feedback=approved"),
        (FORM, b"other=1&feedback=approved&other=2&&="),
        (KIND, named("other", "1") + named("feedback", "approved") + named("other", "2") + END),
        (JSON, b'{"feedback": "approved", "feedback": "approved"}'),
        (JSON, b'{"other": 1, "feedback": "approved", "other": {"feedback": "rejected"}}'),
    ],
)
async def test_the_same_twice_is_one_thing_and_what_is_not_known_is_passed_over(
    house: House, kind: str, body: bytes
) -> None:
    task_id = await house.submitted()
    headers = {**await house.bearer("ana"), "Content-Type": kind}
    async with house.http.post(f"/feedback/{task_id}", data=body, headers=headers) as answer:
        assert answer.status == 200
    assert (await house.task(task_id)).review is None


@pytest.mark.parametrize("kind", [FORM, JSON])
async def test_nor_is_a_task_made_of_it_or_anybody_put_off(house: House, kind: str) -> None:
    ana = {**await house.bearer("ana"), "Content-Type": kind}
    body = b'{"data": "a", "data": "b"}' if kind == JSON else b"data=a&data=b"
    async with house.http.post("/submit", data=body, headers=ana) as answer:
        assert answer.status == 422
    assert not await house.tasks()
    task_id = await house.submitted()
    body = b'{"for": "2h", "for": "20h"}' if kind == JSON else b"for=2h&for=20h"
    async with house.http.post(f"/v1/tasks/{task_id}/snoozes", data=body, headers=ana) as answer:
        assert answer.status == 422
        assert "`for` is said twice" in await answer.text()


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"9" * 4_000, b"9" * 4_001), (b"0." + b"1" * 10_000, b"0.1"), (b"1", b"1.0"), (b"1", b"true")],
    ids=["long", "fraction", "kind", "truth"],
)
async def test_numbers_are_compared_as_they_are_written(house: House, one: bytes, other: bytes) -> None:
    headers = {**await house.bearer("ana"), "Content-Type": JSON}
    body = b'{"input": [' + one + b'], "input": [' + other + b"]}"
    async with house.http.post("/v1/tasks", data=body, headers=headers) as answer:
        assert answer.status == 422
        assert "`input` is said twice" in await answer.text()
    assert not await house.tasks()


async def test_a_page_gives_back_what_was_typed(house: House) -> None:
    task_id = await house.submitted()
    browser = await house.signed_in("ana")
    body = "feedback=approved&feedback=rejected&comment=Too+long"
    headers = {**PAGE, "Content-Type": FORM}
    async with browser.post(f"/feedback/{task_id}", data=body, headers=headers) as answer:
        assert answer.status == 422
        page = await answer.text()
    assert "Too long" in page
    assert "is said twice" in page
