"""Nothing hides in other people's text, and nothing is cut off without a word."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.literal import clipped, excerpt, literal, utf16

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


@given(ANY_TEXT, st.integers(0, 300))
@example("🇩🇪🇫🇷", 3)
def test_an_excerpt_keeps_the_limit_and_counts_what_is_missing(text: str, limit: int) -> None:
    shown = excerpt(text, limit)
    assert utf16(shown.text) <= limit
    assert shown.text == literal(text[: len(text) - shown.missing])


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


@given(ANY_TEXT, st.integers(40, 300))
def test_a_clipped_line_stays_one_line_within_its_limit(text: str, limit: int) -> None:
    line = clipped(text, limit)
    assert utf16(line) <= limit
    assert "\n" not in line


def test_a_clipped_line_says_how_much_is_missing() -> None:
    assert clipped("x" * 500, 60) == "x" * 37 + "… (463 more characters)"
