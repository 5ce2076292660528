"""What the log is told of something that is tried again and again."""

from __future__ import annotations

from structlog.testing import capture_logs

from core.errors import StoreUnavailable
from core.outages import Outage

FULL, GONE = StoreUnavailable("The disk is full."), StoreUnavailable("The server is gone.")


def test_it_is_told_when_it_begins_when_its_reason_changes_and_when_it_is_over() -> None:
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
