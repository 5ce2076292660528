"""web/looking.py: saying that one is looking, and asking to be reminded later, by API and by forms."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from core.events import ClaimEnded, ReminderSnoozed, ReviewClaimed, ReviewerReminded
from core.model import LOCAL, TaskId
from tests.web.asking import ask
from tests.web.reading import Seen, posted, seen, words
from tests.web.web_house import PAGE
from tests.world import BEN
from web.settings import WebSettings

if TYPE_CHECKING:
    from tests.web.policy_house import PolicyHouse
    from tests.web.web_house import House, Houses

ANA_LOOKS = {"person": "ana", "name": "Ana Ruiz", "until": "2026-11-21T08:15:00Z"}
ANA_LATER = {"person": "ana", "name": "Ana Ruiz", "until": "2026-11-21T10:00:00Z"}


async def explained(house: House, task_id: str) -> tuple[Any, Any]:
    _, body = await ask(house, "GET", f"/v1/tasks/{task_id}/explain", "eve")
    return body["claims"], body["snoozed"]


async def untouched(house: House, task_id: str) -> bool:
    kinds = {type(event) for event in await house.world.history(task_id)}
    return not kinds & {ReviewClaimed, ClaimEnded, ReminderSnoozed}


async def test_a_script_says_that_somebody_is_looking(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    path = f"/v1/tasks/{task_id}/claims"
    answer = {"task_id": task_id, "review_id": review, "claims": [ANA_LOOKS], "snoozed": []}
    assert await ask(office, "POST", path) == (200, answer)
    for body in ({}, {"review_id": review}, {"review_id": None}):
        assert await ask(office, "POST", path, json=body) == (200, answer), "again, and no news"
    assert await explained(office, task_id) == ([ANA_LOOKS], [])
    assert await ask(office, "DELETE", path, "ben") == (200, answer), "nobody else's"
    for what in ("claims", "snoozes"):
        other = f"/v1/tasks/{task_id}/{what}"
        was = await ask(office, "DELETE", other, params={"review_id": "an-earlier-one"})
        assert was == (200, answer), "of another review nothing is left to end; this one is shown as it is"
    gone = {**answer, "claims": []}
    assert await ask(office, "DELETE", path, params={"review_id": review}) == (200, gone)
    assert await ask(office, "DELETE", path) == (200, gone)
    kinds = [type(event) for event in await office.world.history(task_id)]
    assert kinds[-2:] == [ReviewClaimed, ClaimEnded]


@pytest.mark.parametrize(
    "how",
    [
        {"for": "2h"},
        {"for": "120m"},
        {"until": "2026-11-21T10:00:00Z"},
        {"until": "2026-11-21T11:00:00+01:00"},
    ],
)
async def test_a_script_asks_to_remind_later(office: PolicyHouse, how: dict[str, str]) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    path = f"/v1/tasks/{task_id}/snoozes"
    answer = {"task_id": task_id, "review_id": review, "claims": [], "snoozed": [ANA_LATER]}
    assert await ask(office, "POST", path, json={**how, "review_id": review}) == (200, answer)
    assert await explained(office, task_id) == ([], [ANA_LATER])
    await office.later(2)
    reminded = [e for e in await office.world.history(task_id) if isinstance(e, ReviewerReminded)]
    assert [event.people for event in reminded] == [["Ana Ruiz"]]
    assert await explained(office, task_id) == ([], [])


async def test_a_reminder_comes_as_usual_again(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    path = f"/v1/tasks/{task_id}/snoozes"
    await ask(office, "POST", path, json={"for": "2h"})
    assert (await ask(office, "DELETE", path, "ben"))[1]["snoozed"] == [ANA_LATER]
    for _ in range(2):
        status, body = await ask(office, "DELETE", path)
        assert (status, body["snoozed"]) == (200, [])
    snoozed = [e for e in await office.world.history(task_id) if isinstance(e, ReminderSnoozed)]
    assert [event.until for event in snoozed] == ["2026-11-21T10:00:00Z", None]


@pytest.mark.parametrize(("what", "body"), [("claims", {}), ("snoozes", {"for": "2h"})])
async def test_who_may_not_decide_may_not_do_this(office: PolicyHouse, what: str, body: Any) -> None:
    task_id = await office.submitted(flow="staged")
    path, others = f"/v1/tasks/{task_id}/{what}", "Ana Ruiz and Ben Okri can decide."
    for person, status, kind, detail in [
        ("eve", 403, "not-a-reviewer", f"You are not among the reviewers of this task. {others}"),
        ("cy", 409, "not-your-turn", f"It is not your turn yet: stage 1 of 2 waits for legal. {others}"),
    ]:
        found, problem = await ask(office, "POST", path, person, json=body)
        assert (found, problem["type"]) == (status, f"urn:countersign:problem:{kind}")
        assert problem["detail"] == detail
    stuck = await office.submitted(flow="stuck")
    found, problem = await ask(office, "POST", f"/v1/tasks/{stuck}/{what}", "sam", json=body)
    assert (found, problem["type"]) == (403, "urn:countersign:problem:self-review")
    for method in ("POST", "DELETE"):
        async with office.http.request(method, path, json=body) as answer:
            assert answer.status == 401
        assert (await ask(office, method, f"/v1/tasks/{'0' * 32}/{what}", json=body))[0] == 404
    assert await untouched(office, task_id)
    assert await untouched(office, stuck)


@pytest.mark.parametrize(("what", "body"), [("claims", {}), ("snoozes", {"for": "2h"})])
async def test_what_is_no_open_review_is_told_as_for_a_decision(
    office: PolicyHouse, what: str, body: Any
) -> None:
    task_id, other = await office.submitted(), await office.submitted()
    path = f"/v1/tasks/{task_id}/{what}"
    review = await office.open_review(task_id)
    for wrong in (await office.open_review(other), "0" * 32, "nothing"):
        status, problem = await ask(office, "POST", path, json={**body, "review_id": wrong})
        assert (status, problem["type"]) == (412, "urn:countersign:problem:stale-review")
        status, said = await ask(office, "DELETE", path, params={"review_id": wrong})
        assert (status, said["review_id"]) == (200, review), "as it is, for nothing was ended"
    assert (await ask(office, "POST", path, json=body))[0] == 200
    await office.world.approve(review)
    await office.world.end(task_id)
    status, problem = await ask(office, "POST", path, json=body)
    assert (status, problem["type"]) == (409, "urn:countersign:problem:not-waiting")
    gone: dict[str, Any] = {"task_id": task_id, "review_id": None, "claims": [], "snoozed": []}
    for named in ({}, {"review_id": review}):
        assert await ask(office, "DELETE", path, params=named) == (200, gone)


async def test_who_has_decided_has_nothing_to_put_off(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    await office.world.approve(await office.open_review(task_id))
    status, problem = await ask(office, "POST", f"/v1/tasks/{task_id}/snoozes", json={"for": "2h"})
    assert (status, problem["type"]) == (409, "urn:countersign:problem:already-decided")
    assert (await ask(office, "POST", f"/v1/tasks/{task_id}/claims"))[0] == 200


EITHER = 'Say either `until`, a time, or `for`, a wait such as "2h".'
BOUNDS = "A reminder can be put off by 1 minute at least, and by 30 days at most."
WAIT = '`for` is a wait such as "30m", "2h" or "3d".'


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, EITHER),
        ({"for": "2h", "until": "2026-11-21T10:00:00Z"}, EITHER),
        ({"for": None}, EITHER),
        *(
            ({"for": wait}, WAIT)
            for wait in ("", "2", 2, "2 h", "-2h", "2H", "2s", "inf", "9" * 400 + "d", "٢h")
        ),
        *(({"for": wait}, BOUNDS) for wait in ("0m", "0.9m", "30.1d", "721h", "999999d")),
        *(
            ({"until": until}, BOUNDS)
            for until in ("2026-11-21T08:00:00Z", "2025-01-01T00:00:00Z", "2026-12-21T08:01:00Z")
        ),
        ({"until": "9999-12-31T23:59:59-23:00"}, "`until`: there is no such time."),
    ],
)
async def test_a_time_that_cannot_be_is_refused(office: PolicyHouse, body: Any, detail: str) -> None:
    task_id = await office.submitted()
    status, problem = await ask(office, "POST", f"/v1/tasks/{task_id}/snoozes", json=body)
    assert (status, problem["detail"]) == (422, detail)
    assert await untouched(office, task_id)


@pytest.mark.parametrize(
    "until",
    [
        *("tomorrow", "2026-11-21T10:00:00", 1, True, "2026-02-30T10:00:00Z"),
        *("1795256000", "1795256000000", "1.795256e9"),  # seconds or thousandths of them: that is a guess
    ],
)
async def test_a_time_without_its_zone_is_none(office: PolicyHouse, until: object) -> None:
    task_id = await office.submitted()
    status, problem = await ask(office, "POST", f"/v1/tasks/{task_id}/snoozes", json={"until": until})
    assert status == 422
    assert problem["detail"].startswith("`until`")
    assert await untouched(office, task_id)


@pytest.mark.parametrize(
    ("what", "body"),
    [("claims", {"reviewid": "x"}), ("claims", []), ("snoozes", {"for": "2h", "wait": "1h"})],
)
async def test_a_name_that_is_not_known_is_refused(office: PolicyHouse, what: str, body: Any) -> None:
    task_id = await office.submitted()
    assert (await ask(office, "POST", f"/v1/tasks/{task_id}/{what}", json=body))[0] == 422
    assert await untouched(office, task_id)


async def test_it_ends_by_itself(office: PolicyHouse) -> None:
    task_id = await office.submitted()
    await ask(office, "POST", f"/v1/tasks/{task_id}/claims")
    await office.later(0.25)
    assert await explained(office, task_id) == ([], [])


async def test_the_event_stream_tells_both(office: PolicyHouse) -> None:
    task_id = await office.submitted()
    await ask(office, "POST", f"/v1/tasks/{task_id}/claims")
    await ask(office, "POST", f"/v1/tasks/{task_id}/snoozes", json={"for": "2h"})
    path = f"/v1/tasks/{task_id}/events?follow=false"
    async with office.http.get(path, headers=await office.bearer("sam")) as answer:
        told = await answer.text()
    assert "event: review_claimed" in told
    assert "event: reminder_snoozed" in told
    assert '"until": "2026-11-21T10:00:00Z", "via": "api"' in told


def forms(page: Seen, what: str) -> list[dict[str, str | None]]:
    return [form for form in page.all("form") if str(form["action"]).endswith(f"/{what}")]


@pytest.mark.parametrize("back", ["", "inbox"])
async def test_the_pages_promise_no_reminder_that_the_deadline_comes_before(
    office: PolicyHouse, back: str
) -> None:
    task_id = await office.submitted(flow="staged")
    task = f"/tasks/{task_id}"
    ana, ben = await office.signed_in("ana"), await office.signed_in("ben")
    form = {"review_id": await office.open_review(task_id), "back": back}
    await posted(ana, f"{task}/snooze", **form, **{"for": "tomorrow"})
    page = await seen(ana, f"/{back}" if back else task)
    never = "No reminder comes to you before 21 Nov 2026, 16:00:00 UTC, by when it is to be decided."
    assert never in words(page)
    assert "Your reminder" not in words(page)
    assert len(forms(page, "wake")) == 1
    assert "Reminded later Ana Ruiz not before it is to be decided" in words(await seen(ben, task))


@pytest.mark.parametrize("back", ["", "inbox"])
async def test_the_pages_have_forms_for_both(office: PolicyHouse, back: str) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    task = f"/tasks/{task_id}"
    shown = f"/{back}" if back else task
    ana, ben = await office.signed_in("ana"), await office.signed_in("ben")
    page = await seen(ana, shown)
    assert [len(forms(page, what)) for what in ("claim", "release", "snooze", "wake")] == [1, 0, 2, 0]
    assert "I'm looking" in page.text
    form = {"review_id": review, "back": back}
    assert await posted(ana, f"{task}/claim", **form) == shown
    page = await seen(ana, shown)
    assert [len(forms(page, what)) for what in ("claim", "release", "snooze", "wake")] == [1, 1, 2, 0]
    assert "Others see it until 21 Nov 2026, 08:15:00 UTC, and may decide all the same." in words(page)
    assert "Ana Ruiz is looking, until 21 Nov 2026, 08:15:00 UTC." in words(await seen(ben, "/inbox"))
    page = await seen(ben, task)
    assert "Looking Ana Ruiz until 21 Nov 2026, 08:15:00 UTC" in words(page)
    assert page.buttons() == {"approved", "rejected"}, "it binds nobody"
    assert await posted(ana, f"{task}/release", **form) == shown
    assert await posted(ana, f"{task}/snooze", **form, **{"for": "4h"}) == shown
    page = await seen(ana, shown)
    assert [len(forms(page, what)) for what in ("claim", "release", "snooze", "wake")] == [1, 0, 2, 1]
    assert "Your reminder: 21 Nov 2026, 12:00:00 UTC." in words(page)
    assert "Reminded later Ana Ruiz 21 Nov 2026, 12:00:00 UTC" in words(await seen(ben, task))
    assert await posted(ana, f"{task}/wake", **form) == shown
    assert await explained(office, task_id) == ([], [])
    told = words(await seen(ben, task))
    for line in (
        "Ana Ruiz is looking, until 21 Nov 2026, 08:15 UTC.",
        "Ana Ruiz stopped looking.",
        "Ana Ruiz wants to be reminded at 21 Nov 2026, 12:00 UTC.",
        "Ana Ruiz is reminded with everybody else again.",
    ):
        assert line in told, "on the timeline"


@pytest.mark.parametrize(
    ("form", "until"),
    [
        ({"for": "1h"}, "2026-11-21T09:00:00Z"),
        ({"for": "tomorrow"}, "2026-11-22T09:00:00Z"),
        ({"until": "2026-11-23T07:30"}, "2026-11-23T07:30:00Z"),
        ({"until": "2026-11-23 07:30:15"}, "2026-11-23T07:30:15Z"),
        ({"for": "", "until": "2026-11-23T07:30+01:00"}, "2026-11-23T06:30:00Z"),
    ],
)
async def test_a_form_says_when(office: PolicyHouse, form: dict[str, str], until: str) -> None:
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    await posted(await office.signed_in("ana"), f"/tasks/{task_id}/snooze", review_id=review, **form)
    assert await explained(office, task_id) == ([], [{**ANA_LATER, "until": until}])


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "Say when to remind you"),
        ({"until": "soon"}, "Say when to remind you"),
        ({"until": "9999-12-31T23:59-23:00"}, "there is no such time"),
        ({"until": "2026-11-21T07:00"}, BOUNDS),
        ({"for": "5h"}, "for"),
    ],
)
async def test_a_form_that_says_it_wrong_is_told(
    office: PolicyHouse, form: dict[str, str], words: str
) -> None:
    task_id = await office.submitted()
    form = {"review_id": await office.open_review(task_id), **form}
    ana = await office.signed_in("ana")
    async with ana.post(f"/tasks/{task_id}/snooze", data=form, headers=PAGE) as answer:
        assert answer.status == 422
        page = Seen(await answer.text())
    assert page.faults == []
    assert words in page.text
    assert await untouched(office, task_id)


async def test_whoever_may_not_decide_sees_no_button_and_who_has_decided_no_reminder(
    office: PolicyHouse,
) -> None:
    task_id = await office.submitted(flow="two")
    for person in ("eve", "sam"):
        page = await seen(await office.signed_in(person), f"/tasks/{task_id}")
        assert not forms(page, "claim") + forms(page, "snooze")
    await office.world.approve(await office.open_review(task_id))
    page = await seen(await office.signed_in("ana"), f"/tasks/{task_id}")
    assert (len(forms(page, "claim")), forms(page, "snooze")) == (1, [])


async def test_a_form_on_a_page_of_before_is_told_so(office: PolicyHouse) -> None:
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    ana = await office.signed_in("ana")
    await posted(ana, f"/tasks/{task_id}/claim", review_id=review)
    await posted(ana, f"/feedback/{task_id}", feedback="rejected", comment="")
    await office.open_review(task_id, 2)
    for what, more in (("claim", {}), ("snooze", {"for": "1h"})):
        form = {"review_id": review, **more}
        async with ana.post(f"/tasks/{task_id}/{what}", data=form, headers=PAGE) as answer:
            assert answer.status == 412
    for what in ("release", "wake"):
        assert await posted(ana, f"/tasks/{task_id}/{what}", review_id=review) == f"/tasks/{task_id}"


async def test_forms_come_from_our_own_pages(office: PolicyHouse) -> None:
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    ana = await office.signed_in("ana")
    for what in ("claim", "release", "snooze", "wake"):
        path = f"/tasks/{task_id}/{what}"
        form = {"review_id": review, "for": "1h"}
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            async with ana.post(path, data=form, headers=headers) as answer:
                assert answer.status == 403
        async with ana.get(path) as answer:
            assert answer.status == 405
        async with office.http.post(path, data=form) as answer:
            assert answer.status == 401
    assert await untouched(office, task_id)


async def test_in_open_mode_whoever_sits_there_may(houses: Houses) -> None:
    house: House = await houses(WebSettings(port=0, auth="open"))
    task_id = await house.submitted()
    async with house.http.post(f"/v1/tasks/{task_id}/claims") as answer:
        assert (answer.status, (await answer.json())["claims"][0]["person"]) == (200, LOCAL)
    async with house.http.post(f"/v1/tasks/{task_id}/snoozes", json={"for": "1h"}) as answer:
        assert answer.status == 200
    page = await seen(house.http, "/inbox")
    assert len(forms(page, "release")) == len(forms(page, "wake")) == 1


async def test_names_are_shown_as_they_are(office: PolicyHouse) -> None:
    """Also where the configuration was changed since."""
    task_id = await office.submitted(flow="two")
    review = await office.open_review(task_id)
    hostile = BEN.__class__(id=BEN.id, name="<b>Ben\u202e</b>")
    await office.world.store.claim(review, hostile, via="api")
    page = await seen(await office.signed_in("ana"), f"/tasks/{task_id}")
    assert "<b>Ben" in page.text
    assert "U+202E" in page.text
    assert (await office.world.service.task(TaskId(task_id))).review == review
    assert (await office.world.service.review(review)).claims[0].until == (
        office.world.clock.now() + timedelta(minutes=15)
    )


@pytest.mark.parametrize(("path", "body"), [("claims", {}), ("snoozes", {"for": "2h"})])
async def test_a_closed_review_refuses_as_a_decision_on_it_would(
    office: PolicyHouse, path: str, body: dict[str, str]
) -> None:
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    decision = {"verdict": "approve", "review_id": review}
    assert (await ask(office, "POST", f"/v1/tasks/{task_id}/decisions", json=decision))[0] == 200
    for person, status, sentence in (
        ("eve", 403, "You are not among the reviewers of this task."),
        ("sam", 403, "You are not among the reviewers of this task."),
        ("ana", 409, "Already approved by Ana Ruiz"),
    ):
        for named in ({}, {"review_id": review}):
            found, problem = await ask(
                office, "POST", f"/v1/tasks/{task_id}/{path}", person, json={**body, **named}
            )
            assert (found, sentence in problem["detail"]) == (status, True), problem
            same, refused = await ask(office, "POST", f"/v1/tasks/{task_id}/decisions", person, json=decision)
            assert (same, refused["detail"]) == (status, problem["detail"])
    assert await untouched(office, task_id)
