"""What a task's history is to be."""

from __future__ import annotations

REVIEW_EVENT = {"approve": "review_approved", "reject": "review_rejected"}


def names(verdicts: list[str]) -> list[str]:
    """The events of a task that was decided so, in their only order."""
    rounds = [
        ["attempt_started", "node_finished", "review_requested", "decision_recorded", REVIEW_EVENT[verdict]]
        for verdict in verdicts
    ]
    return ["task_submitted", *(name for each in rounds for name in each), "task_completed"]
