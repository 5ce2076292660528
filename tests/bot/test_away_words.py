"""What is typed to be away, read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from bot.absence import HOW, NOBODY, NOT_AWAY, SEVERAL, WELCOME, Absences
from bot.people import Directory
from core.errors import Invalid
from core.feed import Feed
from core.model import Person, PersonId
from core.service import Service
from core.store.sql import SqlStore
from tests.world import ANA, BEN, CY, PEOPLE, StoppedClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database

EMMA = Person(id=PersonId("emma"), name="Emma Roig", zone="Europe/Madrid")
TWIN = Person(id=PersonId("ben2"), name="Cy Young")
DIRECTORY = Directory.of(slack={CY.id: "U1", TWIN.id: "U2"}, telegram={ANA.id: 1, BEN.id: 2})


@pytest.fixture
async def absences(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[Absences]:
    async with SqlStore(sqlite_database, clock) as store:
        service = Service(store, Feed(store), {**PEOPLE, TWIN.id: TWIN, EMMA.id: EMMA}, {}, clock=clock)
        yield Absences(service=service, people=DIRECTORY, clock=clock)


@pytest.mark.parametrize(
    ("words", "delegate", "until"),
    [
        ("Ben Okri until 2026-11-30", BEN.id, datetime(2026, 12, 1, tzinfo=UTC)),
        ("  @ben   UNTIL 2026-11-30 ", BEN.id, datetime(2026, 12, 1, tzinfo=UTC)),
        ("ben until tomorrow", BEN.id, datetime(2026, 11, 23, tzinfo=UTC)),
        ("until today 9:30", None, datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
        ("ben until today", BEN.id, datetime(2026, 11, 22, tzinfo=UTC)),
        ("until tomorrow at 18:30", None, datetime(2026, 11, 22, 18, 30, tzinfo=UTC)),
        ("until Tomorrow 18:30", None, datetime(2026, 11, 22, 18, 30, tzinfo=UTC)),
        ("ben until 2026-11-21 18:30", BEN.id, datetime(2026, 11, 21, 18, 30, tzinfo=UTC)),
        ("until 2026-11-30", None, datetime(2026, 12, 1, tzinfo=UTC)),
        ("nobody until 2026-11-30", None, datetime(2026, 12, 1, tzinfo=UTC)),
        ("Nobody  until 2026-11-30", None, datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
async def test_who_and_until_when(
    absences: Absences, words: str, delegate: PersonId | None, until: datetime
) -> None:
    said = await absences.away(ANA.id, words, prefix="/")
    (made,) = await absences.service.delegations.standing()
    assert (made.person, made.delegate, made.until) == (ANA.id, delegate, until)
    whom = "Ben Okri decides" if delegate else "nobody decides"
    assert said.startswith(f"You are away until {until:%Y-%m-%d %H:%M} UTC; {whom} for you")


@pytest.mark.parametrize(
    ("words", "until", "shown"),
    [
        ("until 2026-11-30", datetime(2026, 11, 30, 23, tzinfo=UTC), "2026-12-01 00:00 CET"),
        ("until 2026-11-30 18:30", datetime(2026, 11, 30, 17, 30, tzinfo=UTC), "2026-11-30 18:30 CET"),
        ("until 2026-11-30 18:30Z", datetime(2026, 11, 30, 18, 30, tzinfo=UTC), "2026-11-30 19:30 CET"),
        ("until 2026-11-30 18:30-05:00", datetime(2026, 11, 30, 23, 30, tzinfo=UTC), "2026-12-01 00:30 CET"),
    ],
)
async def test_days_and_times_are_of_who_goes(
    absences: Absences, words: str, until: datetime, shown: str
) -> None:
    said = await absences.away(EMMA.id, words, prefix="/")
    (made,) = await absences.service.delegations.standing()
    assert made.until == until
    assert said.startswith(f"You are away until {shown}; ")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Ben",
        "Ben until",
        "until yesterday",
        "until tomorrow noon",
        "until 2026-13-01",
        "until 2026-11-30 25:00",
        "until 9999-12-31",
        "x" * 500 + " until 2026-11-30",
    ],
)
async def test_wrong_words_are_answered_with_right_ones(absences: Absences, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        await absences.away(ANA.id, words, prefix="/countersign ")
    assert str(refused.value) == HOW.format("/countersign ")
    assert await absences.service.delegations.standing() == []


async def test_whom_a_mention_names_is_meant_alone(absences: Absences) -> None:
    for words in ("<@U1> or Ben until 2026-11-30", "Ben <@U1> until 2026-11-30", "until 2026-11-30 <@U1>"):
        with pytest.raises(Invalid):
            await absences.away(ANA.id, words, prefix="/", delegate=CY.id)
    await absences.away(ANA.id, "<@U1|cy> until 2026-11-30", prefix="/", delegate=CY.id)
    assert [made.delegate for made in await absences.service.delegations.standing()] == [CY.id]


@pytest.mark.timeout(20)
async def test_however_much_is_typed_it_is_read_at_once(absences: Absences) -> None:
    """Commands are read on the event loop."""
    for words in ("a" + " " * 40_000 + "b", "a" + "\u00a0" * 40_000 + "b", "until x " * 5_000, "x" * 40_000):
        with pytest.raises(Invalid):
            await absences.away(ANA.id, words, prefix="/")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Nobody Known until 2026-11-30", NOBODY),
        ("local until 2026-11-30", NOBODY),
        ("cy young until 2026-11-30", SEVERAL),
        ("ana until 2026-11-30", "Nobody can be their own delegate."),
        ("ben until 2026-11-01", "The end has to be in the future, at most 366 days from now."),
    ],
)
async def test_what_cannot_be_is_said_in_one_sentence(absences: Absences, words: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        await absences.away(ANA.id, words, prefix="/")
    assert str(refused.value) == sentence


async def test_a_circle_is_refused(absences: Absences) -> None:
    await absences.away(ANA.id, "ben until 2026-11-30", prefix="/")
    with pytest.raises(Invalid, match="delegated to you"):
        await absences.away(BEN.id, "ana until 2026-11-30", prefix="/")


async def test_whoever_is_back_decides_alone(absences: Absences) -> None:
    assert await absences.back(ANA.id) == NOT_AWAY
    await absences.away(ANA.id, "ben until 2026-11-30", prefix="/")
    assert await absences.back(ANA.id) == WELCOME
    assert await absences.service.delegations.standing() == []
