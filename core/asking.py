"""What reviewers are shown of a flow's state, and what becomes of their answer in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core import sentences
from core.errors import FlowError
from core.jsontext import from_json, to_json
from core.model import Answer, Outcome
from core.nodes import note_answer
from core.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.model import Json, ReviewRequest
    from core.nodes import ReviewNode, Shared

BOOKKEEPING = frozenset(
    {"task_id", "processed_output", "feedback", "feedback_comment", "final_result", "current_attempt"}
)
"""The seed's keys that reviewers are not shown where a node is interrupted that has made no draft."""


async def holds(node: ReviewNode, shared: Shared) -> bool:
    """Whether people are to be asked at all. Raises `FlowError`."""
    return node.when is None or bool(await _called(node, "when", node.when, shared))


async def draft_of(node: ReviewNode, shared: Shared) -> Json:
    """What a ReviewNode shows. Raises `FlowError`."""
    if node.show is None:
        return node.prep(shared)
    draft: Json = await _called(node, "show", node.prep, shared)
    return draft


async def apply(node: ReviewNode, shared: Shared, answer: Answer) -> str:
    """Fold the answer to a ReviewNode into the state; its action. Raises `FlowError`."""
    if node.apply is None:
        return node.post(shared, answer.draft, answer)
    action: str = await _called(node, "apply", node.post, shared, answer.draft, answer)
    return action


async def _called(node: ReviewNode, what: str, function: Callable[..., Any], *args: Any) -> Any:
    """A user's function of the state, off the event loop, since it may block."""
    try:
        return await in_thread(lambda: function(*args))
    except Exception as error:
        raise FlowError(f"{what!r} of review {node.name!r} raised {sentences.of_error(error)}.") from error


def shown_at(shared: Shared) -> Json:
    """What reviewers see where a node is interrupted: the draft, or else what the flow has gathered."""
    if shared.get("processed_output") is not None:
        draft: Json = shared["processed_output"]
        return draft
    return {key: value for key, value in shared.items() if key not in BOOKKEEPING}


def fold(shared: Shared, answer: Answer) -> str:
    """Fold the answer to an interrupt into the state; the verdict's word.

    A "no" is noted as after any review. A "yes" is none of the flow's business: the node that it lets
    through may be about to read what an earlier review said.
    """
    if not answer.is_approved:
        note_answer(shared, answer)
    if answer.is_edited:
        if shared.get("processed_output") is not None:
            shared["processed_output"] = answer.content
        elif isinstance(answer.content, dict):
            shared.update(answer.content)
    return answer.outcome.value


def answer_of(review: ReviewRequest, shown: Json) -> Answer:
    """A closed review as its flow sees it; `shown` is what the flow had made, before any edit."""
    return Answer(
        review=review.id,
        outcome=review.outcome,
        draft=review.draft,
        content=review.content,
        comment=review.decisions[-1].comment if review.decisions else None,
        reviewers=tuple(decision.reviewer_name for decision in review.decisions),
        attempt=review.attempt,
        # As JSON has it, which makes lists of tuples.
        is_edited=review.content != from_json(to_json(shown)),
    )


def answers_of(reviews: Sequence[ReviewRequest]) -> list[Answer]:
    """One for each question that a node asked: an edit that others had to approve goes before its answer."""
    answers: list[Answer] = []
    asked: list[ReviewRequest] = []
    for review in reviews:
        asked.append(review)
        if review.outcome is not Outcome.EDITED:
            answers.append(answer_of(review, asked[0].draft))
            asked.clear()
    return answers
