"""What passes by on a terminal, and what stays there."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest

from countersign.history import line, reviews, tell, until
from countersign.terminal import CLEAR, Screen, bar, literal


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def progress(fraction: float | None, text: str | None) -> dict[str, Any]:
    return {"event": "progress_reported", "node": "price", "fraction": fraction, "text": text}


def streamed(text: str) -> dict[str, Any]:
    return {"event": "text_streamed", "node": "price", "text": text}


def test_a_bar_says_how_far_it_is() -> None:
    assert bar(0.5, "reading") == "[############------------]  50%  reading"
    assert bar(1.0, "") == "[########################] 100%  "
    assert bar(None, "reading") == "reading"


def test_progress_passes_by_and_changes_of_the_status_stay(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    screen = Screen(terminal)
    tell(progress(0.25, "page 1\x1b of many, many pages"), screen)
    tell({"event": "attempt_started", "attempt": 2}, screen)
    assert terminal.getvalue() == f"{CLEAR}[######------------------]  25%  price…{CLEAR}"
    assert capsys.readouterr().out == "running (attempt 2)\n"


def test_streamed_text_stands_between_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    for event in (progress(None, None), streamed("Dear "), streamed("Ana\x07"), progress(1.0, "done")):
        tell(event, screen)
    screen.clear()
    shown = terminal.getvalue()
    assert shown.startswith(f"{CLEAR}price: at work{CLEAR}Dear Ana\\x07\n{CLEAR}[####")
    assert capsys.readouterr().out == ""


def test_without_a_terminal_only_the_status_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    passing = StringIO()
    screen = Screen(passing)
    decision = {"event": "decision_recorded", "reviewer_name": "Ana", "verdict": "approve", "comment": None}
    retry = {"event": "node_retried", "node": "price", "retry": 1, "error": "Oops."}
    for event in (progress(0.5, "x"), streamed("x"), decision, retry, {"event": "node_finished"}):
        tell(event, screen)
    tell({"event": "task_cancelled"}, screen)
    assert passing.getvalue() == ""
    assert capsys.readouterr().out == "cancelled\n"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {"event": "task_completed", "outcome": None, "final_result": {"a": 1}},
            'completed (no review)\n{\n  "a": 1\n}',
        ),
        ({"event": "task_completed", "outcome": "rejected", "final_result": None}, "completed (rejected)"),
        ({"event": "task_failed", "error": "a\x1b[2J"}, "failed: a\\x1b[2J"),
        ({"event": "task_rewound", "checkpoint": 3, "by_name": "Ana"}, "taken back to checkpoint 3 by Ana"),
        ({"event": "something_new"}, None),
    ],
)
def test_an_event_in_words(event: dict[str, Any], said: str | None) -> None:
    assert line(event) == said


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert literal("a\x1b[2J\u202eb\nü") == "a\\x1b[2J\\u202eb\nü"


def test_reviews_of_a_history_and_their_decisions() -> None:
    asked = {"event": "review_requested", "seq": 3, "at": "t3", "attempt": 1, "draft": "d"}
    where = {"node": "review", "point": "review"}
    decision = {
        "event": "decision_recorded",
        "task_id": "t",
        "seq": 4,
        "at": "t4",
        "review": "r",
        "verdict": "edit",
    }
    history: list[dict[str, Any]] = [
        {"event": "attempt_started", "seq": 2, "at": "t2", "attempt": 1},
        {**asked, **where, "review": "r", "policy": "release", "policy_hash": "0123456789ab"},
        decision,
        {"event": "review_approved", "seq": 5, "at": "t5", "review": "r", "attempt": 1},
        {**asked, "review": "s"},
    ]
    first, second = reviews(history)
    assert first == {
        "review_id": "r",
        "attempt": 1,
        "draft": "d",
        "node": "review",
        "point": "review",
        "policy": {"name": "release", "hash": "0123456789ab"},
        "opened_at": "t3",
        "outcome": "approved",
        "closed_at": "t5",
        "closed_by": "decision",
        "decisions": [{"at": "t4", "verdict": "edit", "carried": False, "counts": True}],
    }
    assert (second["outcome"], second["closed_at"], second["decisions"]) == (None, None, [])


def test_only_what_closes_a_review_is_its_outcome_and_what_was_withdrawn_does_not_stand() -> None:
    ana = {"reviewer": "ana", "review": "r", "seq": 3, "task_id": "t"}
    history: list[dict[str, Any]] = [
        {"event": "review_requested", "review": "r", "at": "t1", "attempt": 1, "draft": "d"},
        {"event": "decision_recorded", **ana, "verdict": "approve", "at": "t2"},
        {"event": "decision_withdrawn", **ana, "at": "t3"},
        {"event": "review_escalated", "review": "r", "at": "t4"},
        {"event": "review_stuck", "review": "r", "at": "t5"},
    ]
    (still_open,) = reviews(history)
    assert (still_open["outcome"], still_open["decisions"]) == (None, [])
    (closed,) = reviews(
        [*history, {"event": "review_expired", "review": "r", "at": "t6", "outcome": "approved"}]
    )
    assert (closed["outcome"], closed["closed_at"], closed["closed_by"]) == ("approved", "t6", "deadline")


@pytest.mark.parametrize(
    ("event", "by"), [("task_cancelled", "cancel"), ("task_rewound", "resume"), ("task_failed", "failure")]
)
def test_what_called_a_review_off_is_told_and_changes_none_that_was_closed(event: str, by: str) -> None:
    asked = {"event": "review_requested", "at": "t1", "attempt": 1, "draft": "d"}
    history: list[dict[str, Any]] = [
        {**asked, "review": "r"},
        {"event": "review_rejected", "review": "r", "at": "t2"},
        {**asked, "review": "s"},
        {"event": event, "at": "t3"},
    ]
    found = [(one["outcome"], one["closed_at"], one["closed_by"]) for one in reviews(history)]
    assert found == [("rejected", "t2", "decision"), (None, "t3", by)]


def test_carried_approvals_and_those_that_did_not_count_are_told_apart() -> None:
    ana: dict[str, Any] = {"reviewer": "ana", "reviewer_name": "Ana", "verdict": "approve", "at": "t0"}
    eve = {"reviewer": "eve", "person": "ben", "review": "r", "verdict": "approve", "at": "t3"}
    history: list[dict[str, Any]] = [
        {"event": "review_requested", "review": "r", "at": "t1", "attempt": 2, "draft": "d"},
        {"event": "decisions_carried", "review": "r", "at": "t1", "reviewers": ["Ana"], "decisions": [ana]},
        {"event": "decision_recorded", "task_id": "t", "seq": 3, **eve},
        {"event": "decisions_dropped", "review": "r", "at": "t4", "people": ["Ben"], "ids": ["ben"]},
        {"event": "review_expired", "review": "r", "at": "t4", "outcome": "approved"},
    ]
    del eve["review"]
    (found,) = reviews(history)
    assert found["decisions"] == [
        {**ana, "carried": True, "counts": True},
        {**eve, "carried": False, "counts": False},
    ]
    del history[1]["decisions"]
    (found,) = reviews(history[:2])
    (named,) = found["decisions"]
    assert (named["reviewer_name"], named["carried"]) == ("Ana", True), "as an earlier release told it"


def test_a_history_is_read_to_the_end_that_the_task_had() -> None:
    """What somebody resumed meanwhile has no end yet, and reading on would wait for it."""
    early, end = "2026-11-21T08:00:00Z", "2026-11-21T09:00:00.5Z"
    history = [
        {"event": "task_completed", "at": early},
        {"event": "task_rewound", "at": early},
        {"event": "task_completed", "at": end},
        {"event": "task_rewound", "at": end},
    ]
    assert list(until(history, end)) == history[:3]


def test_who_is_looking_passes_by_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"person_name": "Ana \x1b[31m", "until": "2026-11-21T15:20:00Z", "reason": "released"}
    for passing in (Terminal(), StringIO()):
        for name in ("review_claimed", "claim_ended", "reminder_snoozed"):
            tell({"event": name, **said}, Screen(passing))
        tell({"event": "reminder_snoozed", **said, "until": None}, Screen(passing))
    assert capsys.readouterr().out.splitlines() == [
        r"Ana \x1b[31m is looking, until 2026-11-21T15:20:00Z",
        r"Ana \x1b[31m is not looking any more",
        r"Ana \x1b[31m wants to be reminded at 2026-11-21T15:20:00Z",
        r"Ana \x1b[31m wants to be reminded with everybody else again",
    ]
