"""The main story, told by the events that it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.events import (
    AttemptStarted,
    DecisionRecorded,
    NodeFinished,
    ReviewApproved,
    ReviewRejected,
    ReviewRequested,
    TaskCompleted,
    TaskSubmitted,
)
from core.model import Outcome, Status

if TYPE_CHECKING:
    from tests.world import World

STORY = [
    TaskSubmitted,
    AttemptStarted,
    NodeFinished,
    ReviewRequested,
    DecisionRecorded,
    ReviewRejected,
    AttemptStarted,
    NodeFinished,
    ReviewRequested,
    DecisionRecorded,
    ReviewApproved,
    TaskCompleted,
]


async def test_a_rejection_and_an_approval_leave_exactly_these_events(world: World) -> None:
    task = await world.submit("the plan")
    await world.reject(await world.open_review(task.id), comment="too short")
    await world.approve(await world.open_review(task.id, attempt=2))
    ended = await world.end(task.id)
    assert [type(event) for event in await world.history(task.id)] == STORY
    assert world.diary.of(task.id) == await world.history(task.id)
    assert (ended.status, ended.outcome, ended.attempt) == (Status.COMPLETED, Outcome.APPROVED, 2)
    assert "too short" in str(ended.final_result)
    assert str(ended.final_result).startswith("the plan")
