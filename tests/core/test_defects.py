"""Our own defects, as a log has them."""

from __future__ import annotations

from core.defects import FRAMES, defect

CANARY = "pay Mira Holm nothing"


def broken(depth: int = 0) -> None:
    if depth:
        broken(depth - 1)
    raise ValueError(CANARY)


def test_a_defect_is_its_class_and_the_innermost_places() -> None:
    try:
        broken(2 * FRAMES)
    except ValueError as error:
        told = defect(error)
    assert told["error"] == "ValueError"
    assert told["at"].count(" > ") == FRAMES - 1
    assert told["at"].endswith(" broken")
    assert CANARY not in str(told)


def test_what_was_never_raised_stands_nowhere() -> None:
    assert defect(ValueError(CANARY)) == {"error": "ValueError", "at": ""}
