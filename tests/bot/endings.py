"""How a review comes to its end without a chat, and what is then said to who comes too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.model import LOCAL, Verdict
from tests.world import ANA, SAM

if TYPE_CHECKING:
    from core.model import Task
    from tests.bot.house import House

ENDS = {
    "approved": "Already approved by Ana Ruiz at ",
    "superseded": "This was attempt 1; attempt 2 has replaced it.",
    "gone back": "This was attempt 1; attempt 2 has replaced it.",
    "cancelled": "This review is closed: the task was cancelled by Sam Lee at ",
    "expired": "This review expired undecided at ",
    "answered": "Sam Lee has answered this question already.",
}
"""What somebody is told, from its beginning, who answers the review's question afterwards."""


async def ends(house: House, task: Task, how: str) -> None:
    """The review, or only the one question about it, in one of the ways of `ENDS`."""
    review = await house.review(task)
    match how:
        case "approved":
            await house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
        case "superseded":
            await house.service.decide(review.id, ANA.id, Verdict.REJECT, comment="Again.", via="web")
            await house.review(task, 2)
        case "gone back":
            await house.service.checkpoints.resume(task.id, LOCAL, checkpoint=0)
            await house.review(task, 2)
        case "cancelled":
            await house.service.cancel(task.id, SAM.id)
        case "expired":
            house.clock.advance(minutes=3)
        case "answered":
            (asked,) = await house.service.questions.of_task(task.id)
            await house.service.questions.answer(asked.id, SAM.id, "So.", via="web")
