"""Where one decides, the page and the inbox say what led to the attempt, and what has changed since."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import web.pages.since
from core.model import Verdict
from tests.web.attempts import Attempts, house_of_attempts
from tests.web.reading import HOSTILE, Seen, seen, words
from tests.web.web_house import PAGE
from tests.world import ANA, BEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.world import StoppedClock

BEFORE = "We open at eight.\nSee you soon."
NOW = "We open at eight on Monday.\nSee you soon."
BOTH = ["task", "inbox"]


@pytest.fixture
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[Attempts]:
    async with AsyncExitStack() as stack, house_of_attempts(sqlite_database, clock, stack) as made:
        yield made


async def deciding(house: Attempts, where: str, task_id: str, person: str = "ana") -> tuple[Seen, str]:
    """The page, and the words of the part of it where one decides."""
    path = "/inbox" if where == "inbox" else f"/tasks/{task_id}"
    page = await seen(await house.signed_in(person), path)
    return page, words(page).partition("Where it stands")[0]


@pytest.mark.parametrize("where", BOTH)
@pytest.mark.parametrize("flow", ["draft", "confirm"])
async def test_the_words_of_who_rejected_and_what_has_changed_stand_where_one_decides(
    house: Attempts, where: str, flow: str
) -> None:
    task_id, _ = await house.rejected(BEFORE, NOW, flow=flow)
    _, said = await deciding(house, where, task_id)
    assert "Before this, rejected by Ana Ruiz 21 Nov 2026, 08:00:00 UTC · web Name the date, please" in said
    changed = "Removed: -We open at eight. Added: +We open at eight on Monday. See you soon."
    assert f"Changed since attempt 1 {changed}" in said


async def test_an_inbox_shows_all_of_its_differences_however_few_are_kept(
    house: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.pages.since, "KEPT", 2)
    for number in range(1, 4):
        task_id, _ = await house.rejected(BEFORE, NOW)
        for _ in range(2):  # as they are made, and of those that are kept
            _, said = await deciding(house, "inbox", task_id)
            assert said.count("Changed since attempt 1") == number


@pytest.mark.parametrize("where", BOTH)
async def test_of_a_first_attempt_nothing_is_said(house: Attempts, where: str) -> None:
    task = await house.world.submit([BEFORE])
    await house.open_review(task.id)
    _, said = await deciding(house, where, task.id)
    assert "Before this" not in said
    assert "since" not in said.replace("waiting since", "")


@pytest.mark.parametrize("where", BOTH)
@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (BEFORE, BEFORE.replace(" ", "  "), "Only white space was changed since attempt 1"),
        (BEFORE, BEFORE, "Nothing was changed since attempt 1."),
        (BEFORE, BEFORE.replace("\n", "\r\n"), "Only line ends were changed since attempt 1."),
        ("x" * 1_000_000, "y", "Changed since attempt 1: too much to be compared here."),
        ({"hours": {"mon": 8}}, {"hours": {"mon": 9}}, 'Removed: - "mon": 8 Added: + "mon": 9'),
    ],
    ids=["white space", "nothing", "line ends", "a megabyte", "json"],
)
async def test_it_is_compared_as_on_the_card(
    house: Attempts, where: str, before: object, now: object, said: str
) -> None:
    task_id, _ = await house.rejected(before, now)  # type: ignore[arg-type]  # of parametrize
    assert said in (await deciding(house, where, task_id))[1]


@pytest.mark.parametrize("where", BOTH)
async def test_what_is_long_is_folded_and_cut_and_says_what_is_missing(house: Attempts, where: str) -> None:
    before = [f"line {number} " + "x" * 60 for number in range(300)]
    task_id, review = await house.rejected(
        "\n".join(before), "\n".join(line.upper() for line in before), comment="w" * 9_000
    )
    page, said = await deciding(house, where, task_id)
    (folded,) = [one for one in page.all("details") if one.get("id") == f"since-{review}"]
    assert "open" not in folded
    assert "Changed since attempt 1 600 lines" in said
    shown = said.count("Removed: ") + said.count("Added: ")
    assert 100 < shown < 300
    assert f"Lines of it missing here: {600 - shown:,}; " in said
    assert "w" * 1_000 + " Cut off here: 8,000 of 9,000 characters are missing; " in said
    assert "w" * 1_001 not in said.partition("Timeline")[0]


@pytest.mark.parametrize("where", BOTH)
async def test_one_endless_line_is_cut_within_itself(house: Attempts, where: str) -> None:
    task_id, _ = await house.rejected("a" * 90_000, "e\u0301" * 40_000)
    _, said = await deciding(house, where, task_id)
    assert "a… (86,001 more characters)" in said
    assert "e\u0301… (76,002 more characters)" in said, "no letter without its accent"


@pytest.mark.parametrize("where", BOTH)
async def test_hostile_words_and_drafts_stay_text(house: Attempts, where: str) -> None:
    hidden = "safe\u202egnp.exe\u200b"
    nasty = [*HOSTILE, hidden, "--- x", "+++ y", "@@ -1 +1 @@", "</ins></pre><h1>Approved</h1>"]
    calm = "\n".join(str(number) for number in range(len(nasty)))
    task_id, _ = await house.rejected(calm, "\n".join(nasty), comment="\n".join([*HOSTILE, hidden]))
    page, said = await deciding(house, where, task_id)
    assert len(page.all("h1")) == len(page.all("img")) == 1
    assert page.text.count("<script>alert(1)</script>") >= 2
    assert said.count("safeU+202Egnp.exeU+200B") >= 3
    for sign in ("Added: +--- x", "Added: ++++ y", "Added: +@@ -1 +1 @@"):
        assert sign in said
    assert not set("\u202e\u200b") & set(page.text)


@pytest.mark.parametrize("where", BOTH)
async def test_all_who_rejected_are_quoted_and_an_edit_is_named_so(house: Attempts, where: str) -> None:
    task_id, _ = await house.rejected(BEFORE, NOW, flow="veto", by=(ANA, BEN))
    _, said = await deciding(house, where, task_id, "cy")
    assert said.index("rejected by Ana Ruiz") < said.index("rejected by Ben Okri")
    other = await house.world.submit([BEFORE], flow="edited", title="Edited")
    review = await house.open_review(other.id)
    await house.service.decide(review, ANA.id, Verdict.EDIT, content=NOW, comment="Mine", via="web")
    await house.open_review(other.id, 2)
    _, said = await deciding(house, where, other.id, "ben")
    assert "Before this, edited by Ana Ruiz" in said
    assert "Added: +We open at eight on Monday." in said


async def test_the_inbox_says_what_is_missing_where_more_than_one_is_asked(house: Attempts) -> None:
    await house.rejected(BEFORE, NOW, flow="staged")
    _, said = await deciding(house, "inbox", "")
    assert "Stage 1 of 2 Missing 1 approval of legal: Ana Ruiz or Ben Okri" in said
    await house.rejected(BEFORE, NOW, flow="veto", by=(ANA, BEN))
    assert "To reject 2 people" in (await deciding(house, "inbox", "", "cy"))[1]


async def test_the_inbox_says_nothing_of_that_where_one_is_enough(house: Attempts) -> None:
    await house.rejected(BEFORE, NOW)
    _, said = await deciding(house, "inbox", "")
    assert "Missing" not in said


async def test_what_is_missing_is_sent_again_when_the_file_is_read_anew(house: Attempts) -> None:
    await house.rejected(BEFORE, NOW, flow="two")
    ana = await house.signed_in("ana")
    async with ana.get("/inbox", headers=PAGE) as answer:
        assert "2 approvals: Ana Ruiz, Ben Okri or Cy Young" in words(Seen(await answer.text()))
    tag = answer.headers["ETag"]
    house.in_force["two"] = replace(house.in_force["two"], reviewers=(ANA.id, BEN.id))
    async with ana.get("/inbox", headers={**PAGE, "If-None-Match": tag}) as answer:
        assert answer.status == 200
        assert "2 approvals: Ana Ruiz or Ben Okri" in words(Seen(await answer.text()))


async def test_the_inbox_leads_to_where_one_asks(house: Attempts) -> None:
    task_id, review = await house.rejected(BEFORE, NOW)
    page, said = await deciding(house, "inbox", "")
    assert "Ask Sam Lee something…" in said
    assert f"/tasks/{task_id}#ask-{review}" in [link.get("href") for link in page.all("a")]
    page, _ = await deciding(house, "task", task_id)
    assert f"ask-{review}" in [one.get("id") for one in page.all("details")]


async def test_an_open_inbox_reads_the_drafts_before_once_and_all_together(house: Attempts) -> None:
    for _ in range(3):
        await house.rejected(BEFORE, NOW)
    ana = await house.signed_in("ana")
    page = await seen(ana, "/inbox")
    assert len(page.all("del")) == 3
    assert house.service.calls["compared"] == 1
    for _ in range(3):
        await seen(ana, "/inbox")
    assert house.service.calls["compared"] == 1
