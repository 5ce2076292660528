"""web/absence.py: who is away, by API and on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.model import PersonId
from tests.web.asking import ask
from tests.web.reading import HOSTILE, Seen, posted, seen
from tests.web.web_house import PAGE
from web.settings import WebSettings

if TYPE_CHECKING:
    from tests.web.policy_house import PolicyHouse
    from tests.web.web_house import House, Houses

MONDAY = "2026-11-23"
AFTER_MONDAY = "2026-11-24T00:00:00Z"


async def test_a_delegation_is_made_listed_and_ended(office: PolicyHouse) -> None:
    body = {"delegate": "ben", "until": "2026-11-25T09:00:00+01:00"}
    status, made = await ask(office, "PUT", "/v1/delegations/ana", json=body)
    assert (status, made) == (
        200,
        {
            "person": "ana",
            "person_name": "Ana Ruiz",
            "delegate": "ben",
            "delegate_name": "Ben Okri",
            "until": "2026-11-25T08:00:00Z",
            "made_by": "ana",
            "made_at": "2026-11-21T08:00:00Z",
        },
    )
    assert await ask(office, "GET", "/v1/delegations", "sam") == (200, {"delegations": [made]})
    replaced = {"delegate": None, "until": "2026-11-25T08:00:00Z"}
    _, made = await ask(office, "PUT", "/v1/delegations/ana", json=replaced)
    assert (made["delegate"], made["delegate_name"]) == (None, None)
    assert await ask(office, "GET", "/v1/delegations") == (200, {"delegations": [made]})
    for _ in range(2):
        assert await ask(office, "DELETE", "/v1/delegations/ana") == (204, None)
    assert await ask(office, "GET", "/v1/delegations") == (200, {"delegations": []})


async def test_others_are_delegated_for_by_administrators_only(office: PolicyHouse) -> None:
    body = {"delegate": "cy", "until": "2026-11-25T08:00:00Z"}
    for method, how in (("PUT", {"json": body}), ("DELETE", {})):
        status, problem = await ask(office, method, "/v1/delegations/ana", "ben", **how)
        assert (status, problem["type"]) == (403, "urn:countersign:problem:forbidden")
    status, made = await ask(office, "PUT", "/v1/delegations/ana", "eve", json=body)
    assert (status, made["made_by"]) == (200, "eve")
    assert (await ask(office, "DELETE", "/v1/delegations/ana", "eve"))[0] == 204


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"delegate": "ana", "until": "2026-11-25T08:00:00Z"}, "Nobody can be their own delegate."),
        ({"delegate": "nobody", "until": "2026-11-25T08:00:00Z"}, "There is no such person"),
        ({"delegate": "local", "until": "2026-11-25T08:00:00Z"}, "open mode"),
        ({"delegate": "ben", "until": "2026-11-21T08:00:00Z"}, "in the future"),
        ({"delegate": "ben", "until": "2028-11-21T08:00:00Z"}, "at most 366 days"),
        ({"delegate": "ben", "until": "2026-11-25T08:00:00"}, "timezone"),
        ({"delegate": "ben", "until": 1795600000}, "until"),
        ({"delegate": "ben", "until": "9999-12-31T23:59:59-12:00"}, "no such time"),
        ({"delegate": "ben"}, "`until` is missing"),
        ({"until": "2026-11-25T08:00:00Z"}, "`delegate` is missing"),
        ({"delegate": "ben", "until": "2026-11-25T08:00:00Z", "for": "ana"}, "`for`"),
    ],
)
async def test_what_cannot_be_a_delegation(office: PolicyHouse, body: dict[str, object], words: str) -> None:
    status, problem = await ask(office, "PUT", "/v1/delegations/ana", json=body)
    assert status == 422
    assert words in problem["detail"]
    assert await ask(office, "GET", "/v1/delegations") == (200, {"delegations": []})


async def test_a_circle_of_delegates_is_refused(office: PolicyHouse) -> None:
    until = "2026-11-25T08:00:00Z"
    for person, delegate, expected in [("ana", "ben", 200), ("ben", "cy", 200), ("cy", "ana", 422)]:
        body = {"delegate": delegate, "until": until}
        assert (await ask(office, "PUT", f"/v1/delegations/{person}", person, json=body))[0] == expected


@pytest.mark.parametrize("person", ["nobody", "%00", "%ED%A0%80", "a" * 3000])
async def test_nobody_is_away_who_is_not_known(office: PolicyHouse, person: str) -> None:
    for method, how in (
        ("PUT", {"json": {"delegate": None, "until": "2026-11-25T08:00:00Z"}}),
        ("DELETE", {}),
    ):
        assert (await ask(office, method, f"/v1/delegations/{person}", "eve", **how))[0] == 404


async def test_somebody_leaves_and_comes_back_without_scripts(office: PolicyHouse) -> None:
    ana, ben = await office.signed_in("ana"), await office.signed_in("ben")
    page = await seen(ana, "/away")
    assert "Be away until then" in page.text
    assert "I am back" not in page.text
    people = {option["value"] for option in page.all("option")}
    assert people == {"", "ben", "cy", "sam", "eve"}
    assert await posted(ana, "/away", delegate="ben", until=MONDAY) == "/away"
    _, standing = await ask(office, "GET", "/v1/delegations")
    assert [(one["delegate"], one["until"]) for one in standing["delegations"]] == [("ben", AFTER_MONDAY)]
    page = await seen(ana, "/away")
    assert "Ben Okri decides for you; you can still decide yourself." in page.text
    assert MONDAY in {field.get("value") for field in page.all("input")}
    assert "You are away until" in (await seen(ana, "/inbox")).text
    assert "you decide instead" in (await seen(ben, "/away")).text
    assert await posted(ana, "/away", delegate="", until=MONDAY) == "/away"
    assert "Nobody decides for you." in (await seen(ana, "/away")).text
    assert await posted(ana, "/away/end") == "/away"
    assert "I am back" not in (await seen(ana, "/away")).text
    assert "You are away" not in (await seen(ana, "/inbox")).text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"delegate": "ben", "until": "next week"}, "year, month and day"),
        ({"delegate": "ben", "until": ""}, "year, month and day"),
        ({"delegate": "ben", "until": "9999-12-31"}, "year, month and day"),
        ({"delegate": "ben", "until": "2026-11-20"}, "in the future"),
        ({"delegate": "nobody", "until": MONDAY}, "There is no such person"),
    ],
)
async def test_a_refused_form_keeps_what_was_typed(
    office: PolicyHouse, form: dict[str, str], words: str
) -> None:
    ana = await office.signed_in("ana")
    async with ana.post("/away", data=form, headers=PAGE) as answer:
        assert answer.status == 422
        page = Seen(await answer.text())
    assert page.faults == []
    assert words in page.text
    assert form["until"] in {field.get("value") for field in page.all("input")}
    chosen = [option["value"] for option in page.all("option") if "selected" in option]
    assert chosen == [form["delegate"]] if form["delegate"] == "ben" else not chosen
    async with ana.post("/away", data=form) as answer:
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_comes_back_on_the_page_is_text(office: PolicyHouse, text: str) -> None:
    ana = await office.signed_in("ana")
    async with ana.post("/away", data={"delegate": text, "until": text[:40]}, headers=PAGE) as answer:
        assert answer.status == 422
        page = Seen(await answer.text())
    assert page.faults == []
    assert page.all("h1") == [{}]
    assert page.all("svg") == []


async def test_another_site_s_form_sends_nobody_away(office: PolicyHouse) -> None:
    ana = await office.signed_in("ana")
    for path in ("/away", "/away/end"):
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            form = {"delegate": "ben", "until": MONDAY}
            async with ana.post(path, data=form, headers=headers) as answer:
                assert answer.status == 403
    assert await ask(office, "GET", "/v1/delegations") == (200, {"delegations": []})


async def test_looking_changes_nothing(office: PolicyHouse) -> None:
    ana = await office.signed_in("ana")
    await posted(ana, "/away", delegate="ben", until=MONDAY)
    before = await ask(office, "GET", "/v1/delegations")
    await seen(ana, "/away?delegate=cy&until=2026-11-30")
    async with ana.get("/away/end") as answer:
        assert answer.status == 405
    assert await ask(office, "GET", "/v1/delegations") == before
    for path in ("/away", "/v1/delegations"):
        async with office.http.get(path) as answer:
            assert answer.status == 401


async def test_in_open_mode_nobody_is_away(houses: Houses) -> None:
    house: House = await houses(WebSettings(port=0, auth="open"))
    page = await seen(house.http, "/away")
    assert "In open mode there is only one person" in page.text
    assert {"form"} & {tag for tag, _ in page.elements} == {"form"}, "the header's, without a button"
    assert page.all("select") == []
    assert "/away" not in {link.get("href") for link in page.all("a")}
    async with house.http.put(
        "/v1/delegations/local", json={"delegate": None, "until": "2026-11-25T08:00:00Z"}
    ) as answer:
        assert answer.status == 422
    assert list(await house.world.service.delegations.standing()) == []
    assert house.world.service.person(PersonId("local")) is not None


async def test_the_inbox_names_whom_one_decides_for_and_of_them_reviewers_alone(office: PolicyHouse) -> None:
    for person in ("ana", "cy"):
        body = {"delegate": "ben", "until": "2026-11-25T08:00:00Z"}
        assert (await ask(office, "PUT", f"/v1/delegations/{person}", person, json=body))[0] == 200
    await office.submitted()
    page = await seen(await office.signed_in("ben"), "/inbox")
    assert "For Ana Ruiz, who is away." in page.text
