"""The task's page and the inbox where policies ask for more than one approval."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.events import DecisionsCarried, ReviewRequested
from core.model import PersonId, StoredEvent, TaskId, Verdict
from core.store.policies import policy_hash
from tests.web.policy_house import POLICIES
from tests.web.reading import HOSTILE, Seen, posted, seen, words
from tests.web.web_house import PAGE
from tests.world import ANA, BEN, CY, EVE
from web.pages.trail import timeline
from web.settings import WebSettings

if TYPE_CHECKING:
    from tests.web.policy_house import PolicyHouse
    from tests.web.web_house import Houses


async def page_of(office: PolicyHouse, task_id: str, person: str) -> Seen:
    return await seen(await office.signed_in(person), f"/tasks/{task_id}")


async def away(office: PolicyHouse, person: str, delegate: str | None) -> None:
    until = office.world.clock.now() + timedelta(days=1)
    who = None if delegate is None else PersonId(delegate)
    await office.world.service.delegations.add(PersonId(person), who, until, by=PersonId(person))


def actions(page: Seen) -> set[str]:
    """What the page offers, but for what decides nothing, and for Eve's power as an administrator."""
    found = {str(form["action"]).rsplit("/", 1)[1] for form in page.all("form")}
    return found - {"sign-out", "claim", "release", "snooze", "wake", "ask", "answer", "cancel"}


async def test_a_closed_review_names_the_policy_that_approved_it_at_the_deadline(
    office: PolicyHouse,
) -> None:
    task_id = await office.submitted(flow="late")
    await office.open_review(task_id)
    await office.later(8)
    page = words(await page_of(office, task_id, "sam"))
    assert f"· policy late {policy_hash(POLICIES['late'])}" in page
    assert "Not decided in time, so its policy made it approved." in page


async def test_what_does_not_count_any_more_says_so_wherever_it_stands(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="dropping")
    await office.world.approve(await office.open_review(task_id), ANA)
    (known,) = await office.world.service.reviews(task_id)
    without = replace(known.policy, reviewers=(BEN.id, CY.id))
    office.in_force["dropping"] = without
    page = words(await page_of(office, task_id, "sam"))
    assert page.count("Ana Ruiz: approved, which does not count any more") == 1, "in the panel"
    assert page.count("Approved by Ana Ruiz, which does not count any more") == 1, "on the timeline"
    async with office.http.get(f"/v1/tasks/{task_id}/explain", headers=await office.bearer("sam")) as answer:
        explained = await answer.json()
    assert explained["sentence"].startswith("0 of 2 approvals")
    assert [(one["counts"], one["carried"]) for one in explained["decided"]] == [(False, False)]


async def test_where_nobody_can_decide_the_panel_says_why_and_what_helps(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="dropping")
    (known,) = await office.world.service.reviews(task_id)
    office.in_force["dropping"] = replace(known.policy, reviewers=())
    page = words(await page_of(office, task_id, "sam"))
    assert "Those who may still decide are too few for what the policy asks. To go on, bring back" in page
    assert "more people or an escalation, or cancel it." in page


async def test_the_panel_says_who_is_missing_until_when_and_what_then(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    page = words(await page_of(office, task_id, "sam"))
    assert "Where it stands Stage 1 of 2" in page
    assert "Missing 1 approval of legal: Ana Ruiz or Ben Okri" in page
    assert "Until 21 Nov 2026, 16:00:00 UTC, then rejected" in page
    assert "Reminder 21 Nov 2026, 09:00:00 UTC" in page
    assert "Policy staged" in page
    await away(office, "ana", "eve")
    assert "Away Ana Ruiz until 22 Nov 2026, 08:00:00 UTC; Eve Moss decides instead" in words(
        await page_of(office, task_id, "sam")
    )
    await office.world.approve(await office.open_review(task_id), EVE)
    page = words(await page_of(office, task_id, "sam"))
    assert "Stage 2 of 2 Decided Eve Moss for Ana Ruiz: approved Missing 1 approval of ops: Cy Young" in page
    assert "Approved by Eve Moss for Ana Ruiz" in page, "on the timeline"


async def test_who_may_not_decide_reads_why_and_who_can(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    cy = await page_of(office, task_id, "cy")
    not_yet = "It is not your turn yet: stage 1 of 2 waits for legal. Ana Ruiz and Ben Okri can decide."
    assert not_yet in words(cy)
    assert actions(cy) == set()
    sam = await page_of(office, task_id, "sam")
    assert "You are not among the reviewers of this task. Ana Ruiz and Ben Okri can decide." in words(sam)


async def test_a_delegate_has_the_buttons_and_reads_for_whom(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    assert actions(await page_of(office, task_id, "eve")) == set()
    await away(office, "ana", "eve")
    page = await page_of(office, task_id, "eve")
    assert page.buttons() == {"approved", "rejected"}
    assert "You decide for Ana Ruiz, who is away." in words(page)
    eve = await office.signed_in("eve")
    inbox = await seen(eve, "/inbox")
    assert "For Ana Ruiz, who is away." in words(inbox)
    assert (
        await posted(eve, f"/feedback/{task_id}", feedback="approved", comment="", back="inbox") == "/inbox"
    )
    assert "Nothing waits for you." in words(await seen(eve, "/inbox"))
    assert "You have approved this for Ana Ruiz." in words(await page_of(office, task_id, "eve"))
    assert "Eve Moss has approved this for you." in words(await page_of(office, task_id, "ana"))


async def test_whoever_decides_is_told_that_it_cannot_be_undone(office: PolicyHouse) -> None:
    said = "What follows an approval cannot be undone."
    assert said in words(await page_of(office, await office.submitted(flow="destructive"), "ana"))
    assert said not in words(await page_of(office, await office.submitted(), "ana"))


async def test_an_answer_is_withdrawn_and_changed_by_forms(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    path = f"/tasks/{task_id}"
    ana = await office.signed_in("ana")
    assert "withdraw" not in actions(await seen(ana, path))
    await posted(ana, f"/feedback/{task_id}", feedback="approved", comment="Well done.")
    page = await seen(ana, path)
    assert actions(page) == {"withdraw", "edit", task_id}
    assert page.buttons() == {"rejected", "approved"}, "the same with another reason"
    assert {"Withdraw my decision", "Reject instead", "Give another reason"} <= set(page.text.split("\n"))
    review = await office.open_review(task_id)
    assert await posted(ana, f"{path}/withdraw", review_id=review) == path
    page = await seen(ana, path)
    assert page.buttons() == {"approved", "rejected"}
    assert "Approved by Ana Ruiz, which does not count any more." in words(page)
    assert "The decision of Ana Ruiz was taken back." in words(page)
    assert "Well done." in page.text
    async with ana.post(f"{path}/withdraw", data={"review_id": review}, headers=PAGE) as answer:
        assert answer.status == 409
        assert "You have not decided on this review." in await answer.text()
    await posted(ana, f"/feedback/{task_id}", feedback="approved", comment="")
    page = await seen(ana, path)
    assert words(page).index("which does not count any more") < words(page).index("was taken back")
    assert words(page).rindex("Approved by Ana Ruiz") > words(page).index("was taken back")
    await posted(ana, f"/feedback/{task_id}", feedback="rejected", comment="On second thoughts, no.")
    await office.open_review(task_id, 2)
    assert "Rejected by Ana Ruiz" in words(await seen(ana, path))


async def test_a_withdrawal_comes_from_our_own_pages(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    await office.world.approve(review)
    ana = await office.signed_in("ana")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        async with ana.post(
            f"/tasks/{task_id}/withdraw", data={"review_id": review}, headers=headers
        ) as answer:
            assert answer.status == 403
    async with ana.get(f"/tasks/{task_id}/withdraw") as answer:
        assert answer.status == 405
    assert len((await office.world.service.review(review)).decisions) == 1


@pytest.mark.parametrize(
    ("flow", "label", "required", "approve_is_free"),
    [
        ("draft", "(optional)", False, False),
        ("why", "(required to reject)", True, True),
        ("always", "(required)", True, False),
    ],
)
async def test_a_form_asks_for_the_reason_that_the_policy_asks_for(
    office: PolicyHouse, flow: str, label: str, required: bool, approve_is_free: bool
) -> None:
    task_id = await office.submitted(flow=flow)
    ana = await office.signed_in("ana")
    for path in (f"/tasks/{task_id}", "/inbox"):
        page = await seen(ana, path)
        fields = [f for f in page.all("textarea") + page.all("input") if f.get("name") == "comment"]
        decide = next(f for f in fields if str(f["id"]).startswith("comment-"))
        edit = next(f for f in fields if str(f["id"]).startswith("why-"))
        assert ("required" in decide, "required" in edit) == (required, flow == "always")
        assert label in page.text
        approve = next(b for b in page.all("button") if b.get("value") == "approved")
        reject = next(b for b in page.all("button") if b.get("value") == "rejected")
        assert ("formnovalidate" in approve, "formnovalidate" in reject) == (approve_is_free, False)


async def test_quick_reasons_are_offered(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="why")
    page = await page_of(office, task_id, "ana")
    field = next(f for f in page.all("input") if f.get("name") == "comment")
    offered = page.all("datalist")
    assert [one["id"] for one in offered] == [field["list"]]
    assert [option["value"] for option in page.all("option")] == ["Too long", 'Say "so"']


async def test_a_missing_reason_is_a_sentence(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="why")
    ana = await office.signed_in("ana")
    form = {"feedback": "rejected", "comment": "   "}
    async with ana.post(f"/feedback/{task_id}", data=form, headers=PAGE) as answer:
        assert answer.status == 422
        assert "This policy asks for a reason: say why." in await answer.text()
    assert await posted(ana, f"/feedback/{task_id}", feedback="approved", comment="")


async def test_the_timeline_tells_what_happened_while_a_review_waited(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    await office.later(hours=1.5)
    page = words(await page_of(office, task_id, "sam"))
    assert "Reminded: Ana Ruiz, Ben Okri." in page
    await office.later(hours=8)
    await office.world.end(task_id)
    page = words(await page_of(office, task_id, "sam"))
    assert "Not decided in time, so its policy made it expired." in page
    assert page.index("Reminded:") < page.index("Not decided")
    assert "Where it stands" not in page


async def test_an_escalation_is_told_and_lets_more_people_decide(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="wider")
    assert "Nothing waits for you." in words(await seen(await office.signed_in("eve"), "/inbox"))
    await office.later(hours=3)
    page = words(await page_of(office, task_id, "sam"))
    assert "Escalated: " in page
    assert "Eve Moss may decide, too." in page
    assert "Missing 2 approvals: Ana Ruiz, Ben Okri or Eve Moss" in page
    inbox = words(await seen(await office.signed_in("eve"), "/inbox"))
    assert "hello" in inbox
    assert "until 21 Nov 2026, 16:00:00 UTC" in inbox


async def test_approvals_that_are_carried_come_first(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    first = await office.open_review(task_id)
    await office.world.approve(first, ANA)
    await office.world.reject(first, BEN)
    second = await office.open_review(task_id, 2)
    carried = (await office.world.service.review(first)).decisions[:1]
    events = list(await office.world.store.events(task_id, 0))
    now = office.world.clock.now()
    told = DecisionsCarried(review=second, reviewers=["Ana Ruiz"])
    events.append(StoredEvent(task=TaskId(task_id), seq=events[-1].seq + 1, at=now, event=told))
    reviews = list(await office.world.service.reviews(task_id))
    reviews[1] = replace(reviews[1], decisions=carried)
    lines = timeline(events, reviews)[1].lines
    assert [line.decision for line in lines] == [carried[0], None]
    assert lines[1].text == "Approvals of the attempt before count here, too: Ana Ruiz."


async def test_a_review_that_opened_since_the_story_was_read_comes_last(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    await office.world.reject(await office.open_review(task_id), BEN)
    read = list(await office.world.store.events(task_id, 0))
    before = read[: [type(one.event) for one in read].index(ReviewRequested) + 1]
    await office.open_review(task_id, 2)
    reviews = await office.world.service.reviews(task_id)
    assert [turn.review for turn in timeline(before, reviews)] == [*reviews]


async def test_a_review_that_nobody_can_meet_says_so(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="stuck")
    await office.later(hours=0)
    page = words(await page_of(office, task_id, "ana"))
    assert page.count("Sam Lee submitted this task and may not decide on it, and the others are too few") == 2
    assert "Stuck: Sam Lee submitted this task" in page


async def test_the_inbox_shows_what_waits_for_this_person_only(office: PolicyHouse) -> None:
    staged = await office.submitted("In stages", flow="staged")
    two = await office.submitted("By two", flow="two")
    await office.submitted("For Ben alone", flow="alone")

    async def inbox(person: str) -> set[str]:
        page = await seen(await office.signed_in(person), "/inbox")
        return {text for text in ("In stages", "By two", "For Ben alone") if text in page.text}

    assert await inbox("ana") == {"In stages", "By two"}
    assert await inbox("ben") == {"In stages", "By two", "For Ben alone"}
    assert await inbox("cy") == {"By two"}, "the second stage has not begun"
    await office.world.approve(await office.open_review(two), ANA)
    await office.world.approve(await office.open_review(staged), ANA)
    assert await inbox("ana") == set()
    assert await inbox("ben") == {"By two", "For Ben alone"}
    assert await inbox("cy") == {"In stages", "By two"}


async def test_the_status_stream_says_of_waiting_reviews_what_it_always_said(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="staged")
    review = await office.open_review(task_id)
    await office.world.approve(review, ANA)
    await office.world.service.withdraw(review, ANA.id, via="web")
    await office.later(hours=1.5)
    await office.later(hours=8)
    await office.world.end(task_id)
    async with office.http.get(f"/stream/{task_id}", headers=await office.bearer("sam")) as answer:
        said = [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]
    assert [one["status"] for one in said] == ["pending", "running", "waiting_for_review", "completed"]
    assert said[-1] == {"status": "completed", "final_result": None, "outcome": "expired"}
    async with office.http.get(f"/v1/tasks/{task_id}/events", headers=await office.bearer("sam")) as answer:
        names = [line[7:].strip().decode() async for line in answer.content if line.startswith(b"event: ")]
    assert [n for n in names if n.startswith(("decision", "review"))] == [
        "review_requested",
        "decision_recorded",
        "decision_withdrawn",
        "reviewer_reminded",
        "review_expired",
    ]


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_withdrawn_comment_is_shown_as_text(office: PolicyHouse, text: str) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    await office.world.service.decide(review, CY.id, Verdict.APPROVE, comment=text, via="web")
    await office.world.service.withdraw(review, CY.id, via="web")
    page = await page_of(office, task_id, "sam")
    assert {"b", "script", "h1"} & {tag for tag, _ in page.elements} <= {"h1", "script"}
    assert text.replace("\r\n", "\n") in page.text


async def test_in_open_mode_whoever_sits_there_can_decide(houses: Houses) -> None:
    """Also where the policy names nobody at all."""
    house = await houses(WebSettings(port=0, auth="open"))
    for flow in ("nobody", "draft"):
        async with house.http.post("/v1/tasks", json={"input": "x", "flow": flow}) as answer:
            task_id = (await answer.json())["task_id"]
        await house.open_review(task_id)
        page = words(await seen(house.http, f"/tasks/{task_id}"))
        assert "local (open)" in page[page.index("Missing 1 approval") : page.index("Policy")]
        assert "too few" not in page
        assert "You decide for" not in page
        async with house.http.get(f"/v1/tasks/{task_id}/explain") as answer:
            told = await answer.json()
        assert (told["can_be_met"], told["may_decide"], told["decides_for"]) == (True, True, "local (open)")
        assert told["waits_for"][-1] == "local (open)"


async def test_an_edit_that_somebody_else_has_to_approve_is_proposed(office: PolicyHouse) -> None:
    buttons = {
        "draft": "Approve with my changes",
        "two": "Propose my changes",
        "edited": "Propose my changes",
    }
    for flow, button in buttons.items():
        page = words(await page_of(office, await office.submitted(flow=flow), "ana"))
        assert button in page
        assert ("Somebody else has to approve it" in page) == (flow == "edited")
    task_id = await office.submitted(flow="edited")
    ana, review = await office.signed_in("ana"), await office.open_review(task_id)
    await posted(ana, f"/tasks/{task_id}/edit", content="Mine.", review_id=review)
    await office.open_review(task_id, 2)
    page = words(await page_of(office, task_id, "ana"))
    assert "This draft is an edit of yours, so somebody else has to decide. Ben Okri can decide." in page
