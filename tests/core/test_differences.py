"""core/differences.py: how two texts differ, and what it may cost."""

from __future__ import annotations

import time

import pytest

from core.differences import CHANGED, COMPARED, LONGEST, diff


def numbered(many: int, mark: str = "") -> str:
    return "\n".join(f"line {number}{mark}" for number in range(many))


def test_a_change_is_shown_with_what_stands_around_it() -> None:
    before = numbered(9)
    assert diff(before, before.replace("line 4", "line four"), ("a", "b")) == "\n".join(
        [
            "--- a",
            "+++ b",
            "@@ -2,7 +2,7 @@",
            *(f" line {number}" for number in (1, 2, 3)),
            "-line 4",
            "+line four",
            *(f" line {number}" for number in (5, 6, 7)),
        ]
    )
    assert diff({"n": 1}, {"n": 1}) == ""


def test_one_change_in_a_long_text_is_found() -> None:
    before = numbered(COMPARED)
    found = diff(before, before.replace("line 2500\n", "line\n"))
    assert found is not None
    assert found.splitlines()[5:8] == [" line 2499", "-line 2500", "+line"]
    assert diff(f"{before}\nmore", before) is None


@pytest.mark.parametrize("many", [CHANGED, CHANGED + 1])
def test_what_differs_too_much_is_not_compared(many: int) -> None:
    found = diff(numbered(many), numbered(many, "!"))
    assert (found is None) is (many > CHANGED)
    assert len(found or "") <= LONGEST


def test_the_worst_difference_costs_a_transaction_little() -> None:
    """Every second line of what comes again and again is changed, within what is the same."""
    frame = [f"{number % 100:040}" for number in range(2_000)]
    before = [f"{number % 100:040}" for number in range(CHANGED)]
    now = [line if number % 2 else f"{number + CHANGED:040}" for number, line in enumerate(before)]
    one, other = ("\n".join([*frame, *middle, *frame]) for middle in (before, now))
    assert len(one) > 200_000
    start = time.process_time()
    assert diff(one, other) is not None
    assert time.process_time() - start < 3, "12 s if all 5,000 lines differed so"
