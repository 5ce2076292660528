"""What a chat answers to words fits it, whatever people are called and whatever they handed in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.blocks import home_view, listed
from bot.cards import Theirs
from bot.markup import LIMIT
from bot.markup import listed as drawn
from bot.menu import LISTED, Answer, Entry
from bot.simulator.slack.limits import message_problems, view_problems
from core.literal import utf16

NASTY = st.one_of(
    st.sampled_from(
        ["<!channel>", "<@U01ANA>", "@here /start https://evil.example", "<&>" * 3000, "a" * 9000, "🙂" * 999]
    ),
    st.text(max_size=300),
)
URL = "https://sign.example.com/tasks/" + "0" * 32
LINKS = (("The card", "https://t.me/c/1234567890/12345"), ("The task's page", URL))


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
