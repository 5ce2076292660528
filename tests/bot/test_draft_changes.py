"""What has changed between two drafts, as a card shows it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.edits import difference
from bot.literal import fitting
from core.changes import COMPARED, GAP, LONG, changes
from core.differences import CHANGED
from core.literal import escaped, utf16

LINE = st.sampled_from(["", "a", "b", "c", "}", "a long sentence. " * 20, "x" * 300, "one.\r"])
TEXT = st.lists(LINE, max_size=30).map("\n".join)


def test_a_changed_line_stands_beside_its_own() -> None:
    before, now = "1\n2\n3\n4\n5\n6", "1\n2\n3!\n4!\n5\n6"
    assert changes(before, now) == [" 1", " 2", "-3", "+3!", "-4", "+4!", " 5", " 6"]


def test_what_lies_between_two_changes_is_left_out() -> None:
    middle = "\n".join(f"line {number}" for number in range(10))
    found = changes(f"a\n{middle}\nb", f"A\n{middle}\nB")
    assert found == ["-a", "+A", " line 0", " line 1", GAP, " line 8", " line 9", "-b", "+B"]


def test_prose_is_compared_by_its_sentences() -> None:
    prose = " ".join(f"This is sentence number {number}." for number in range(20))
    found = changes(prose, prose.replace("number 7.", "number seven."))
    assert found is not None
    assert [line.rstrip() for line in found if line[0] != " "] == [
        "-This is sentence number 7.",
        "+This is sentence number seven.",
    ]


def test_two_long_lines_show_where_they_differ() -> None:
    found = changes("word " * 100 + "alpha" + " word" * 100, "word " * 100 + "beta" + " word" * 100)
    assert found is not None
    assert [len(line) < LONG for line in found] == [True, True]
    assert "alpha" in found[0]
    assert "beta" in found[1]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("x" * (COMPARED + 1), "y"),
        ("\n".join(map(str, range(CHANGED + 1))), "\n".join(f"{number}!" for number in range(CHANGED + 1))),
    ],
)
def test_texts_too_long_or_too_different_are_not_compared(before: str, now: str) -> None:
    assert changes(before, now) is None


def test_one_change_in_a_long_text_is_found() -> None:
    text = "\n".join(f"line {number}" for number in range(5 * CHANGED))
    assert changes(text, text.replace("line 4242", "this one")) == [
        " line 4240",
        " line 4241",
        "-line 4242",
        "+this one",
        " line 4243",
        " line 4244",
    ]


@given(TEXT, TEXT)
def test_the_lines_account_for_both_texts(before: str, now: str) -> None:
    found = changes(before, now)
    assert found is not None
    same = before.replace("\r\n", "\n") == now.replace("\r\n", "\n")
    assert (found == []) == same
    assert all(line[0] in " +-" for line in found if line != GAP)
    shorter = len(before) + len(now)
    assert sum(len(line) - 1 for line in found if line[0] == "-") <= shorter + 2 * len(found)


@given(
    st.lists(st.text(max_size=400).map(lambda text: text.replace("\n", " ")), max_size=20),
    st.integers(0, 600),
)
def test_what_fits_fits_and_the_rest_is_counted(lines: list[str], room: int) -> None:
    for length in (utf16, escaped):
        text, missing = fitting(lines, room, length)
        assert length(text) <= max(room, 0)
        assert text.count("\n") + 1 == len(lines) - missing or not text


def test_one_line_never_takes_all_the_room() -> None:
    text, missing = fitting(["-" + "x" * 5000, "+" + "y" * 5000], 600, utf16)
    assert missing == 0
    assert text.splitlines()[1].startswith("+yyy")


def test_an_edit_that_changes_too_much_to_be_compared_is_shown_as_one_for_the_other() -> None:
    before, now = "1\n" * (CHANGED + 1), "2\n" * (CHANGED + 1)
    lines = difference(before, now).split("\n")
    assert lines == ["-1"] * (CHANGED + 1) + ["-"] + ["+2"] * (CHANGED + 1) + ["+"]


def test_an_edit_is_shown_as_a_card_shows_changes_without_numbers_of_lines() -> None:
    middle = [f"line {number}" for number in range(10)]
    before, now = "\n".join(["a", *middle, "b"]), "\n".join(["A", *middle, "B"])
    shown = difference(before, now).split("\n")
    assert shown == [
        "-a",
        "+A",
        *(f" {line}" for line in middle[:3]),
        GAP,
        *(f" {line}" for line in middle[-3:]),
        "-b",
        "+B",
    ]


def test_lines_of_a_draft_that_look_like_a_gap_stay() -> None:
    assert difference("@@ -1 +1 @@\nb", "@@ -1 +1 @@\nB\n@@") == " @@ -1 +1 @@\n-b\n+B\n+@@"


@given(TEXT, TEXT)
def test_every_change_of_an_edit_is_shown(before: str, now: str) -> None:
    """Of line ends and breaks, too, which a card passes over: this is what somebody confirms."""
    lines = difference(before, now).split("\n") if before != now else []
    for sign, text, other in (("-", before, now), ("+", now, before)):
        shown = Counter(line[1:] for line in lines if line[0] == sign)
        assert shown >= Counter(text.split("\n")) - Counter(other.split("\n"))
