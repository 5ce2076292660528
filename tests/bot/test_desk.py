"""What a chat answers to words fits it, whatever people are called and whatever they handed in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.blocks import home_view, listed
from bot.cards import Theirs
from bot.markup import ENTITIES, LIMIT
from bot.markup import listed as drawn
from bot.menu import LISTED, MOST, Answer, Entry
from bot.simulator.slack.limits import message_problems, view_problems
from core.literal import utf16

if TYPE_CHECKING:
    from bot.cards import Line

NASTY = st.one_of(
    st.sampled_from(
        ["<!channel>", "<@U01ANA>", "@here /start https://evil.example", "<&>" * 3000, "a" * 9000, "🙂" * 999]
    ),
    st.text(max_size=300),
)
URL = "https://sign.example.com/tasks/" + "0" * 32
LINKS = (("The card", "https://t.me/c/1234567890/12345"), ("The task's page", URL))


MORE = re.compile(r"\nAnd ([\d,]+) more:\n")


@given(NASTY, NASTY, st.integers(0, LISTED), st.integers(0, MOST - LISTED - 1))
def test_what_is_not_listed_is_counted_also_where_it_does_not_fit(
    title: str, name: str, number: int, more: int
) -> None:
    facts = ("attempt 2 · submitted by ", Theirs(text=name), " · you decide for ", Theirs(text=name))
    page = f"{URL}/{'x' * 120}"
    entry = Entry(title=title or "(untitled)", facts=facts, links=(("The task's page", page),))
    answer = Answer(line=("These:",), entries=(entry,) * number, links=(("Your inbox", URL),), more=more)
    made = drawn(answer, has_titles=True).text
    assert utf16(made) <= LIMIT
    assert made.endswith(URL)
    said = MORE.search(made)
    assert made.count(page) + (int(said[1]) if said else 0) == number + more


@pytest.mark.parametrize("away", [7, 12, 120])
def test_no_title_comes_to_life_below_the_many_for_whom_somebody_decides(away: int) -> None:
    """Of a message's entities Telegram drops what is over a hundred, and then reads links in that text."""
    facts: Line = ("attempt 1 · submitted by ", Theirs(text="Sam"))
    for _ in range(away):
        facts += (" · you decide for ", Theirs(text="Al"))
    entry = Entry(title="@here /start https://evil.example", facts=facts, links=LINKS[1:])
    answer = Answer(line=("These:",), entries=(entry,) * LISTED, links=(("Your inbox", URL),))
    made = drawn(answer, has_titles=True)
    assert len(made.entities) <= ENTITIES
    said = MORE.search(made.text)
    assert made.text.count("/start") + (int(said[1]) if said else 0) == LISTED


def test_a_title_that_is_a_link_shows_what_hides_in_it_and_where_there_is_none_its_address() -> None:
    choices = (("pay \u202eeman", URL), ("", URL), ("x" * 500, URL))
    (section,) = listed(Answer(line=("These:",), choices=choices))[0]["elements"]
    shown = [part["text"] for part in section["elements"] if part["type"] == "link"]
    assert shown[:2] == ["pay ⟨U+202E⟩eman", URL]
    assert shown[2].endswith(" more characters)")


def test_what_was_not_counted_to_its_end_is_said_to_be_more_at_least() -> None:
    answer = Answer(line=("These:",), choices=(("one", URL),) * LISTED, more=MOST - LISTED)
    made = drawn(answer, has_titles=True)
    assert made.text.endswith(f"\nAnd at least {MOST - LISTED} more.")


@given(NASTY, NASTY, st.integers(0, LISTED), st.none() | NASTY)
def test_any_answer_fits_and_brings_nothing_to_life(
    title: str, name: str, number: int, code: str | None
) -> None:
    facts = ("attempt 2 · submitted by ", Theirs(text=name), " · until 2026-11-21 18:20 UTC")
    answer = Answer(
        line=("You are ", Theirs(text=name), " here."),
        code=None if code is None else f"telegram = {code[:100]}",
        entries=(Entry(title=title or "(untitled)", facts=facts, links=LINKS),) * number,
        links=(("Your inbox", URL),),
    )
    assert message_problems(listed(answer)) == []
    assert view_problems({"type": "home", "blocks": home_view(answer)}) == []
    kinds = {
        part["type"] for block in listed(answer) for inner in block["elements"] for part in inner["elements"]
    }
    assert kinds <= {"text", "link", "date"}
    made = drawn(answer, has_titles=True)
    assert utf16(made.text) <= LIMIT
    assert made.text.endswith(URL)
    assert {entity.type for entity in made.entities} <= {"code", "bold", "pre"}
