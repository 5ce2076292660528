"""What flows are made of: the nodes that ship, and what a node of anybody's may ask while it runs.

The nodes are PocketFlow nodes with prep / exec / post, and speak through `shared`, a dict of JSON values:
`task_input`, `processed_output`, `feedback` (the verdict's word, `approved` or `rejected`),
`feedback_comment`, `final_result`, `current_attempt`, `task_id`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import structlog
from pocketflow import AsyncNode, Node

from core.errors import FlowError
from core.processors.offline import offline
from core.running import progress, review, run_key, stream_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pocketflow import BaseNode

    from core.model import Answer, Json
    from core.ports import Processor

__all__ = [
    "ConversationNode",
    "ProcessNode",
    "ResultNode",
    "ReviewNode",
    "Shared",
    "note_answer",
    "progress",
    "review",
    "run_key",
    "stream_text",
]

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


class ConversationNode(ProcessNode):
    """One whose processor sees every rejected draft and its comment, oldest first: `shared["rejections"]`."""

    async def prep_async(self, shared: Shared) -> Shared:
        prepared = await super().prep_async(shared)
        earlier = shared.get("rejections", [])
        if shared["feedback"] == "rejected":
            rejected = {"draft": shared["processed_output"], "comment": shared.get("feedback_comment")}
            earlier = [*earlier, rejected]
        return {**prepared, "rejections": earlier}

    async def post_async(self, shared: Shared, prep_res: Shared, exec_res: Json) -> str:
        shared["rejections"] = prep_res["rejections"]
        return await super().post_async(shared, prep_res, exec_res)


class ReviewNode(Node):  # type: ignore[misc]  # PocketFlow has no types
    """Puts a draft before reviewers. Its actions are `approved`, `rejected` and `expired`.

    Between prep and post the task is rows in the database and nothing else: the runner parks it, and
    gives post the answer in place of what exec would return.
    """

    def __init__(
        self,
        name: str = "review",
        *,
        policy: str | None = None,
        when: Callable[[Shared], object] | None = None,
        show: Callable[[Shared], Json] | None = None,
        apply: Callable[[Shared, Answer], object] | None = None,
    ) -> None:
        """`policy` is a policy's name; None is the flow's.

        `when` says from the state whether people are asked at all; where it is false the action is
        `approved`, and no review opens. `show` makes of the state what reviewers see; without it they
        see `shared["processed_output"]`. `apply` folds their answer back into the state; without it an
        approved text becomes `shared["final_result"]`, and the draft too where that is what was shown.
        All three are plain functions; they run in a thread. Raises `FlowError` for one that is not.
        """
        super().__init__()
        self.name = name
        for what, function in (("when", when), ("show", show), ("apply", apply)):
            if inspect.iscoroutinefunction(function):
                raise _is_asynchronous(self, what)
            if function is not None and not callable(function):
                raise FlowError(f"{what!r} of review {name!r} is {function!r}; it has to be a function.")
        self.policy = policy
        self.when = when
        self.show = show
        self.apply = apply

    def prep(self, shared: Shared) -> Json:
        """What reviewers see."""
        draft: Json = (
            shared.get("processed_output") if self.show is None else plain(self, "show", self.show(shared))
        )
        return draft

    def exec(self, prep_res: Json) -> None:  # noqa: ARG002 - PocketFlow's signature
        raise FlowError("A ReviewNode waits for people; run its flow with Countersign.")

    def post(self, shared: Shared, prep_res: Json, exec_res: Answer) -> str:  # noqa: ARG002 - likewise
        note_answer(shared, exec_res)
        if self.apply is not None:
            plain(self, "apply", self.apply(shared, exec_res))
        elif exec_res.is_approved:
            shared["final_result"] = exec_res.content
        if self.show is None and self.apply is None:
            # Also after a "no": an edit that others rejected is the draft that they rejected.
            shared["processed_output"] = exec_res.content
        return exec_res.outcome.value


def is_ours(node: BaseNode) -> bool:
    """Whether running it runs nobody else's code and waits for nothing."""
    if not vars(node).keys() <= _OF_OURS:
        return False  # somebody has put a method of their own in place of one of ours
    if type(node) is ProcessNode:
        return node.processor is offline
    if type(node) is ReviewNode:
        return node.when is None and node.show is None and node.apply is None
    return type(node) is ResultNode


_OF_OURS = {*vars(Node()), "name", "processor", "policy", "when", "show", "apply"}


def plain(node: ReviewNode, what: str, returned: Any) -> Any:
    """What a function of a review returned; raises `FlowError` where nobody would await it."""
    if inspect.isawaitable(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        raise _is_asynchronous(node, what)
    return returned


def _is_asynchronous(node: ReviewNode, what: str) -> FlowError:
    return FlowError(f"{what!r} of review {node.name!r} is asynchronous; it has to be a plain function.")


def note_answer(shared: Shared, answer: Answer) -> None:
    """The seed's keys after a review: the verdict's word, and the comment beside it.

    A "no" takes back what an approval before it had made the result; a node after it may make another.
    """
    shared["feedback"] = answer.outcome.value
    shared["feedback_comment"] = answer.comment
    shared["current_attempt"] = answer.attempt
    if not answer.is_approved:
        shared["final_result"] = None


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
