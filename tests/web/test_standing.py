"""web/standing.py: a review explained, and an answer taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from core.events import DecisionRecorded, DecisionWithdrawn
from core.model import PersonId
from core.store.policies import policy_hash
from tests.web.asking import ask
from tests.web.policy_house import STAGED
from tests.world import ANA, BEN, EVE
from web.schemas import explanation_json

if TYPE_CHECKING:
    from tests.web.policy_house import PolicyHouse


async def explained(office: PolicyHouse, task_id: str, person: str) -> Any:
    status, body = await ask(office, "GET", f"/v1/tasks/{task_id}/explain", person)
    assert status == 200
    return body


async def away(office: PolicyHouse, person: str, delegate: str | None, days: int = 1) -> None:
    until = office.world.clock.now() + timedelta(days=days)
    who = None if delegate is None else PersonId(delegate)
    await office.world.service.delegations.add(PersonId(person), who, until, by=PersonId(person))


async def test_a_fresh_review_says_all_that_there_is_to_know(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    review = await office.open_review(task_id)
    assert await explained(office, task_id, "ana") == {
        "task_id": task_id,
        "review_id": review,
        "attempt": 1,
        "outcome": "open",
        "sentence": "stage 1 of 2 · 0 of 2 approvals · waits for legal · "
        "until 2026-11-21 16:00 UTC, then rejected",
        "policy": {"name": "staged", "hash": policy_hash(STAGED)},
        "stage": 1,
        "stages": 2,
        "decided": [],
        "missing": [{"quorum": "legal", "approvals": 1, "people": ["Ana Ruiz", "Ben Okri"]}],
        "rejections": 1,
        "waits_for": ["Ana Ruiz", "Ben Okri"],
        "can_be_met": True,
        "expires_at": "2026-11-21T16:00:00Z",
        "then": "reject",
        "escalated": False,
        "timers": [
            {"kind": "reminder", "due_at": "2026-11-21T09:00:00Z"},
            {"kind": "expiry", "due_at": "2026-11-21T16:00:00Z"},
        ],
        "away": [],
        "may_decide": True,
        "decides_for": "Ana Ruiz",
        "decided_by_you": None,
        "refusal": None,
        "claims": [],
        "snoozed": [],
    }


async def test_whoever_may_not_decide_hears_why_and_who_can(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    others = "Ana Ruiz and Ben Okri can decide."
    refusals = {
        "cy": f"It is not your turn yet: stage 1 of 2 waits for legal. {others}",
        "eve": f"You are not among the reviewers of this task. {others}",
    }
    for person, refusal in refusals.items():
        told = await explained(office, task_id, person)
        assert (told["may_decide"], told["refusal"], told["decides_for"]) == (False, refusal, None)
        status, problem = await ask(
            office,
            "POST",
            f"/v1/tasks/{task_id}/decisions",
            person,
            json={"verdict": "approve", "attempt": 1},
        )
        assert problem["detail"] == refusal, "the same sentence"
        assert status == (409 if person == "cy" else 403)
        status, problem = await ask(
            office, "POST", f"/feedback/{task_id}", person, json={"feedback": "approved"}
        )
        assert problem["detail"] == refusal


async def test_not_your_turn_and_confirm_on_page_have_problems_of_their_own(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    decision = {"verdict": "approve", "attempt": 1}
    status, problem = await ask(office, "POST", f"/v1/tasks/{task_id}/decisions", "cy", json=decision)
    assert (status, problem["type"]) == (409, "urn:countersign:problem:not-your-turn")
    confirmed = await office.submitted(flow="confirm")
    status, task = await ask(office, "POST", f"/v1/tasks/{confirmed}/decisions", "ana", json=decision)
    assert (status, task["outcome"]) == (200, "approved"), "who calls with a token is signed in"


async def test_a_delegate_is_named_with_whom_they_decided_for(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    await away(office, "ana", "eve")
    told = await explained(office, task_id, "eve")
    assert (told["may_decide"], told["decides_for"]) == (True, "Ana Ruiz")
    assert [(one["person"], one["delegate_name"]) for one in told["away"]] == [("ana", "Eve Moss")]
    await office.world.approve(await office.open_review(task_id), EVE)
    told = await explained(office, task_id, "cy")
    assert [(one["name"], one["for"], one["verdict"], one["via"]) for one in told["decided"]] == [
        ("Eve Moss", "Ana Ruiz", "approve", "api")
    ]
    assert (told["stage"], told["waits_for"], told["may_decide"]) == (2, ["Cy Young"], True)
    assert (await explained(office, task_id, "ana"))["decided_by_you"] == "approve"
    assert (await explained(office, task_id, "ben"))["decided_by_you"] is None


async def test_no_draft_and_no_comment_is_explained(office: PolicyHouse) -> None:
    task_id = await office.submitted("The secret draft", flow="staged")
    await office.world.approve(await office.open_review(task_id), ANA, comment="A private remark")
    told = str(await explained(office, task_id, "eve"))
    assert "secret" not in told
    assert "private" not in told


async def test_a_closed_review_is_explained_as_it_ended(office: PolicyHouse) -> None:
    task_id = await office.submitted()
    await office.world.approve(await office.open_review(task_id))
    await office.world.end(task_id)
    told = await explained(office, task_id, "ana")
    assert (told["outcome"], told["missing"], told["timers"], told["sentence"]) == ("approved", [], [], "")
    assert told["may_decide"] is False
    assert told["refusal"].startswith("Already approved by Ana Ruiz at ")


async def test_there_is_nothing_to_explain_before_the_first_review(idle_house: PolicyHouse) -> None:
    task = await idle_house.world.submit()
    status, problem = await ask(idle_house, "GET", f"/v1/tasks/{task.id}/explain")
    assert (status, problem["detail"]) == (404, "No review of this task has been asked for yet.")
    assert (await ask(idle_house, "GET", f"/v1/tasks/{'0' * 32}/explain"))[0] == 404


async def test_an_answer_is_taken_back(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    await office.world.approve(review)
    path = f"/v1/tasks/{task_id}/decisions"
    status, task = await ask(office, "DELETE", path, "ana")
    assert (status, task["task_id"], task["status"]) == (200, task_id, "waiting_for_review")
    assert (await explained(office, task_id, "ana"))["decided"] == []
    status, problem = await ask(office, "DELETE", path, "ana")
    assert (status, problem["detail"]) == (409, "You have not decided on this review.")
    await office.world.approve(review, BEN)
    assert (await ask(office, "DELETE", path, "ana"))[0] == 409, "nobody else's"
    assert (await ask(office, "DELETE", path, "ben", params={"review_id": review}))[0] == 200
    kinds = [type(event) for event in await office.world.history(task_id)]
    assert kinds[-4:] == [DecisionRecorded, DecisionWithdrawn] * 2


async def test_a_delegate_s_answer_is_taken_back_by_either(office: PolicyHouse) -> None:
    await away(office, "ana", "eve")
    for person in ("ana", "eve"):
        task_id = await office.submitted(flow="two")
        await office.world.approve(await office.open_review(task_id), EVE)
        assert (await ask(office, "DELETE", f"/v1/tasks/{task_id}/decisions", person))[0] == 200


async def test_what_can_no_longer_be_taken_back(office: PolicyHouse) -> None:
    one, other = await office.submitted(), await office.submitted(flow="two")
    review = await office.open_review(one)
    await office.world.approve(review)
    await office.world.end(one)
    path = f"/v1/tasks/{one}/decisions"
    status, problem = await ask(office, "DELETE", path, "ana")
    assert (status, problem["type"]) == (409, "urn:countersign:problem:not-waiting")
    status, problem = await ask(office, "DELETE", path, "ana", params={"review_id": review})
    assert (status, problem["type"]) == (409, "urn:countersign:problem:review-is-closed")
    for wrong in (await office.open_review(other), "0" * 32, "nothing"):
        status, _ = await ask(office, "DELETE", path, "ana", params={"review_id": wrong})
        assert status == 404
    assert (await ask(office, "DELETE", f"/v1/tasks/{'0' * 32}/decisions", "ana"))[0] == 404
    async with office.http.delete(path) as answer:
        assert answer.status == 401


async def test_an_answer_is_changed_while_the_review_is_open(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    await office.world.approve(review)
    path = f"/v1/tasks/{task_id}/decisions"
    status, problem = await ask(office, "POST", path, "ana", json={"verdict": "approve", "attempt": 1})
    assert (status, problem["type"]) == (409, "urn:countersign:problem:already-decided")
    status, task = await ask(office, "POST", path, "ana", json={"verdict": "reject", "attempt": 1})
    assert (status, task["outcome"]) == (200, "rejected")


async def test_a_decision_that_was_carried_is_told_apart(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    await office.world.approve(await office.open_review(task_id), ANA)
    found = await office.world.service.explain(task_id, BEN.id)
    assert found
    (made,) = found.decided
    before = replace(made, at=found.review.opened_at - timedelta(hours=1))
    carried: list[Any] = [
        explanation_json(one, office.world.service.somebody)["decided"]
        for one in (found, replace(found, decided=(before,)))
    ]
    assert [one["carried"] for (one,) in carried] == [False, True]


async def test_a_reason_that_the_policy_asks_for_is_asked_for(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="why")
    review = await office.open_review(task_id)
    path = f"/v1/tasks/{task_id}/decisions"
    for comment in ({}, {"comment": "  "}):
        status, problem = await ask(
            office, "POST", path, "ana", json={"verdict": "reject", "review_id": review, **comment}
        )
        assert (status, problem["detail"]) == (
            422,
            "This policy asks for a reason: say why.",
        )
    await office.world.approve(review)
    await office.world.end(task_id)


async def test_a_rejection_among_several_that_are_needed_says_that_others_decide(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="veto")
    status, said = await ask(office, "POST", f"/feedback/{task_id}", json={"feedback": "rejected"})
    assert status == 200
    assert said["message"] == "Your decision is recorded: rejected. The review is still open for others."
