"""Times on the pages, and ends of days, by the clock of whoever is signed in."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from core.inforce import InForce
from tests.web.asking import ask
from tests.web.reading import posted, seen
from tests.web.web_house import PAGE, House
from tests.world import ANA, BEN, PEOPLE, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.model import Person, PersonId
    from core.store.database import Database
    from tests.world import StoppedClock

BEGUN = "2026-11-21T08:00:00+00:00"
"""As the clock of the tests stands; on pages in UTC, whoever reads them."""


def living_in(**zones: str) -> dict[PersonId, Person]:
    return {key: replace(person, zone=zones.get(key, "UTC")) for key, person in PEOPLE.items()}


@dataclass
class Lived:
    house: House
    people: InForce[PersonId, Person]


@pytest.fixture
async def lived(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[Lived]:
    """Ana lives in Madrid, Ben in Auckland, everybody else by UTC."""
    people = InForce(living_in(ana="Europe/Madrid", ben="Pacific/Auckland"))
    async with (
        whole_core(sqlite_database, clock, people=people, admins=(BEN.id,)) as world,
        AsyncExitStack() as stack,
    ):
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        yield Lived(house, people)


@pytest.mark.parametrize(
    ("person", "shown", "zone"),
    [
        ("ana", "21 Nov 2026, 09:00:00 CET", "Europe/Madrid"),
        ("ben", "21 Nov 2026, 21:00:00 NZDT", "Pacific/Auckland"),
        ("cy", "21 Nov 2026, 08:00:00 UTC", "UTC"),
    ],
)
async def test_everybody_reads_times_by_their_own_clock(
    lived: Lived, person: str, shown: str, zone: str
) -> None:
    house = lived.house
    task = await house.submitted(flow="two")
    await house.world.approve(await house.open_review(task), ANA)
    browser = await house.signed_in(person)
    for path in (f"/tasks/{task}", *(("/inbox",) if person != "ana" else ()), f"/tasks/{task}/checkpoints/0"):
        async with browser.get(path, headers=PAGE) as answer:
            assert answer.status == 200
            html = await answer.text()
        times = [rest.partition("</time>")[0] for rest in html.split("<time ")[1:]]
        assert times, path
        assert set(times) == {f'datetime="{BEGUN}">{shown}'}, path
        assert f"times are of {zone}" in html


async def test_a_form_that_was_refused_is_of_the_same_zone(lived: Lived) -> None:
    """Its macros have no page of their own."""
    task = await lived.house.submitted()
    ana = await lived.house.signed_in("ana")
    review = await lived.house.open_review(task)
    same = str((await lived.house.task(task)).draft)
    form = {"content": same, "review_id": review}
    async with ana.post(f"/tasks/{task}/edit", data=form, headers=PAGE) as answer:
        assert answer.status == 422
        assert "times are of Europe/Madrid" in await answer.text()


async def test_nobody_signed_in_reads_no_times(lived: Lived) -> None:
    async with lived.house.http.get("/inbox", headers=PAGE) as answer:
        assert answer.status == 401
        assert "times are of" not in await answer.text()


async def test_a_last_day_ends_where_the_person_is(lived: Lived) -> None:
    ana = await lived.house.signed_in("ana")
    page = await seen(ana, "/away")
    assert "(to its end, in Europe/Madrid)" in page.text
    assert await posted(ana, "/away", delegate="ben", until="2026-11-23") == "/away"
    (made,) = await lived.house.world.service.delegations.standing()
    assert made.until.isoformat() == "2026-11-23T23:00:00+00:00"
    page = await seen(ana, "/away")
    assert "Until 24 Nov 2026, 00:00:00 CET." in page.text
    assert "2026-11-23" in {field.get("value") for field in page.all("input")}


async def test_today_is_where_the_person_is(lived: Lived, clock: StoppedClock) -> None:
    clock.advance(hours=4)
    page = await seen(await lived.house.signed_in("ben"), "/away")
    assert "2026-11-22" in {field.get("min") for field in page.all("input")}


@pytest.mark.parametrize(
    ("until", "ends"),
    [
        ("2026-11-23", "2026-11-23T23:00:00Z"),
        ("2026-11-23T18:00:00Z", "2026-11-23T18:00:00Z"),
        ("2026-11-23T18:00:00+01:00", "2026-11-23T17:00:00Z"),
    ],
)
async def test_by_api_a_day_counts_to_its_end_where_who_is_away_is(
    lived: Lived, until: str, ends: str
) -> None:
    """Also where somebody elsewhere enters it."""
    body = {"delegate": None, "until": until}
    status, made = await ask(lived.house, "PUT", f"/v1/delegations/{ANA.id}", "ben", json=body)
    assert (status, made["until"]) == (200, ends)


@pytest.mark.parametrize(
    "until", ["2026-13-01", "2026-W48-1", "9999-12-31", "2026-11-23T18:00:00", 1795600000]
)
async def test_what_is_no_end_is_refused_by_api(lived: Lived, until: object) -> None:
    body = {"delegate": None, "until": until}
    status, problem = await ask(lived.house, "PUT", f"/v1/delegations/{ANA.id}", "ana", json=body)
    assert status == 422
    assert "`until`" in problem["detail"]


async def test_a_file_that_is_read_anew_moves_people(lived: Lived) -> None:
    await lived.house.submitted()
    ana = await lived.house.signed_in("ana")
    assert "21 Nov 2026, 09:00:00 CET" in (await seen(ana, "/inbox")).text
    lived.people.replace(living_in(ana="Asia/Kathmandu"))
    assert "21 Nov 2026, 13:45:00 UTC+05:45" in (await seen(ana, "/inbox")).text
