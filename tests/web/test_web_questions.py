"""web/questions.py: a reviewer asks, the submitter answers, by API and by the pages' forms."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.events import QuestionAnswered, QuestionAsked
from tests.web.asking import ask
from tests.web.reading import posted, seen
from tests.world import ANA, EVE

if TYPE_CHECKING:
    from core.events import Event
    from tests.web.policy_house import PolicyHouse


async def said(office: PolicyHouse, task_id: str) -> list[Event]:
    history = await office.world.history(task_id)
    return [event for event in history if isinstance(event, (QuestionAsked, QuestionAnswered))]


async def test_a_script_asks_and_another_answers(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    path = f"/v1/tasks/{task_id}"
    status, asked = await ask(office, "POST", f"{path}/questions", json={"text": " Which customer? "})
    assert status == 201
    assert asked == {
        "question_id": asked["question_id"],
        "task_id": task_id,
        "review_id": review,
        "text": "Which customer?",
        "person": "ana",
        "name": "Ana Ruiz",
        "via": "api",
        "at": "2026-11-21T08:00:00Z",
        "answer": None,
    }
    status, answered = await ask(office, "POST", f"{path}/answers", "sam", json={"text": "Acme."})
    assert status == 201
    assert answered["answer"] == {
        "text": "Acme.",
        "person": "sam",
        "name": "Sam Lee",
        "via": "api",
        "at": "2026-11-21T08:00:00Z",
    }
    assert await ask(office, "GET", f"{path}/questions", "eve") == (200, {"questions": [answered]})
    assert (await office.task(task_id)).status == "waiting_for_review"


async def test_a_repeated_request_asks_once(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    await office.open_review(task_id)
    path, key = f"/v1/tasks/{task_id}/questions", {"Idempotency-Key": "once"}
    first = await ask(office, "POST", path, json={"text": "Why?"}, headers=key)
    assert await ask(office, "POST", path, json={"text": "Why?"}, headers=key) == first
    status, problem = await ask(office, "POST", path, json={"text": "How?"}, headers=key)
    assert (status, problem["type"]) == (422, "urn:countersign:problem:key-reused")
    assert (await ask(office, "POST", path, "ben", json={"text": "Why?"}, headers=key))[0] == 201
    assert len(await said(office, task_id)) == 2


@pytest.mark.parametrize(
    ("person", "body", "status"),
    [
        ("sam", {"text": "Why?"}, 403),
        ("eve", {"text": "Why?"}, 403),
        ("ana", {"text": "   "}, 422),
        ("ana", {"text": "x" * 10_001}, 422),
        ("ana", {"text": "a\u0000b"}, 422),
        ("ana", {}, 422),
        ("ana", {"text": 5}, 422),
        ("ana", {"text": "Why?", "verdict": "approve"}, 422),
        ("ana", {"text": "Why?", "review_id": "a" * 32}, 412),
    ],
)
async def test_what_is_no_question_is_refused(
    office: PolicyHouse, person: str, body: dict[str, object], status: int
) -> None:
    task_id = await office.submitted(flow="two")
    await office.open_review(task_id)
    found, problem = await ask(office, "POST", f"/v1/tasks/{task_id}/questions", person, json=body)
    assert found == status
    assert problem["detail"]
    assert await said(office, task_id) == []


async def test_which_question_is_answered_has_to_be_clear(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    await office.open_review(task_id)
    questions, answers = f"/v1/tasks/{task_id}/questions", f"/v1/tasks/{task_id}/answers"
    assert (await ask(office, "POST", answers, "sam", json={"text": "So."}))[0] == 404
    _, first = await ask(office, "POST", questions, json={"text": "One?"})
    _, second = await ask(office, "POST", questions, "ben", json={"text": "Two?"})
    status, problem = await ask(office, "POST", answers, "sam", json={"text": "So."})
    assert (status, problem["detail"]) == (422, "2 questions wait for an answer; name the `question_id`.")
    named = {"text": "So.", "question_id": second["question_id"]}
    assert (await ask(office, "POST", answers, "ben", json=named))[0] == 403
    assert (await ask(office, "POST", answers, "sam", json=named))[0] == 201
    assert (await ask(office, "POST", answers, "sam", json=named))[0] == 201, "the same again"
    assert (await ask(office, "POST", answers, "sam", json={**named, "text": "No."}))[0] == 409
    _, other = await ask(office, "POST", answers, "sam", json={"text": "First."})
    assert other["question_id"] == first["question_id"]
    assert (await ask(office, "POST", questions, json={"text": "Three?"}))[0] == 201
    await office.world.reject(await office.open_review(task_id))
    await office.open_review(task_id, 2)
    status, problem = await ask(office, "POST", answers, "sam", json={"text": "Late."})
    assert (status, problem["detail"]) == (404, "No question about this task waits for an answer.")
    elsewhere = await office.submitted(flow="two")
    await office.open_review(elsewhere)
    status, _ = await ask(office, "POST", f"/v1/tasks/{elsewhere}/answers", "sam", json=named)
    assert status == 404, "of another task"


async def test_after_the_decision_nothing_is_asked_or_answered(office: PolicyHouse) -> None:
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    _, asked = await ask(office, "POST", f"/v1/tasks/{task_id}/questions", json={"text": "Why?"})
    decided = {"verdict": "approve", "review_id": review}
    assert (await ask(office, "POST", f"/v1/tasks/{task_id}/decisions", json=decided))[0] == 200
    late = {"text": "So.", "question_id": asked["question_id"]}
    assert (await ask(office, "POST", f"/v1/tasks/{task_id}/answers", "sam", json=late))[0] == 409
    assert (await ask(office, "POST", f"/v1/tasks/{task_id}/questions", json={"text": "Why?"}))[0] == 409
    assert (await ask(office, "GET", "/v1/tasks/nonsense/questions"))[0] == 404


async def test_on_the_page_without_scripts(office: PolicyHouse) -> None:
    sam, ana, ben = [await office.signed_in(person) for person in ("sam", "ana", "ben")]
    task_id = await office.submitted(flow="staged")
    review = await office.open_review(task_id)
    page = await seen(sam, f"/tasks/{task_id}")
    assert "Ask Sam Lee something" not in page.text, "nobody asks themselves"
    page = await seen(ana, f"/tasks/{task_id}")
    assert "Ask Sam Lee something" in page.text
    hostile = "<script>alert(1)</script> & \u202ewhy?"
    where = await posted(ana, f"/tasks/{task_id}/ask", text=hostile, review_id=review)
    assert where == f"/tasks/{task_id}"
    (asked,) = await office.world.store.questions(task_id)

    inbox = await seen(sam, "/inbox")
    assert "Questions about your tasks" in inbox.text
    assert "Questions about your tasks" not in (await seen(ana, "/inbox")).text
    page = await seen(sam, f"/tasks/{task_id}")
    assert "Your answer" in page.text
    assert "U+202E" in page.text
    assert "Your answer" not in (await seen(ben, f"/tasks/{task_id}")).text
    await posted(sam, f"/tasks/{task_id}/answer", text="Because.", question_id=asked.id)
    page = await seen(ben, f"/tasks/{task_id}")
    assert "Because." in page.text
    assert "Sam Lee answers" in " ".join(page.text.split())
    assert "Questions about your tasks" not in (await seen(sam, "/inbox")).text


async def test_the_page_offers_no_answer_to_an_administrator_who_asked(office: PolicyHouse) -> None:
    ana, eve = [await office.signed_in(person) for person in ("ana", "eve")]
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    await posted(ana, f"/tasks/{task_id}/ask", text="Which customer?", review_id=review)
    assert "Your answer" in (await seen(eve, f"/tasks/{task_id}")).text
    until = office.world.clock.now() + timedelta(days=1)
    await office.world.service.delegations.add(ANA.id, EVE.id, until, by=ANA.id)
    await posted(eve, f"/tasks/{task_id}/ask", text="And by when?", review_id=review)
    page = (await seen(eve, f"/tasks/{task_id}")).text
    assert (page.count("Your answer"), page.count("No answer yet.")) == (1, 1)


async def test_the_timeline_keeps_the_conversation(office: PolicyHouse) -> None:
    ana = await office.signed_in("ana")
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    await ask(office, "POST", f"/v1/tasks/{task_id}/questions", json={"text": "Which customer?"})
    await ask(office, "POST", f"/v1/tasks/{task_id}/answers", "sam", json={"text": "Acme."})
    await ask(
        office, "POST", f"/v1/tasks/{task_id}/decisions", json={"verdict": "approve", "review_id": review}
    )
    page = " ".join((await seen(ana, f"/tasks/{task_id}")).text.split())
    story = ["Ana Ruiz asks Sam Lee:", "Which customer?", "Sam Lee answers Ana Ruiz:", "Acme."]
    places = [page.index(words) for words in story]
    assert places == sorted(places)


async def test_a_form_of_another_site_asks_nothing(office: PolicyHouse) -> None:
    ana = await office.signed_in("ana")
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    for path in ("ask", "answer"):
        async with ana.post(
            f"/tasks/{task_id}/{path}",
            data={"text": "Why?", "review_id": review, "question_id": "a" * 32},
            headers={"Sec-Fetch-Site": "cross-site"},
        ) as answer:
            assert answer.status == 403
    assert await said(office, task_id) == []
