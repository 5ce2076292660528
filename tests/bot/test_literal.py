"""Nothing hides in other people's text, and nothing is cut off without a word."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.literal import clipped, excerpt
from core.literal import SHORT, escaped, is_short, literal, utf16

ANY_TEXT = st.text(st.characters(codec=None), max_size=400)


def test_no_character_without_ink_stays_as_it_is() -> None:
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    hidden = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if char not in "\n\t" and unicodedata.category(char) in unseen and char in literal(f"a{char}b")
    ]
    assert hidden == []


@pytest.mark.parametrize(
    "char",
    ["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u3164", "\u2800", "\U000e0041", "\x00"],
)
def test_the_mark_names_the_hidden_character(char: str) -> None:
    assert literal(f"pay{char}me") == f"pay⟨U+{ord(char):04X}⟩me"


def test_line_ends_tabs_and_emoji_stay() -> None:
    assert literal("one\r\ntwo\tthree ❤️ 1️⃣") == "one\ntwo\tthree ❤️ 1️⃣"


def test_an_emoji_selector_that_selects_nothing_is_shown() -> None:
    assert literal("a\ufe0fb") == "a⟨U+FE0F⟩b"


PIECES = [
    "```",
    "````",
    "~~~",
    "`",
    "\n",
    "\n",
    "```py\n",
    "  ```\n",
    "x = 1\n",
    "👩🏽",
    "🇩🇪",
    "e\u0301",
    "a " * 50,
]
CODE = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=60).map("".join)


@given(st.one_of(ANY_TEXT, CODE), st.integers(0, 300))
@example("🇩🇪🇫🇷", 3)
def test_an_excerpt_keeps_the_limit_and_counts_what_is_missing(text: str, limit: int) -> None:
    shown = excerpt(text, limit)
    assert utf16(shown.text) <= limit
    start = literal(text[: len(text) - shown.missing])
    assert shown.text.startswith(start)
    closing = shown.text.removeprefix(start)
    assert not closing or (shown.missing and not closing.strip("\n`~"))


def blocks_of_code(text: str) -> tuple[int, bool]:
    """How many were opened, and whether the last one is open still, read line by line."""
    opened, marker = 0, ""
    for line in text.split("\n"):
        start = line.lstrip(" ")
        run = len(start) - len(start.lstrip(start[:1])) if start[:1] in {"`", "~"} and start else 0
        if len(line) - len(start) > 3 or run < 3:
            continue
        rest = start[run:]
        if not marker and not (start[0] == "`" and "`" in rest):
            opened, marker = opened + 1, start[:run]
        elif marker and start[0] == marker[0] and run >= len(marker) and not rest.strip():
            marker = ""
    return opened, bool(marker)


@given(CODE, st.integers(120, 400))
@example("```" + "a" * 500, 120)
def test_an_excerpt_leaves_no_block_of_code_open(text: str, limit: int) -> None:
    shown = excerpt(text, limit)
    if shown.missing:
        assert not blocks_of_code(shown.text)[1]


def test_a_block_of_code_that_is_cut_is_closed_and_one_barely_begun_is_left_out() -> None:
    code = "~~~~py\n" + "x = 1\n" * 100
    assert excerpt(code, 100).text == "~~~~py\n" + "x = 1\n" * 14 + "x = \n~~~~"
    assert excerpt("words\n" * 10 + code, 100).text == "words\n" * 10
    assert excerpt("`" * 500, 100).missing == 400, "a fence that fills everything is no code"


def test_what_is_short_is_so_however_it_is_counted() -> None:
    assert is_short("x" * SHORT)
    assert not is_short("x" * (SHORT + 1))
    assert is_short("😀" * (SHORT // 2))
    assert not is_short("😀" * (SHORT // 2 + 1))
    assert not is_short("<" * (SHORT // 4 + 1)), "Slack may count what it escapes"
    assert not is_short("\u200b" * (SHORT // 8 + 1)), "and what is hidden is shown by its number"


@given(st.text(st.characters(codec=None), max_size=300))
def test_shortness_is_one_count(text: str) -> None:
    text *= 9
    assert is_short(text) == (escaped(literal(text)) <= SHORT)


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("ae\u0301x", 2, "a"),  # an accent stays with its letter
        ("a👍🏽", 4, "a"),  # a skin tone with its hand
        ("🇩🇪🇫🇷", 6, "🇩🇪"),  # both halves of a flag
        ("🇩🇪🇫🇷", 7, "🇩🇪"),
        ("a😀", 2, "a"),  # both halves of a surrogate pair
        ("a❤️", 2, "a"),  # the emoji selector with its heart
        ("\u1112\u1161\u11ab!", 2, ""),  # a Hangul syllable
    ],
)
def test_a_cut_never_splits_what_people_read_as_one_character(text: str, limit: int, kept: str) -> None:
    assert excerpt(text, limit).text == kept


def test_a_pile_of_accents_cannot_prevent_the_cut() -> None:
    assert excerpt("a" + "\u0301" * 1000, 500).missing == 501


@given(st.one_of(ANY_TEXT, CODE), st.integers(40, 300))
@example("```py " + "x" * 300, 100)
def test_a_clipped_line_stays_one_line_within_its_limit(text: str, limit: int) -> None:
    line = clipped(text, limit)
    assert utf16(line) <= limit
    assert "\n" not in line


def test_a_clipped_line_says_how_much_is_missing() -> None:
    assert clipped("x" * 500, 60) == "x" * 37 + "… (463 more characters)"
