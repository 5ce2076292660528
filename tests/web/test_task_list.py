"""The page of all tasks: what has ended, and what others submitted, is found there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import web.pages.views
from tests.web.reading import HOSTILE, seen

if TYPE_CHECKING:
    from tests.web.reading import Seen
    from tests.web.web_house import House


def links(page: Seen) -> list[str]:
    return [attributes["href"] or "" for tag, attributes in page.elements if tag == "a"]


def listed(page: Seen) -> list[str]:
    return [href.removeprefix("/tasks/") for href in links(page) if href.startswith("/tasks/")]


async def test_a_reviewer_finds_what_they_decided_and_what_others_submitted(house: House) -> None:
    done = await house.submitted("An old one")
    await house.world.approve(await house.open_review(done))
    waits = await house.submitted("A new one")
    page = await seen(await house.signed_in("ana"), "/tasks")
    assert page.text.index("A new one") < page.text.index("An old one")
    assert listed(page) == [waits, done]
    assert "Sam Lee" in page.text
    page = await seen(await house.signed_in("ana"), "/tasks?status=completed&flow=&submitter=")
    assert "An old one" in page.text
    assert listed(page) == [done]


async def test_ones_own_are_listed_by_themselves(house: House) -> None:
    await house.submitted("Sam's own")
    page = await seen(await house.signed_in("sam"), "/tasks?submitter=sam")
    assert "Sam's own" in page.text
    page = await seen(await house.signed_in("ana"), "/tasks?submitter=ana")
    assert "There are no such tasks" in page.text


async def test_older_ones_follow_with_the_same_filter(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.pages.views, "LISTED", 2)
    made = [await house.submitted(f"Number {number}") for number in range(5)]
    ana = await house.signed_in("ana")
    path, found = "/tasks?status=waiting_for_review&submitter=sam", []
    while path:
        page = await seen(ana, path)
        found += listed(page)
        path = next((href for href in links(page) if "cursor=" in href), "")
        assert not path or "submitter=sam" in path
    assert found == made[::-1]


@pytest.mark.parametrize("query", ["status=open", "flow=nope", "cursor=x"])
async def test_a_filter_that_there_is_not_is_refused(house: House, query: str) -> None:
    await house.submitted()
    page = await seen(await house.signed_in("ana"), f"/tasks?{query}", status=422)
    assert "There are no such tasks" not in page.text


async def test_titles_and_names_are_shown_as_text(house: House) -> None:
    for text in HOSTILE:
        await house.submitted(text)
    ana = await house.signed_in("ana")
    assert listed(await seen(ana, "/tasks?submitter=%3Cscript%3E")) == []
    assert len(listed(await seen(ana, "/tasks"))) == len(HOSTILE)


async def test_strangers_are_asked_to_sign_in(house: House) -> None:
    async with await house.browser() as stranger:
        page = await seen(stranger, "/tasks", status=401)
    assert "Sign in" in page.text
