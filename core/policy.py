"""Who may decide, and what the decisions add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import AlreadyDecided, NotAReviewer, ReviewIsClosed, SelfReview
from core.model import LOCAL, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from core.model import Decision, PersonId, Policy, ReviewRequest


DECIDED = frozenset({Outcome.APPROVED, Outcome.REJECTED, Outcome.EDITED})


def check_may_decide(
    review: ReviewRequest, person: PersonId, policies: Mapping[str, Policy] | None = None
) -> None:
    """Raise `NotAReviewer`, `SelfReview`, `ReviewIsClosed` or `AlreadyDecided` unless `person` may decide.

    The review keeps the policy under which it opened. Of the `policies` now in force, the one of that name
    has to know the person, too: whoever is struck from it decides nothing any more.
    `LOCAL`, who exists in open mode only, stands for whoever sits at the machine: it may decide under
    any policy that asks for one approval, its own tasks included.
    """
    _check_is_reviewer(review, person, (policies or {}).get(review.policy.name, review.policy))
    check_open(review)
    if any(decision.reviewer == person for decision in review.decisions):
        raise AlreadyDecided("You have already decided; the review waits for others.")


def _check_is_reviewer(review: ReviewRequest, person: PersonId, now: Policy) -> None:
    if person == LOCAL:
        if review.policy.approvals != 1:
            raise NotAReviewer("This review asks for several people; in open mode there is only one.")
    elif person not in review.policy.reviewers:
        raise NotAReviewer("You are not among the reviewers of this task.")
    elif person not in now.reviewers:
        raise NotAReviewer("You are not among the reviewers of this task any more.")
    elif person == review.task.submitter and not review.policy.self_review:
        raise SelfReview("You submitted this task, so somebody else has to decide.")


def check_open(request: ReviewRequest) -> None:
    """Raise `ReviewIsClosed`, which says who closed it and when."""
    if request.is_open:
        return
    if request.superseded_by is not None:
        sentence = f"This was attempt {request.attempt}; attempt {request.superseded_by} has replaced it."
    elif request.decisions and request.outcome in DECIDED:
        last = request.decisions[-1]
        sentence = f"Already {request.outcome} by {last.reviewer_name} at {last.at:%Y-%m-%d %H:%M:%S} UTC."
    else:
        sentence = f"This review is closed: the task is {request.task.status}."
    raise ReviewIsClosed(sentence)


def outcome(policy: Policy, decisions: Iterable[Decision]) -> Outcome:
    """What the decisions add up to: one rejection rejects, `approvals` distinct people approve.

    An edit is its author's approval of their own text: enough where one approval is, else it has to be put
    before everybody anew.
    """
    approving: set[PersonId] = set()
    for decision in decisions:
        if decision.verdict is Verdict.REJECT:
            return Outcome.REJECTED
        if decision.verdict is Verdict.EDIT and policy.approvals > 1:
            return Outcome.EDITED
        approving.add(decision.reviewer)
    return Outcome.APPROVED if len(approving) >= policy.approvals else Outcome.OPEN
