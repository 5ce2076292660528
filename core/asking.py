"""What reviewers are shown of a flow's state, and what becomes of their answer in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from core import sentences
from core.errors import FlowError
from core.model import Answer, Outcome, Verdict
from core.nodes import ReviewNode, note_answer, plain
from core.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from pocketflow import BaseNode

    from core.model import Decision, Json, ReviewRequest
    from core.nodes import Shared

BOOKKEEPING = frozenset(
    {"task_id", "processed_output", "feedback", "feedback_comment", "final_result", "current_attempt"}
)
"""The seed's keys that reviewers are not shown where a node is interrupted that has made no draft."""


async def holds(node: ReviewNode, shared: Shared, within: timedelta) -> bool:
    """Whether people are to be asked at all. Raises `FlowError`."""
    when = node.when
    if when is None:
        return True
    holds: bool = await _called(node, "when", lambda: bool(plain(node, "when", when(shared))), within)
    return holds


async def draft_of(node: ReviewNode, shared: Shared, within: timedelta) -> Json:
    """What a ReviewNode shows. Raises `FlowError`."""
    if node.show is None:
        return node.prep(shared)
    draft: Json = await _called(node, "show", lambda: node.prep(shared), within)
    return draft


async def apply(node: ReviewNode, shared: Shared, answer: Answer, within: timedelta) -> str:
    """Fold the answer to a ReviewNode into the state; its action. Raises `FlowError`."""
    if node.apply is None:
        return node.post(shared, answer.draft, answer)
    action: str = await _called(node, "apply", lambda: node.post(shared, answer.draft, answer), within)
    return action


def folds_by_itself(node: BaseNode) -> bool:
    """Whether a review has a way of its own to fold answers into the state, which no other event tells."""
    return isinstance(node, ReviewNode) and (node.apply is not None or type(node).post is not ReviewNode.post)


async def _called(node: ReviewNode, what: str, call: Callable[[], Any], within: timedelta) -> Any:
    """A user's function of the state, off the event loop, since it may block; no longer than a node may."""
    try:
        async with asyncio.timeout(within.total_seconds()) as deadline:
            return await in_thread(call)
    except FlowError:
        raise
    except Exception as error:  # somebody else's function may raise anything
        name = f"{what!r} of review {node.name!r}"
        if deadline.expired():
            raise FlowError(f"{name} took longer than {within.total_seconds():g} s.") from None
        raise FlowError(f"{name} raised {sentences.of_error(error)}.") from error


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


def answer_of(review: ReviewRequest, first: Json) -> Answer:
    """A closed review as its flow sees it; `first` is the draft that the flow had made, before any edit."""
    return Answer(
        review=review.id,
        outcome=review.outcome,
        draft=review.draft,
        content=review.content,
        comment=_comment(review),
        reviewers=tuple(decision.reviewer_name for decision in review.decisions),
        attempt=review.attempt,
        is_edited=review.content != first,
    )


def _comment(review: ReviewRequest) -> str | None:
    against = [made for made in review.decisions if made.verdict is Verdict.REJECT]
    if review.outcome in _NO and len(against) > 1:
        said = [f"{_named(made)}: {made.comment}" for made in against if made.comment]
        return "\n".join(said) or None
    if review.outcome in _NO and against:
        return against[0].comment
    return review.decisions[-1].comment if review.decisions else None


_NO = frozenset({Outcome.REJECTED, Outcome.EXPIRED})


def _named(made: Decision) -> str:
    return f"{made.reviewer_name} for {made.person_name}" if made.person_name else made.reviewer_name


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
