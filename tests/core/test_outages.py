"""What the log is told of something that is tried again and again."""

from __future__ import annotations

from structlog.testing import capture_logs

from core.errors import StoreUnavailable
from core.outages import REASONS, Outage

FULL, GONE = StoreUnavailable("The disk is full."), StoreUnavailable("The server is gone.")


def test_it_is_told_when_it_begins_for_what_other_reason_it_goes_on_and_when_it_is_over() -> None:
    outage = Outage("cards_postponed", channel="paper")
    with capture_logs() as logs:
        outage.over()
        for error in (FULL, FULL, GONE, GONE, GONE):
            outage.failed(error)
        outage.over()
        outage.over()
        outage.failed(GONE)
    common = {"event": "cards_postponed", "channel": "paper"}
    assert logs == [
        {**common, "log_level": "warning", "reason": "The disk is full."},
        {**common, "log_level": "warning", "reason": "The server is gone."},
        {**common, "log_level": "info", "over": True, "tries": 5},
        {**common, "log_level": "warning", "reason": "The server is gone."},
    ]


def test_reasons_that_come_by_turns_are_told_once_each_and_anew_in_the_next_outage() -> None:
    outage = Outage("cards_postponed")
    with capture_logs() as logs:
        for _ in range(2):
            for error in (FULL, GONE, FULL, GONE):
                outage.failed(error)
            outage.over()
    told = [line.get("reason") for line in logs]
    assert told == 2 * ["The disk is full.", "The server is gone.", None]
    assert [line["tries"] for line in logs if "over" in line] == [4, 4]


def test_reasons_without_end_are_not_told_without_end() -> None:
    outage = Outage("cards_postponed")
    with capture_logs() as logs:
        for number in range(10 * REASONS):
            outage.failed(StoreUnavailable(f"Port {number} is closed."))
        outage.over()
    assert len(logs) == REASONS + 1
    assert logs[-1]["tries"] == 10 * REASONS
