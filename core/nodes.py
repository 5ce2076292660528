"""The three nodes of the flow that ships: process, review, result.

They are PocketFlow nodes with prep / exec / post, and speak through `shared`, a dict of JSON values:
`task_input`, `processed_output`, `feedback` (the verdict's word, `approved` or `rejected`),
`feedback_comment`, `final_result`, `current_attempt`, `task_id`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from pocketflow import AsyncNode, Node

from core.errors import FlowError
from core.model import Outcome

if TYPE_CHECKING:
    from core.model import Json, ReviewRequest
    from core.ports import Processor

log = structlog.get_logger()

Shared = dict[str, Any]


class ProcessNode(AsyncNode):  # type: ignore[misc]  # PocketFlow has no types
    """Turns the task, and the feedback on the last attempt, into a draft."""

    def __init__(self, name: str = "process", *, processor: Processor) -> None:
        super().__init__()
        self.name = name
        self.processor = processor

    async def prep_async(self, shared: Shared) -> Shared:
        return {**shared, "attempt": shared["current_attempt"] + 1}

    async def exec_async(self, prep_res: Shared) -> Json:
        return await self.processor(prep_res)

    async def post_async(self, shared: Shared, prep_res: Shared, exec_res: Json) -> str:
        shared["processed_output"] = exec_res
        shared["current_attempt"] = prep_res["attempt"]
        return "default"


class ReviewNode(Node):  # type: ignore[misc]  # PocketFlow has no types
    """Puts the draft before reviewers. Its actions are `approved` and `rejected`.

    Between prep and post the task is rows in the database and nothing else: the runner parks it, and
    gives post the closed review in place of what exec would return.
    """

    def __init__(self, name: str = "review", *, policy: str | None = None) -> None:
        """`policy` is a policy's name; None is the flow's."""
        super().__init__()
        self.name = name
        self.policy = policy

    def prep(self, shared: Shared) -> Json:
        """What reviewers see."""
        draft: Json = shared["processed_output"]
        return draft

    def exec(self, prep_res: Json) -> None:  # noqa: ARG002 - PocketFlow's signature
        raise FlowError("A ReviewNode waits for people; run its flow with Countersign.")

    def post(self, shared: Shared, prep_res: Json, exec_res: ReviewRequest) -> str:
        action = "approved" if exec_res.outcome is Outcome.APPROVED else "rejected"
        shared["feedback"] = action
        shared["feedback_comment"] = exec_res.decisions[-1].comment if exec_res.decisions else None
        if action == "approved":
            shared["final_result"] = prep_res
        return action


class ResultNode(Node):  # type: ignore[misc]  # PocketFlow has no types
    """Ends the flow with `final_result`."""

    def __init__(self, name: str = "result") -> None:
        super().__init__()
        self.name = name

    def prep(self, shared: Shared) -> tuple[str, Json]:
        return shared["task_id"], shared["final_result"]

    def exec(self, prep_res: tuple[str, Json]) -> None:
        task_id, _ = prep_res
        log.debug("result_reached", task_id=task_id)

    def post(self, shared: Shared, prep_res: tuple[str, Json], exec_res: None) -> None:
        """Return no action: the flow ends here."""
